# SPDX-License-Identifier: BSD-3-Clause
"""Whether retired accounts still own something on this machine; if not, their numbers are free again.

What may belong to a number: processes, kernel keyrings, System V IPC, and files on every local file system. A scan
looks at the first three before and after it walks the files, so that nothing was there meanwhile that could make one.
Of files the owner, the group, and those whom POSIX ACLs name count. Network file systems are not looked at (their
servers keep numbers of their own); `elsewhere` says which.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.node.accounts import Accounts
from xos.node.api import Account

log = get_logger("xos.node.scan")

LOCAL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "mqueue", "nilfs2", "overlay", "ramfs",
     "reiserfs", "tmpfs", "udf", "xfs", "zfs"}
)  # fmt: skip
NOBODYS = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
     "exfat", "fuse.lxcfs", "fusectl", "hugetlbfs", "iso9660", "nsfs", "ntfs", "ntfs3", "proc", "pstore",
     "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tracefs", "vfat"}
)  # fmt: skip
"""On which no user's files are kept, or no owner."""
_LINK_BYTES = 4
_IDLE_LOOK_SECONDS = 60.0
_PROC = Path("/proc")
_MOUNTS = _PROC / "self" / "mountinfo"


class Scanner:
    """Frees numbers now and then; also retires accounts of pools that nobody uses."""

    def __init__(
        self, accounts: Accounts, wanted: asyncio.Event, tidy: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """*wanted*: set to have it look at once; *tidy* is called before each scan."""
        self._accounts, self._wanted, self._tidy = accounts, wanted, tidy
        self._due = 0.0

    async def run(self) -> None:
        """Until cancelled. What goes wrong is told, and tried again later."""
        while True:
            try:
                await self._round()
            except (OSError, XosError) as error:
                log.warning("scan.failed", detail=str(error))
            try:
                async with asyncio.timeout(_IDLE_LOOK_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _round(self) -> None:
        await self._retire_idle()
        if self._wanted.is_set() or time.monotonic() >= self._due:
            self._wanted.clear()
            self._due = time.monotonic() + 3600 * self._accounts.config.scan_hours
            if self._tidy is not None:
                await self._tidy()
            await self.scan()

    async def scan(self) -> list[Account]:
        """Look once, and free what can be freed."""
        retired = self._accounts.quarantined()
        if not retired:
            return []
        uids = frozenset(each.uid for each in retired)
        try:
            owning = await asyncio.to_thread(living, uids)
            owning |= await owning_files(uids - owning)
            owning |= await asyncio.to_thread(living, uids)
        except OSError as error:
            log.warning("scan.failed", detail=str(error))
            return []
        free = await self._accounts.release(each for each in retired if each.uid not in owning)
        log.info("scan.done", freed=len(free), owning=len(owning), not_looked_at=not_looked_at())
        return free

    async def _retire_idle(self) -> None:
        config, now = self._accounts.config, time.time()
        idle = [
            each
            for each in self._accounts.active()
            if config.vos[each.vo].accounts == "pool" and now - each.used > 3600 * config.vos[each.vo].pool_idle_hours
        ]
        if not idle:
            return
        busy = await asyncio.to_thread(living, frozenset(each.uid for each in idle))
        gone = await self._accounts.retire([each.name for each in idle if each.uid not in busy])
        if gone:
            log.info("pool.retired", accounts=len(gone))
            self._wanted.set()


def not_looked_at() -> list[str]:
    """`elsewhere` of this machine as it is now."""
    return elsewhere(_MOUNTS.read_text())


def living(uids: Collection[int]) -> set[int]:
    """Those of *uids* that have a process, a key or an IPC object."""
    return (_with_processes() | _with_keys() | _with_ipc()) & set(uids)


def _with_processes() -> set[int]:
    found: set[int] = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "status").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        for line in status.splitlines():
            if line.startswith(("Uid:", "Gid:")):
                found.update(map(int, line.split()[1:]))
    return found


def _with_keys() -> set[int]:
    path = _PROC / "key-users"
    return key_owners(path.read_text()) if path.exists() else set()


def key_owners(text: str) -> set[int]:
    """Who has keys, from ``/proc/key-users`` (keyrings(7)): ``UID: USES KEYS/… KEYS/MOST BYTES/MOST``.

    The kernel keeps the two keyrings that everybody gets with the first login until it goes down; as long as they are
    empty they take just the bytes of their names and of the link between them, and mean nothing.
    """
    found = set()
    for line in text.splitlines():
        uid, _, rest = line.partition(":")
        counts = rest.split()
        keys, used = int(counts[2].split("/")[0]), int(counts[3].split("/")[0])
        empty = len(f"_uid.{uid.strip()}\0_uid_ses.{uid.strip()}\0") + _LINK_BYTES
        if keys > 2 or used > empty:
            found.add(int(uid))
    return found


def _with_ipc() -> set[int]:
    """proc_sysvipc: the columns uid and cuid."""
    found: set[int] = set()
    for kind in ("shm", "sem", "msg"):
        path = _PROC / "sysvipc" / kind
        if not path.exists():
            continue
        head, *rows = path.read_text().splitlines()
        columns = [i for i, name in enumerate(head.split()) if name in {"uid", "cuid"}]
        found.update(int(row.split()[i]) for row in rows for i in columns)
    return found


def local_mounts(text: str) -> list[str]:
    """Mount points of local file systems, from a ``mountinfo`` (proc_pid_mountinfo(5)), that together show all of them.

    A mount of what another one shows already is left out; the subvolumes of one btrfs are not such.
    """
    shown: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        fields = line.split(" ")
        if "-" not in fields or fields[fields.index("-") + 1] not in LOCAL:
            continue
        shown.setdefault(fields[2], []).append((fields[3], fields[4]))
    found = []
    for mounts in shown.values():
        roots: list[str] = []
        for root, point in sorted(mounts, key=lambda mount: len(mount[0])):
            if not any(root == kept or root.startswith(kept.rstrip("/") + "/") for kept in roots):
                roots.append(root)
                found.append(_unescaped(point))
    return found


def _unescaped(point: str) -> str:
    return point.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def elsewhere(text: str) -> list[str]:
    """Mount points, with their kinds, that no scan looks at although files of retired accounts may be there."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        kind = fields[fields.index("-") + 1] if "-" in fields else ""
        if kind and kind not in LOCAL and kind not in NOBODYS:
            found.append(f"{_unescaped(fields[4])} ({kind})")
    return found


async def owning_files(uids: Collection[int], mounts: Collection[str] | None = None) -> set[int]:
    """Those of *uids* that own a file, as user or as group, or are named in an ACL (`xos.node.walk`). Blocks nobody.

    Raises `OSError` when it could not look everywhere.
    """
    if not uids:
        return set()
    if mounts is None:
        mounts = local_mounts(_MOUNTS.read_text())
    walk = await asyncio.create_subprocess_exec(
        "nice", "-n", "19", sys.executable, "-P", "-m", "xos.node.walk", str(min(uids)), str(max(uids)), *mounts,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert walk.stdout is not None  # noqa: S101  # a pipe was asked for
    assert walk.stderr is not None  # noqa: S101
    complaints = asyncio.create_task(walk.stderr.read())
    found: set[int] = set()
    try:
        async for line in walk.stdout:
            found.add(int(line))
    except BaseException:  # cancelled, mostly; not at its end, when whoever kills might also reap
        with contextlib.suppress(ProcessLookupError):
            walk.kill()
        raise
    finally:
        await walk.wait()
    told = (await complaints).decode(errors="replace")
    if walk.returncode:
        raise OSError(0, told[:300] or f"the walk ended with {walk.returncode}")
    return found & set(uids)
