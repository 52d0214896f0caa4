# SPDX-License-Identifier: BSD-3-Clause
"""What a file system is asked with, and what it answers. Times are Unix nanoseconds, names are bytes."""

from __future__ import annotations

import os
from typing import NamedTuple

from xos.xtreemfs.fuse import abi

_BILLION = 1_000_000_000
_U64 = (1 << 64) - 1


class Caller(NamedTuple):
    """Who asks, as the kernel knows them; all 0 when the kernel asks for itself (write-back)."""

    uid: int
    gid: int
    pid: int
    umask: int = 0
    """Of a program that makes something, for a file system that does not have it taken off (`FileSystem.masks`)."""


class Attr(NamedTuple):
    """The attributes of an inode (``struct fuse_attr``)."""

    ino: int
    mode: int
    """Type and permissions, as in stat(2)."""
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    size: int = 0
    blocks: int = 0
    """Of 512 bytes."""
    atime: int = 0
    mtime: int = 0
    ctime: int = 0
    rdev: int = 0
    blksize: int = 4096

    def pack(self) -> bytes:
        """The kernel's form."""
        atime, mtime, ctime = divmod(self.atime, _BILLION), divmod(self.mtime, _BILLION), divmod(self.ctime, _BILLION)
        return abi.attr.pack(
            self.ino,
            self.size,
            self.blocks,
            atime[0] & _U64,  # the kernel reads them as signed
            mtime[0] & _U64,
            ctime[0] & _U64,
            atime[1],
            mtime[1],
            ctime[1],
            self.mode,
            self.nlink,
            self.uid,
            self.gid,
            self.rdev,
            self.blksize,
            0,
        )


class Attributes(NamedTuple):
    """An answer to GETATTR and SETATTR."""

    attr: Attr
    valid_ns: int = 0
    """For how long the kernel may believe it."""

    def pack(self) -> bytes:
        """The kernel's form."""
        seconds, rest = divmod(self.valid_ns, _BILLION)
        return abi.attr_out.pack(seconds, rest, 0) + self.attr.pack()


class Entry(NamedTuple):
    """A name's inode."""

    attr: Attr
    entry_valid_ns: int = 0
    attr_valid_ns: int = 0
    generation: int = 0

    def pack(self) -> bytes:
        """The kernel's form."""
        entry_s, entry_ns = divmod(self.entry_valid_ns, _BILLION)
        attr_s, attr_ns = divmod(self.attr_valid_ns, _BILLION)
        head = abi.entry_out.pack(self.attr.ino, self.generation, entry_s, attr_s, entry_ns, attr_ns)
        return head + self.attr.pack()


def no_entry(valid_ns: int) -> bytes:
    """The answer "there is no such name", which the kernel may believe for that long."""
    seconds, rest = divmod(valid_ns, _BILLION)
    return abi.entry_out.pack(0, 0, seconds, 0, rest, 0) + bytes(abi.attr.size)


class Opened(NamedTuple):
    """An open file or directory."""

    fh: int = 0
    flags: abi.OpenFlag = abi.OpenFlag(0)
    backing_id: int = 0
    """Of `Session.backing_open`, with `OpenFlag.PASSTHROUGH`."""

    def pack(self) -> bytes:
        """The kernel's form."""
        return abi.open_out.pack(self.fh, self.flags, self.backing_id)


class Change(NamedTuple):
    """What SETATTR is to change; None: not that. `NOW` stands for the server's time."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None
    ctime: int | None = None
    kill_suidgid: bool = False
    fh: int | None = None

    @property
    def nothing(self) -> bool:
        """Whether no attribute is to be changed."""
        return all(value is None for value in self[:7])


NOW = -(1 << 80)
"""As a time in `Change`; no time of the kernel's is that early."""


class DirectoryEntry(NamedTuple):
    """A row of a directory."""

    name: bytes
    ino: int
    mode: int
    """Only the type counts."""
    offset: int
    """From where to go on after this row: never 0, stable while the directory is open."""
    entry: Entry | None = None
    """For READDIRPLUS; None: the kernel asks when it wants to know."""


class Lock(NamedTuple):
    """A lock on bytes *start* to *end*, both inclusive (``struct fuse_file_lock``)."""

    start: int
    end: int
    type: int
    """``F_RDLCK``, ``F_WRLCK`` or ``F_UNLCK``."""
    pid: int

    def pack(self) -> bytes:
        """The kernel's form."""
        return abi.lk_out.pack(self.start, self.end, self.type, self.pid)


class Statfs(NamedTuple):
    """The state of a file system, sizes in blocks of `frsize` bytes."""

    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    bsize: int = 4096
    namelen: int = 255
    frsize: int = 4096

    def pack(self) -> bytes:
        """The kernel's form."""
        return abi.statfs_out.pack(*self, 0)


def refuse(number: int) -> OSError:
    """The error to raise for an errno."""
    return OSError(number, os.strerror(number))
