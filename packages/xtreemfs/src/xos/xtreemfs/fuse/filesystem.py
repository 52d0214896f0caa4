# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: ARG002 -- an interface: its methods name what they are given
"""What a file system offers to the kernel.

A method answers at once by returning a value, or later by being a coroutine; then others are served meanwhile, and an
interrupted program cancels it. It refuses by raising `OSError` with an errno (`xos.xtreemfs.fuse.values.refuse`).
Whatever else it raises becomes EIO, and is logged. A method that is not there is ENOSYS, which tells the kernel not to
ask again.

Inodes are numbers of the file system's choice; the root is `abi.ROOT_ID`. The kernel keeps each inode that it was told
of until `forget` is called with it. Names and values of extended attributes are bytes. The buffer of `write` is the
session's: it is valid until the method has answered.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Iterable
from typing import TypeAlias, TypeVar

from xos.xtreemfs.fuse.values import (
    Attributes,
    Caller,
    Change,
    DirectoryEntry,
    Entry,
    Lock,
    Opened,
    Statfs,
    refuse,
)

_T = TypeVar("_T")
Answer: TypeAlias = _T | Awaitable[_T]
"""A value, now or later."""


class FileSystem:
    """To be derived from; every method may be left out but `lookup` and `getattr`."""

    masks = True
    """Whether the umask is to be taken off modes; else it is in `Caller.umask` (ask for `InitFlag.DONT_MASK` then)."""

    def forget(self, ino: int) -> None:
        """The kernel holds *ino* no more; it will look it up again before it uses it. Must not fail."""

    def destroy(self) -> None:
        """The mount is gone. Must not fail."""

    # --- names

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Answer[Entry | bytes]:
        """The inode called *name*; ENOENT, or `no_entry` to have that remembered for a while."""
        raise refuse(errno.ENOSYS)

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Answer[Entry]:
        """A new file, FIFO, socket or device; the process's umask is taken off *mode* already, if it `masks`."""
        raise refuse(errno.ENOSYS)

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Answer[Entry]:
        """A new directory."""
        raise refuse(errno.ENOSYS)

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Answer[Entry]:
        """A new symbolic link."""
        raise refuse(errno.ENOSYS)

    def link(self, caller: Caller, ino: int, parent: int, name: bytes) -> Answer[Entry]:
        """A further name of *ino*."""
        raise refuse(errno.ENOSYS)

    def unlink(self, caller: Caller, parent: int, name: bytes) -> Answer[None]:
        """Take away a name that is no directory's."""
        raise refuse(errno.ENOSYS)

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> Answer[None]:
        """Remove an empty directory."""
        raise refuse(errno.ENOSYS)

    def rename(
        self, caller: Caller, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int
    ) -> Answer[None]:
        """Rename; *flags* are those of renameat2(2)."""
        raise refuse(errno.ENOSYS)

    # --- inodes

    def getattr(self, caller: Caller, ino: int, fh: int | None) -> Answer[Attributes]:
        """The attributes; *fh* if an open file is asked about."""
        raise refuse(errno.ENOSYS)

    def setattr(self, caller: Caller, ino: int, change: Change) -> Answer[Attributes]:
        """Change attributes."""
        raise refuse(errno.ENOSYS)

    def readlink(self, caller: Caller, ino: int) -> Answer[bytes]:
        """Where a symbolic link leads."""
        raise refuse(errno.ENOSYS)

    def access(self, caller: Caller, ino: int, mask: int) -> Answer[None]:
        """Whether *caller* may; not asked on a mount with ``default_permissions``."""
        raise refuse(errno.ENOSYS)

    def statfs(self, caller: Caller, ino: int) -> Answer[Statfs]:
        """The state of the whole."""
        return Statfs()

    # --- extended attributes

    def getxattr(self, caller: Caller, ino: int, name: bytes) -> Answer[bytes]:
        """The value; ENODATA."""
        raise refuse(errno.ENOSYS)

    def listxattr(self, caller: Caller, ino: int) -> Answer[Iterable[bytes]]:
        """The names."""
        raise refuse(errno.ENOSYS)

    def setxattr(self, caller: Caller, ino: int, name: bytes, value: bytes, flags: int) -> Answer[None]:
        """Set one; *flags*: ``XATTR_CREATE``, ``XATTR_REPLACE``."""
        raise refuse(errno.ENOSYS)

    def removexattr(self, caller: Caller, ino: int, name: bytes) -> Answer[None]:
        """Remove one; ENODATA."""
        raise refuse(errno.ENOSYS)

    # --- directories

    def opendir(self, caller: Caller, ino: int, flags: int) -> Answer[Opened]:
        """Open a directory."""
        return Opened()

    def readdir(
        self, caller: Caller, ino: int, fh: int, offset: int, *, plus: bool
    ) -> Answer[Iterable[DirectoryEntry]]:
        """Rows from *offset* (0: the first) on, "." and ".." among them; as many are taken as fit.

        *plus*: with `DirectoryEntry.entry`, but for "." and "..".
        """
        raise refuse(errno.ENOSYS)

    def releasedir(self, caller: Caller, ino: int, fh: int) -> Answer[None]:
        """Nobody has *fh* open any more."""

    def fsyncdir(self, caller: Caller, ino: int, fh: int, *, datasync: bool) -> Answer[None]:
        """Make the names durable."""

    # --- files

    def open(self, caller: Caller, ino: int, flags: int) -> Answer[Opened]:
        """Open a file; *flags* are those of open(2) without ``O_CREAT``, ``O_EXCL``."""
        return Opened()

    def create(self, caller: Caller, parent: int, name: bytes, mode: int, flags: int) -> Answer[tuple[Entry, Opened]]:
        """Make and open a file in one."""
        raise refuse(errno.ENOSYS)

    def tmpfile(self, caller: Caller, parent: int, mode: int, flags: int) -> Answer[tuple[Entry, Opened]]:
        """Make and open a file without a name (``O_TMPFILE``)."""
        raise refuse(errno.EOPNOTSUPP)

    def read(self, caller: Caller, ino: int, fh: int, offset: int, size: int) -> Answer[bytes | bytearray | memoryview]:
        """At most *size* bytes; fewer only at the end."""
        raise refuse(errno.ENOSYS)

    def write(self, caller: Caller, ino: int, fh: int, offset: int, content: memoryview, flags: int) -> Answer[int]:
        """How many bytes were taken; *flags*: `abi.WRITE_CACHE` (not the caller's), `abi.WRITE_KILL_SUIDGID`."""
        raise refuse(errno.ENOSYS)

    def flush(self, caller: Caller, ino: int, fh: int, owner: int) -> Answer[None]:
        """A descriptor was closed: write errors can be told now, POSIX locks of *owner* end."""

    def release(self, caller: Caller, ino: int, fh: int, flags: int, owner: int) -> Answer[None]:
        """The last descriptor was closed; *flags*: `abi.RELEASE_FLUSH`, `abi.RELEASE_FLOCK_UNLOCK`."""

    def fsync(self, caller: Caller, ino: int, fh: int, *, datasync: bool) -> Answer[None]:
        """Make durable what was written."""

    def fallocate(self, caller: Caller, ino: int, fh: int, offset: int, length: int, mode: int) -> Answer[None]:
        """As fallocate(2)."""
        raise refuse(errno.ENOSYS)

    def lseek(self, caller: Caller, ino: int, fh: int, offset: int, whence: int) -> Answer[int]:
        """As lseek(2) with ``SEEK_DATA`` and ``SEEK_HOLE``; the kernel does the others."""
        raise refuse(errno.ENOSYS)

    def copy_file_range(
        self, caller: Caller, ino: int, fh: int, offset: int, to_ino: int, to_fh: int, to_offset: int, length: int
    ) -> Answer[int]:
        """How many bytes were copied."""
        raise refuse(errno.ENOSYS)

    # --- locks; asked only when the session offers them

    def getlk(self, caller: Caller, ino: int, fh: int, owner: int, lock: Lock) -> Answer[Lock]:
        """A lock that is in the way of *lock*, or ``F_UNLCK``."""
        raise refuse(errno.ENOSYS)

    def setlk(
        self, caller: Caller, ino: int, fh: int, owner: int, lock: Lock, *, wait: bool, flock: bool
    ) -> Answer[None]:
        """Take or give back a lock; EAGAIN, unless *wait*: then the answer comes when it is taken."""
        raise refuse(errno.ENOSYS)
