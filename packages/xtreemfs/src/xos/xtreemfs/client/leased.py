# SPDX-License-Identifier: BSD-3-Clause
"""What is answered at once from the memory of a lease, and done in it.

Every method here answers, or says None: then the one of the same purpose that asks the MRC is to be called.
"""

from __future__ import annotations

import time
from abc import abstractmethod

from msgspec import structs

from xos.xtreemfs.api import HOLD_SECONDS, Access, Change, Claim, Extent, Gone, Inode, Open
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.gathering import Gathering
from xos.xtreemfs.client.grants import Shown
from xos.xtreemfs.client.leases import File, Held, changed, may_read, new_file
from xos.xtreemfs.client.leasing import Leasing
from xos.xtreemfs.client.pending import Born, State
from xos.xtreemfs.mrc.values import NAME_MAX

FEW_NUMBERS = 128
"""With so few left of a reserve the next is asked for."""

ABSENT = object()
"""What `Leased.find` answers of a name that is certainly not there."""


class Leased(Leasing):
    """Names and files in memory."""

    gathering: Gathering

    @abstractmethod
    def opened_here(
        self, inode: Inode, shown: Shown, access: Access, claim: Claim | None, version: int, *, created: bool
    ) -> Handle:
        """An open file that the MRC does not know of."""

    def known(self, number: int) -> Inode | None:
        """The attributes."""
        file = self._memory.files.get(number)
        if file is not None:
            return self.seen(file.inode) if file.inode is not None and self._sure else None
        held = self._memory.held.get(number)
        return held.directory if held is not None and held.whole and self._sure else None

    def find(self, parent: int, name: bytes, claim: Claim | None) -> Inode | object | None:
        """What is called *name*; `ABSENT`: nothing is."""
        held, local = self._usable(parent, claim)
        if held is None or local is None or len(name) > NAME_MAX or not held.may_look(local):
            return None
        if name not in held.names:
            return ABSENT
        file = held.names[name]
        if file is None:
            return None
        return self.seen(file.inode) if file.inode is not None else self.known(file.number)

    def make(self, parent: int, name: bytes, wanted: Open, umask: int, claim: Claim | None) -> Handle | None:
        """Make and open a file; *umask* is taken off unless a default ACL takes its place."""
        held, local = self._usable(parent, claim)
        if held is None or local is None or self.pending.full:
            return None
        numbers = held.numbers.get(local.user)
        if numbers is not None and numbers.after is not None and not numbers.left:
            numbers = held.numbers[local.user] = numbers.after
        if numbers is None or (numbers.left < FEW_NUMBERS and numbers.after is None):
            self._want_numbers(held, claim, local.user)
        if numbers is None or not numbers.left or not held.may_make(name, local):
            return None
        mode = wanted.mode if held.directory.default_acl else wanted.mode & ~umask
        number, now = numbers.take(), self.now()
        inode = new_file(held.directory, local, number, mode, now)
        file = File(number, inode, numbers)
        born = Born(parent, name, file, numbers, mode, now, claim)
        self._memory.put(held, name, file, now)
        access = wanted.access | Access.WRITE if wanted.truncate else wanted.access
        born.handle = self.opened_here(inode, numbers.shown, access, claim, -held.id, created=True)
        self.pending.add(born)
        return born.handle

    def remove(self, parent: int, name: bytes, claim: Claim | None) -> Inode | None:
        """Take the one name of a regular file away; the inode as it is then."""
        held, local = self._usable(parent, claim)
        if held is None or local is None or self.pending.full:
            return None
        file = held.may_take(name, local)
        if file is None or file.inode is None or any(not (h.number or h.left) for h in self.handles_of(file.number)):
            return None
        left = structs.replace(self.seen(file.inode), nlink=0, ctime=self.now())
        self._memory.take(held, name, file, left.ctime)
        self.pending.add(Gone(parent, name, file.number, left.ctime, claim))
        return left

    def open_here(self, number: int, wanted: Open, claim: Claim | None) -> Handle | None:
        """Open for reading what was made here."""
        file = self._memory.files.get(number)
        local = claim or self._own
        if file is None or file.inode is None or file.numbers is None or wanted.access != Access.READ:
            return None
        if wanted.truncate or local is None or claim not in self._accepted or not self._sure:
            return None
        if file.inode.epoch or not file.numbers.fresh or not may_read(file.inode, local):
            return None
        version = -file.numbers.lease
        handle = self.opened_here(file.inode, file.numbers.shown, Access.READ, claim, version, created=False)
        self._strangers.add(handle)
        early = self._early.opened(file, file.numbers, handle.grant)
        if early is not None:
            early.until = self._proved + HOLD_SECONDS
            handle.content.early = early
        return handle

    def change_here(self, number: int, change: Change, claim: Claim | None) -> Inode | None:
        """Change attributes of a file that the MRC has not heard of."""
        born, file, local = self.pending.born(number), self._memory.files.get(number), claim or self._own
        if born is None or born.state is not State.NOTHING or file is not born.file or claim != born.claim:
            return None
        if file.inode is None or local is None or not self._sure:
            return None
        times = change.mtime is not None or change.atime is not None
        if born.handle is not None and times:
            self.keep_here(born.handle)
            if not self._absorbed(born, born.handle):
                return None
        done = changed(self.seen(file.inode), local, change, self.now())
        if done is None:
            return None
        file.inode, more = done
        born.ctime = file.inode.ctime
        before = born.change or Change()
        born.change = Change(
            mode=before.mode if more.mode is None else more.mode,
            atime=before.atime if more.atime is None else more.atime,
            mtime=before.mtime if more.mtime is None else more.mtime,
        )
        return self.seen(file.inode)

    def keep_here(self, handle: Handle) -> bool:
        """Whether a program need not wait for the bytes of a file that it has made and written: they come first."""
        born = self.pending.born(handle.content.number)
        if born is None or born.handle is not handle or born.state is not State.NOTHING:
            return False
        return self.gathering.keep(handle)

    def leave(self, handle: Handle) -> bool:
        """Close a file as soon as its bytes are there; False: that is not all that there is to wait for."""
        born = self.pending.born(handle.content.number)
        handle.left = born is not None and born.handle is handle and handle.content.only_kept
        return handle.left

    def _absorbed(self, born: Born, handle: Handle) -> bool:
        """What was written goes to the MRC with the file; False: it is still under way."""
        content = handle.content
        if content.unsettled and not content.only_kept:
            return False
        if content.unreported:
            born.extent, born.mtime = content.extent, content.mtime
            if born.file.inode is not None:
                born.file.inode = content.view(born.file.inode)
            content.reported(content.extent, content.mtime)
        return True

    def reported(self, number: int, extent: Extent, mtime: int) -> None:
        """The MRC knows what was written."""
        file = self._memory.files.get(number)
        if file is None or file.inode is None or file.inode.epoch != extent.epoch:
            self.touched(number)
            return
        inode = file.inode
        ctime = max(inode.ctime, mtime)
        file.inode = structs.replace(inode, size=max(inode.size, extent.size), mtime=mtime, ctime=ctime)
        file.stamp += 1

    def closed_here(self, handle: Handle) -> bool:
        """A file is closed; whether the MRC needs no call for it."""
        if handle.number:
            return False
        self._strangers.discard(handle)
        born = self.pending.born(handle.content.number)
        if born is None or born.handle is not handle:
            if handle.access & Access.WRITE:  # it could not be made
                handle.content.given_up()
            return True
        if born.state is State.SENT:
            return False
        if self._absorbed(born, handle):
            born.handle = None
        return born.handle is None

    @property
    def _sure(self) -> bool:
        return time.monotonic() - self._proved < HOLD_SECONDS

    def _usable(self, directory: int, claim: Claim | None) -> tuple[Held | None, Claim | None]:
        held = self._memory.held.get(directory)
        if held is None or claim not in self._accepted or not self._sure:
            return None, None
        held.used = time.monotonic()
        return held, claim or self._own
