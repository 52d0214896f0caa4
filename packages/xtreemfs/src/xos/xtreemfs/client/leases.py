# SPDX-License-Identifier: BSD-3-Clause
"""Directories that this client has a lease of: their names and files in memory. Nothing here waits for anybody.

What the memory does not know for certain it does not say: then the MRC is asked, which needs no lease. It refuses
nothing either, since who is an administrator, only the MRC knows.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable
from functools import lru_cache

from msgspec import structs

from xos.xtreemfs.api import CAPABILITY_SECONDS, Change, Claim, Inode, Lease, Reserve
from xos.xtreemfs.client.grants import Shown
from xos.xtreemfs.mrc.access import (
    EXECUTE,
    READ,
    WRITE,
    may,
    may_change,
    may_name,
    may_remove,
    mode_after,
    new_inode,
)
from xos.xtreemfs.mrc.values import NAME_MAX, NOW, Who

FRESH_SECONDS = CAPABILITY_SECONDS / 3
"""For how long after it came the capability of a reserve is used."""


@lru_cache(maxsize=1024)
def who_of(claim: Claim) -> Who:
    """Of whom the MRC would take it for, at least."""
    return Who(claim.user, frozenset((*claim.groups, claim.group)), claim.group)


class Numbers:
    """A reserve in use."""

    __slots__ = ("_next", "_until", "after", "asked", "last", "lease", "read", "shown", "turns")

    def __init__(self, reserve: Reserve, lease: int) -> None:
        self.lease = lease
        self.after: Numbers | None = None
        """To go on with."""
        self.shown = Shown(reserve.capability)
        self.last, self._next = reserve.first + reserve.count - 1, reserve.first
        self._until = time.monotonic() + FRESH_SECONDS
        self.read = self.turns = self.asked = 0
        """The file that was opened last; how many have followed one another; up to which they were read ahead."""

    @property
    def left(self) -> int:
        """Numbers that are not taken yet; none once it is old."""
        return self.last + 1 - self._next if self.fresh else 0

    @property
    def fresh(self) -> bool:
        """Whether OSDs will believe the capability for a while."""
        return time.monotonic() < self._until

    def follows(self, number: int, near: int) -> bool:
        """A file is opened; whether it was made soon after the one that was opened last."""
        follows = 0 < number - self.read <= near
        self.read = number
        self.turns = self.turns + 1 if follows else min(self.turns, 0)
        return follows

    def take(self) -> int:
        """The next number."""
        self._next += 1
        return self._next - 1


class File:
    """A name's inode."""

    __slots__ = ("inode", "number", "numbers", "stamp")

    def __init__(self, number: int, inode: Inode | None, numbers: Numbers | None = None) -> None:
        self.number, self.inode = number, inode
        """As the MRC has it, or will have once it is told; None: it is to be asked."""
        self.numbers = numbers
        """The reserve that it was made with here, if its capability may still be good for the file."""
        self.stamp = 0

    def unknown(self) -> None:
        """It changed, and the MRC knows how."""
        self.inode = self.numbers = None
        self.stamp += 1


def can_keep(inode: Inode) -> bool:
    """Whether nobody changes it but through its one name: no directory, no file with several names."""
    return not inode.is_directory and inode.nlink == 1


