# SPDX-License-Identifier: BSD-3-Clause
"""Where on the node units live: the directories, the lock on them, and what a crash left lying about."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from xos.aem.errors import WorkUnreachable
from xos.aem.execution.task import EXIT
from xos.aem.execution.tombstones import CLEANED, MARGIN_SECONDS, Stone, Tombstones
from xos.aem.execution.unitdir import UnitDirs, read_accepted
from xos.common.errors import StorageBroken

FALLBACK = Path("/var/lib/xos/work")
_TRASH = ".trash-"
_REMOVED_AT_ONCE = 200


def lock(root: Path) -> int:
    """Take the unit directories for this daemon; the descriptor holds them. Raises `StorageBroken`."""
    fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise StorageBroken(path=str(root), detail="another daemon runs units from it") from error
    return fd


def choose_work(root: Path, setting: str, node: str, *, shared: bool) -> Path:
    """The directory of the working directories: ``work`` in *root*, or what the link of that name leads to.

    Chosen at the first start and kept: in *setting* if given; else in *root*, if the accounts of jobs can get in there;
    else under `FALLBACK`. *shared*: there are such accounts, other than the daemon's. Raises `WorkUnreachable`.
    """
    work = root / "work"
    if not work.is_symlink() and not work.exists():
        if setting:
            _link(work, Path(setting), node)
        elif shared and closed_to_others(root) not in (None, root):
            _link(work, FALLBACK, node)
        else:
            work.mkdir(mode=0o711)
    if shared:
        if not work.is_symlink():
            root.chmod(0o711)
        work.chmod(0o711)
        closed = closed_to_others(work)
        if closed is not None:
            raise WorkUnreachable(path=str(work.resolve()), closed=str(closed))
    return work.resolve(strict=True)


def _link(link: Path, parent: Path, node: str) -> None:
    """Make a directory of this node's alone in *parent*, and *link* to it."""
    parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    link.symlink_to(tempfile.mkdtemp(prefix=f"{node}-", dir=parent))


def closed_to_others(path: Path) -> Path | None:
    """The directory nearest to the root, *path* itself last, that other accounts may not enter; None: they can."""
    path = path.resolve()
    for directory in (*reversed(path.parents), path):
        if not directory.stat().st_mode & stat.S_IXOTH:
            return directory
    return None


def sweep(dirs: UnitDirs) -> list[Path]:
    """Move aside what a crash left half-made, or half-removed: directories without an order that was acknowledged.

    What is returned is to be removed (`remove`), which may take long.
    """
    trash = []
    for parent in (dirs.live, dirs.ended, dirs.work):
        for entry in list(parent.iterdir()):
            if entry.name.startswith(_TRASH):
                trash.append(entry)
            elif _is_orphan(dirs, parent, entry):
                trash.append(_aside(entry))
    return trash


def _is_orphan(dirs: UnitDirs, parent: Path, entry: Path) -> bool:
    if parent == dirs.live:
        return read_accepted(entry) is None
    return parent == dirs.work and not dirs.has(entry.name)


def _aside(path: Path) -> Path:
    to = path.with_name(f"{_TRASH}{path.name}-{time.time_ns():x}")
    path.rename(to)
    return to


def remove(paths: Iterable[Path]) -> None:
    """Remove directory trees, however deep, and whatever users made of them. Blocks; raises `OSError`."""
    rest = [str(path) for path in paths]
    while rest:
        # rm(1) walks with openat and O_NOFOLLOW and has no limit on depth; shutil.rmtree recurses.
        done = subprocess.run(
            ["rm", "-rf", "--one-file-system", "--", *rest[:_REMOVED_AT_ONCE]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode != 0:
            raise OSError(0, done.stderr.decode(errors="replace").strip()[:500])
        rest = rest[_REMOVED_AT_ONCE:]


def clean(dirs: UnitDirs, stones: Tombstones, *, keep_seconds: float, keep_units: int, now: float) -> list[str]:
    """Remove ended, acknowledged units that are too old or too many; which they were. Blocks.

    Each leaves a tombstone first, so that its order cannot be shown again.
    """
    aged = sorted(((_ended_at(entry, now), entry) for entry in dirs.ended.iterdir()), reverse=True)
    going = [entry for at, entry in aged if now - at > keep_seconds]
    going += [entry for at, entry in aged[keep_units:] if now - at <= keep_seconds]
    units = [entry for entry in going if not entry.name.startswith(_TRASH)]
    laid = []
    for entry in units:
        accepted = read_accepted(entry)
        if accepted is not None:
            laid.append(Stone(entry.name, accepted.expires + MARGIN_SECONDS, CLEANED))
    for stone in laid:
        stones.remember(stone)
    stones.lay(laid)
    works = [dirs.work / entry.name for entry in units]
    remove([_aside(path) for path in (*units, *works) if path.is_dir()])
    return [entry.name for entry in units]


def _ended_at(directory: Path, now: float) -> float:
    try:
        return (directory / EXIT).stat().st_mtime
    except FileNotFoundError:
        return now
