# SPDX-License-Identifier: BSD-3-Clause
"""What a unit finds when it starts: its directories with the files that travelled with the job; and the way back into
directories that belong to users by then, where every name may be a trap.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.aem.api import InputFile
from xos.aem.execution.task import EXIT_DRAFT, ORDER, RECORD_SIZE
from xos.aem.execution.unitdir import Accepted, UnitDirs
from xos.aem.jsdl import JobDescription
from xos.common.errors import StorageFull
from xos.common.files import sync_directory

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_encoder = msgspec.msgpack.Encoder()


def problem_with(files: Sequence[InputFile], description: JobDescription) -> str:
    """What is wrong with the files that came with a job; empty when nothing is."""
    names = [file.name for file in files]
    for name in names:
        if not is_inside(name):
            return f"a file cannot be staged as {name[:200]!r}"
    directories = {name[:at] for name in names for at in range(len(name)) if name[at] == "/"}
    if len(set(names)) < len(names) or directories & set(names):
        return "two staged files have the same name, or one lies inside the other"
    missing = [file.name for file in description.stage_in if file.name not in set(names)]
    return f"the file {missing[0]!r} did not come with the job" if missing else ""


def is_inside(name: str) -> bool:
    """Whether *name* is a relative path in normal form that stays below where it starts."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") or len(os.fsencode(part)) > 255 for part in parts)


def accept(dirs: UnitDirs, accepted: Accepted, files: Sequence[InputFile], working_directory: str) -> None:
    """Put a unit on disk; when this returns, it survives a power cut. Blocks for an fsync.

    Raises `StorageFull`, or another `OSError`; then nothing of the unit is left.
    """
    unit_id = accepted.order.unit_id
    directory = dirs.live / unit_id
    try:
        lay_out(dirs, accepted, files, working_directory)
        directory.mkdir(mode=0o700)
        _write(directory / EXIT_DRAFT, b" " * RECORD_SIZE)
        _write(directory / ORDER, _encoder.encode(accepted), sync=True)
        sync_directory(directory)
        sync_directory(dirs.live)
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(dirs.work / unit_id, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in FULL:
            raise StorageFull(path=str(directory)) from error
        raise


def lay_out(dirs: UnitDirs, accepted: Accepted, files: Sequence[InputFile], working_directory: str) -> None:
    """Make the unit's home, TMPDIR, working directory and staged files. Nothing of the unit may be running.

    Nothing here is synced: after a power cut it is made again from the order.
    """
    unit_id = accepted.order.unit_id
    top = dirs.work / unit_id
    if top.exists():
        shutil.rmtree(top)
    top.mkdir(mode=0o700)  # nobody else gets in while its files are being made
    home, scratch = dirs.home(unit_id), dirs.scratch(unit_id)
    for own in (home, scratch):
        own.mkdir(mode=0o700)
    start = home / working_directory
    start.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in files:
        path = start / file.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, file.content, mode=0o700 if file.executable else 0o600)
    if accepted.account is not None:
        _give(top, accepted.account)
    top.chmod(0o711)


def _give(top: Path, account: tuple[int, int]) -> None:
    """Make *account* the owner of everything below *top*."""
    for parent, directories, names in os.walk(top):
        for name in (*directories, *names):
            os.chown(Path(parent) / name, *account, follow_symlinks=False)


def _write(path: Path, content: bytes, *, mode: int = 0o600, sync: bool = False) -> None:
    fd = os.open(path, _NEW, mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def check_space(path: Path, spare: int) -> None:
    """Raise `StorageFull` when less than *spare* bytes are free where *path* is."""
    disk = os.statvfs(path)
    if disk.f_bavail * disk.f_frsize < spare:
        raise StorageFull(path=str(path))


def open_inside(root: Path, name: str, uid: int) -> int | None:
    """Open for reading the ordinary file *name* below *root*, in directories that user *uid* may have rearranged.

    None when there is none that may be read: no symlink is followed, nothing but an ordinary file of that very user
    is opened (no FIFO, no device, no hard link to somebody else's file). *name* passes `is_inside`.
    """
    *steps, last = name.split("/")
    try:
        directory = _walk(root, steps)
    except OSError:
        return None  # missing, or a symlink: not there for us
    try:
        fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    finally:
        os.close(directory)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_uid == uid:
        return fd
    os.close(fd)
    return None


def remove_inside(root: Path, names: Sequence[str]) -> None:
    """Delete files below *root*, without following a symlink; one that is not there is no error."""
    for name in names:
        *steps, last = name.split("/")
        try:
            directory = _walk(root, steps)
        except OSError:
            continue  # its directory is gone, or not one any more
        try:
            os.unlink(last, dir_fd=directory)
        except OSError:
            continue  # gone, or a directory by now: not the file that was staged
        finally:
            os.close(directory)


def _walk(root: Path, steps: Sequence[str]) -> int:
    """Open the directory that *steps* lead to, one by one, following no symlink. Raises `OSError`."""
    at = os.open(root, _STEP)
    for step in steps:
        try:
            following = os.open(step, _STEP, dir_fd=at)
        finally:
            os.close(at)
        at = following
    return at