class Held:
    """A leased directory."""

    __slots__ = ("asking", "directory", "id", "names", "numbers", "stamp", "used", "whole")

    def __init__(self, lease: Lease, names: Iterable[tuple[bytes, Inode]]) -> None:
        self.id, self.directory = lease.id, lease.directory
        self.numbers: dict[str, Numbers] = {}
        """For files of each owner."""
        self.whole = True
        """Whether all attributes of the directory are right, not only those that rights depend on."""
        self.names: dict[bytes, File | None] = {
            name: File(inode.id, inode if can_keep(inode) else None) for name, inode in names
        }
        """None: there may be such a name."""
        self.asking: set[str] = set()
        """For whom more numbers are on their way."""
        self.used = time.monotonic()
        self.stamp = 0

    # --- asked by programs; None: that the MRC must say

    def may_look(self, claim: Claim) -> bool:
        """Whether they may look names up."""
        return may(self.directory, who_of(claim), EXECUTE)

    def may_make(self, name: bytes, claim: Claim) -> bool:
        """Whether they may bring *name*, which is not there, into it."""
        who, directory = who_of(claim), self.directory
        if name in self.names or len(name) > NAME_MAX or not directory.nlink:
            return False
        return may(directory, who, WRITE | EXECUTE) and may_name(directory, name, who)

    def may_take(self, name: bytes, claim: Claim) -> File | None:
        """The regular file called *name*, if they may take its name away."""
        file = self.names.get(name)
        if file is None or file.inode is None or not stat.S_ISREG(file.inode.mode):
            return None
        return None if may_remove(self.directory, file.inode, who_of(claim)) else file

    # --- changes

    def put(self, name: bytes, file: File, when: int) -> None:
        """A name more."""
        self.stamp += 1
        self.names[name] = file
        self._touched(when)

    def take(self, name: bytes, when: int) -> None:
        """A name less."""
        self.stamp += 1
        self.names.pop(name, None)
        self._touched(when)

    def unknown(self, name: bytes) -> File | None:
        """*name* may be something else now; what it was."""
        self.stamp += 1
        self.whole = False
        before = self.names.get(name)
        self.names[name] = None
        return before

    def _touched(self, when: int) -> None:
        self.directory = structs.replace(self.directory, mtime=when, ctime=when)


class Memory:
    """All leased directories."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self.files: dict[int, File] = {}
        """Those whose attributes are known, by number."""

    def install(self, held: Held) -> None:
        """Of a lease that was just got and listed."""
        self.held[held.directory.id] = held
        for file in held.names.values():
            if file is not None:
                self.files[file.number] = file

    def drop(self, directory: int) -> Held | None:
        """Forget a directory; what it was."""
        held = self.held.pop(directory, None)
        if held is not None:
            for file in held.names.values():
                if file is not None and self.files.get(file.number) is file:
                    del self.files[file.number]
        return held

    def put(self, held: Held, name: bytes, file: File, when: int) -> None:
        """A name more."""
        self.files[file.number] = file
        held.put(name, file, when)

    def take(self, held: Held, name: bytes, file: File, when: int) -> None:
        """A name less, of a file that had no other."""
        held.take(name, when)
        if self.files.get(file.number) is file:
            del self.files[file.number]

    def unknown(self, directory: int, name: bytes) -> None:
        """The MRC was asked to change what *name* is."""
        held = self.held.get(directory)
        file = None if held is None else held.unknown(name)
        if file is not None:
            file.unknown()
            self.files.pop(file.number, None)

    def touched(self, number: int) -> None:
        """Attributes of an inode changed."""
        file = self.files.get(number)
        if file is not None:
            file.unknown()
        held = self.held.get(number)
        if held is not None:
            held.whole = False
            held.stamp += 1


def new_file(directory: Inode, claim: Claim, number: int, mode: int, now: int) -> Inode:
    """What `MRC.open_name` would make in *directory*; *mode*: permissions."""
    return new_inode(directory, who_of(claim), stat.S_IFREG | mode & 0o7777, now, number=number)


def may_read(inode: Inode, claim: Claim) -> bool:
    """Whether they may open it for reading. A kernel reads a program on behalf of who may only run it."""
    who = who_of(claim)
    return stat.S_ISREG(inode.mode) and (may(inode, who, READ) or may(inode, who, EXECUTE))


def changed(inode: Inode, claim: Claim, change: Change, now: int) -> tuple[Inode, Change] | None:
    """The inode after *change*, and what of it the MRC is to do; None: the MRC must say."""
    who = who_of(claim)
    stays = change.owner in (None, inode.owner) and change.group in (None, inode.group)
    if change.size is not None or not stays or may_change(inode, who, change):
        return None
    if (change.owner, change.group) != (None, None) and inode.mode & (stat.S_ISUID | stat.S_ISGID):
        return None
    change = Change(
        mode=change.mode,
        atime=now if change.atime == NOW else change.atime,
        mtime=now if change.mtime == NOW else change.mtime,
    )
    after = structs.replace(
        inode,
        mode=mode_after(inode, who, change),
        atime=inode.atime if change.atime is None else change.atime,
        mtime=inode.mtime if change.mtime is None else change.mtime,
        ctime=now,
    )
    return after, change
