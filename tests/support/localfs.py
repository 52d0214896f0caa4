# SPDX-License-Identifier: BSD-3-Clause
"""MRC, OSD and client in one process, without a network between them: a file system for programs to judge.

Identities are ``UID@here`` and ``GID@here``; uid 0 is the superuser. Nothing is synced: it is for tests of the rules.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from xos.xtreemfs.errors import UnknownFile
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse import values as fuse
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.values import Attr, Attributes, Caller, DirectoryEntry, Entry, Opened, Statfs
from xos.xtreemfs.mrc import namespace, renaming, rows, volumes, xattrs
from xos.xtreemfs.mrc.schema import METADATA
from xos.xtreemfs.mrc.values import NOW, Change, Inode, Refusal, Result, Who
from xos.xtreemfs.osd.store import ShareStore

_T = TypeVar("_T")
VALID_NS = 1_000_000_000
PAGE = 200


def who(caller: Caller) -> Who:
    groups = {caller.gid}
    try:
        for line in Path(f"/proc/{caller.pid}/status").read_text().splitlines():
            if line.startswith("Groups:"):
                groups |= {int(word) for word in line.split()[1:]}
    except OSError:
        pass  # it has ended, or is the kernel itself
    return Who(
        f"{caller.uid}@here",
        frozenset(f"{gid}@here" for gid in groups),
        f"{caller.gid}@here",
        superuser=caller.uid == 0,
    )


def number(identity: str) -> int:
    return int(identity.partition("@")[0])


class LocalFs(FileSystem):
    """One volume."""

    def __init__(self, root: Path) -> None:
        self.shares = ShareStore(root)
        self.engine = sa.create_engine(f"sqlite:///{root}/mrc.db")
        METADATA.create_all(self.engine)
        self.connection = self.engine.connect()
        self.connection.exec_driver_sql("PRAGMA synchronous=OFF")
        self.connection.commit()
        made = self.do(lambda db: volumes.make_volume(db, who(Caller(0, 0, 0)), "home", 0o755, time.time_ns()))
        self.root = made.root
        self.open_files: Counter[int] = Counter()

    def destroy(self) -> None:
        self.connection.close()
        self.engine.dispose()
        self.shares.close()

    def do(self, fn: Callable[[sa.Connection], Result[_T]]) -> _T:
        with self.connection.begin():
            found = fn(self.connection)
        if isinstance(found, Refusal):
            raise fuse.refuse(found.errno)
        return found

    def ino(self, ino: int) -> int:
        return self.root if ino == abi.ROOT_ID else ino

    def attr(self, inode: Inode) -> Attr:
        return Attr(
            abi.ROOT_ID if inode.id == self.root else inode.id,
            inode.mode,
            inode.nlink,
            number(inode.owner),
            number(inode.group),
            inode.size,
            -(-inode.size // 512),
            inode.atime,
            inode.mtime,
            inode.ctime,
            inode.rdev,
        )

    def entry(self, inode: Inode) -> Entry:
        return Entry(self.attr(inode), VALID_NS, VALID_NS)

    def forget(self, ino: int) -> None:
        self.drop(self.ino(ino))

    def drop(self, ino: int) -> None:
        if self.open_files[ino]:
            return
        with self.connection.begin():
            gone = namespace.reap(self.connection, [ino])
        if gone:
            self.shares.delete([str(ino)])

    # --- names

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Any:
        return self.entry(self.do(lambda db: namespace.lookup(db, who(caller), self.ino(parent), name)))

    def make(self, caller: Caller, parent: int, name: bytes, mode: int, **more: Any) -> Inode:
        now = time.time_ns()
        return self.do(lambda db: namespace.create(db, who(caller), self.ino(parent), name, mode, now, **more))

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Any:
        return self.entry(self.make(caller, parent, name, mode, rdev=rdev))

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Any:
        return self.entry(self.make(caller, parent, name, stat.S_IFDIR | mode))

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Any:
        return self.entry(self.make(caller, parent, name, stat.S_IFLNK | 0o777, target=target))

    def create(self, caller: Caller, parent: int, name: bytes, mode: int, flags: int) -> Any:  # noqa: ARG002
        inode = self.make(caller, parent, name, stat.S_IFREG | mode)
        self.open_files[inode.id] += 1
        return self.entry(inode), Opened()

    def link(self, caller: Caller, ino: int, parent: int, name: bytes) -> Any:
        now = time.time_ns()
        return self.entry(
            self.do(lambda db: namespace.link(db, who(caller), self.ino(ino), self.ino(parent), name, now))
        )

    def unlink(self, caller: Caller, parent: int, name: bytes) -> Any:
        now = time.time_ns()
        self.do(lambda db: namespace.unlink(db, who(caller), self.ino(parent), name, now))

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> Any:
        self.do(lambda db: namespace.rmdir(db, who(caller), self.ino(parent), name, time.time_ns()))

    def rename(self, caller: Caller, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int) -> Any:
        old, new = renaming.Place(self.ino(parent), name), renaming.Place(self.ino(new_parent), new_name)
        self.do(lambda db: renaming.rename(db, who(caller), old, new, flags, time.time_ns()))

    # --- inodes

    def getattr(self, caller: Caller, ino: int, fh: int | None) -> Any:  # noqa: ARG002
        return Attributes(self.attr(self.do(lambda db: namespace.getattr_(db, self.ino(ino)))), VALID_NS)

    def setattr(self, caller: Caller, ino: int, change: fuse.Change) -> Any:
        def when(time_ns: int | None) -> int | None:
            return NOW if time_ns == fuse.NOW else time_ns

        def identity(value: int | None) -> str | None:
            return None if value is None else f"{value}@here"

        # A file that is open for writing may be cut by whoever has it open: the kernel has checked.
        asking = who(caller)
        if change.fh is not None and change.size is not None:
            asking = Who(asking.user, asking.groups, asking.group, superuser=True)
        wanted = Change(
            change.mode, identity(change.uid), identity(change.gid), change.size, when(change.atime), when(change.mtime)
        )
        inode = self.do(lambda db: namespace.setattr_(db, asking, self.ino(ino), wanted, time.time_ns()))
        if change.size is not None:
            with self.shares.share(str(inode.id), create=True) as share:
                share.truncate(change.size)
        return Attributes(self.attr(inode), VALID_NS)

    def readlink(self, caller: Caller, ino: int) -> Any:  # noqa: ARG002
        return self.do(lambda db: namespace.getattr_(db, self.ino(ino))).target

    def statfs(self, caller: Caller, ino: int) -> Any:  # noqa: ARG002
        return Statfs(blocks=1 << 20, bfree=1 << 19, bavail=1 << 19, files=1 << 20, ffree=1 << 19)

    def getxattr(self, caller: Caller, ino: int, name: bytes) -> Any:
        return self.do(lambda db: xattrs.get(db, who(caller), self.ino(ino), name))

    def listxattr(self, caller: Caller, ino: int) -> Any:
        return self.do(lambda db: xattrs.names(db, who(caller), self.ino(ino)))

    def setxattr(self, caller: Caller, ino: int, name: bytes, value: bytes, flags: int) -> Any:
        self.do(lambda db: xattrs.put(db, who(caller), self.ino(ino), name, value, flags, time.time_ns()))

    def removexattr(self, caller: Caller, ino: int, name: bytes) -> Any:
        self.do(lambda db: xattrs.remove(db, who(caller), self.ino(ino), name, time.time_ns()))

    # --- directories

    def readdir(self, caller: Caller, ino: int, fh: int, offset: int, *, plus: bool) -> Any:  # noqa: ARG002
        directory = self.do(lambda db: namespace.getattr_(db, self.ino(ino)))
        # The permission to read was checked when it was opened.
        return self.rows(directory, offset, plus=plus)

    def rows(self, directory: Inode, offset: int, *, plus: bool) -> Iterator[DirectoryEntry]:
        for cookie, name, ino in ((1, b".", directory.id), (2, b"..", directory.parent)):
            if cookie > offset:
                yield DirectoryEntry(name, ino, stat.S_IFDIR, cookie)
        after = max(0, offset - 2)
        page = rows.children(self.connection, directory.id, after, PAGE)
        self.connection.commit()
        for cookie, name, inode in page:
            yield DirectoryEntry(name, inode.id, inode.mode, cookie + 2, self.entry(inode) if plus else None)

    # --- files

    def open(self, caller: Caller, ino: int, flags: int) -> Any:
        if flags & os.O_TRUNC:
            self.setattr(caller, ino, fuse.Change(size=0))
        self.open_files[ino] += 1
        return Opened()

    def release(self, caller: Caller, ino: int, fh: int, flags: int, owner: int) -> None:  # noqa: ARG002
        self.open_files[ino] -= 1

    def read(self, caller: Caller, ino: int, fh: int, offset: int, size: int) -> Any:  # noqa: ARG002
        try:
            with self.shares.share(str(ino)) as share:
                return share.read(offset, size)
        except UnknownFile:
            return b""

    def write(self, caller: Caller, ino: int, fh: int, offset: int, content: memoryview, flags: int) -> Any:  # noqa: ARG002
        with self.shares.share(str(ino), create=True) as share:
            share.write(offset, content)
            size = share.size
        now = time.time_ns()
        asking = Who("", superuser=True)
        inode = self.do(lambda db: namespace.setattr_(db, asking, ino, Change(size=size, mtime=now), now))
        if flags & abi.WRITE_KILL_SUIDGID and inode.mode & (stat.S_ISUID | stat.S_ISGID):
            mode = inode.mode & ~stat.S_ISUID
            mode &= ~stat.S_ISGID if mode & stat.S_IXGRP else -1
            self.do(lambda db: namespace.setattr_(db, asking, ino, Change(mode=mode), now))
        return len(content)

    def fallocate(self, caller: Caller, ino: int, fh: int, offset: int, length: int, mode: int) -> Any:  # noqa: ARG002
        if mode:
            raise fuse.refuse(errno.EOPNOTSUPP)
        with self.shares.share(str(ino), create=True) as share:
            size = max(share.size, offset + length)
        self.setattr(Caller(0, 0, 0), ino, fuse.Change(size=size))
