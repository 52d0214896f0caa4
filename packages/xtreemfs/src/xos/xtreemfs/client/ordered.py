# SPDX-License-Identifier: BSD-3-Clause
"""Calls to the MRC, in order with what was done in the memory of leases: as if each had been a call of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from xos.xtreemfs.api import Claim, Inode, Lock
from xos.xtreemfs.client.leased import Leased
from xos.xtreemfs.client.leases import File, Held, can_keep

MOST_CLAIMS = 4096
CHANGE_WEIGHT = 4
"""A change of a name counts as so many look-ups, see `xos.xtreemfs.client.leasing`."""


class Ordered(Leased):
    """See `Names`."""

    @contextlib.asynccontextmanager
    async def changing(self, claim: Claim | None, *places: tuple[int, bytes]) -> AsyncIterator[None]:
        """Names are changed by the MRC."""
        await self.before()
        for parent, _ in places:
            while (gate := self._gates.get(parent)) is not None:
                await gate.wait()
        for parent, name in places:
            self._changing[parent] = self._changing.get(parent, 0) + 1
            self._memory.unknown(parent, name)
        try:
            yield
            self._accept(claim)
        finally:
            for parent, name in places:
                self._memory.unknown(parent, name)
                self._changing[parent] -= 1
                if not self._changing[parent]:
                    del self._changing[parent]
            if self._gates:
                await self._stir()
        for parent, _ in places:
            self.visited(parent, CHANGE_WEIGHT, claim)

    def _accept(self, claim: Claim | None) -> None:
        if claim not in self._accepted:
            if len(self._accepted) >= MOST_CLAIMS:
                self._accepted.clear()
            self._accepted.add(claim)

    def entered(self, parent: int, name: bytes, inode: Inode) -> None:
        """The MRC has brought *inode* into a directory."""
        held = self._memory.held.get(parent)
        if held is not None:
            file = File(inode.id, inode if can_keep(inode) else None)
            held.names[name] = self._memory.files[inode.id] = file
            held.stamp += 1

    async def lookup(self, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """See `Names`."""
        held = self._memory.held.get(parent)
        stamp = 0 if held is None else held.stamp
        if not self.pending.empty and (held is None or not self._is_elsewhere(held, name)):
            await self.pending.tell()
        inode = await super().lookup(parent, name, claim)
        self._accept(claim)
        self.visited(parent, 1, claim)
        if held is not None and held.stamp == stamp and self._memory.held.get(parent) is held:
            known = held.names.get(name)
            if known is None or (known.inode is None and can_keep(inode)):
                self.entered(parent, name, inode)
        return inode

    def _is_elsewhere(self, held: Held, name: bytes) -> bool:
        """Whether *name* is of something that the MRC knows, such as a directory."""
        file = held.names.get(name)
        return file is not None and file.inode is None

    async def create(
        self, parent: int, name: bytes, mode: int, rdev: int, target: bytes | None, claim: Claim | None = None
    ) -> Inode:
        """See `Names`."""
        async with self.changing(claim, (parent, name)):
            inode = await super().create(parent, name, mode, rdev, target, claim)
        self.entered(parent, name, inode)
        return inode

    async def link(self, inode: int, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """See `Names`."""
        async with self.changing(claim, (parent, name)):
            self.touched(inode)
            linked = await super().link(inode, parent, name, claim)
            self.touched(inode)
        return linked

    async def unlink(self, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """See `Names`."""
        async with self.changing(claim, (parent, name)):
            left = await super().unlink(parent, name, claim)
            self.touched(left.id)
        return left

    async def rmdir(self, parent: int, name: bytes, claim: Claim | None = None) -> None:
        """See `Names`."""
        async with self.changing(claim, (parent, name)):
            await super().rmdir(parent, name, claim)

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int = 0, claim: Claim | None = None
    ) -> Inode | None:
        """See `Names`."""
        held = self._memory.held.get(parent)
        moved = None if held is None else held.names.get(name)
        async with self.changing(claim, (parent, name), (new_parent, new_name)):
            lost = await super().rename(parent, name, new_parent, new_name, flags, claim)
            for number in (moved.number if moved else 0, lost.id if lost else 0):
                self.touched(number)
        return lost

    async def getattr(self, inode: int) -> Inode:
        """See `Names`."""
        await self.told(inode)
        file, held = self._memory.files.get(inode), self._memory.held.get(inode)
        stamp = file.stamp if file is not None else held.stamp if held is not None else 0
        if held is not None and not self.pending.empty:
            await self.pending.tell()
        found = await super().getattr(inode)
        if file is not None and file.stamp == stamp and can_keep(found):
            file.inode = found
        if held is not None and held.stamp == stamp and not held.whole and self.pending.empty:
            held.directory, held.whole = found, True
        return found

    async def getxattr(self, inode: int, name: bytes, claim: Claim | None = None) -> bytes:
        """See `Names`."""
        await self.told(inode)
        return await super().getxattr(inode, name, claim)

    async def listxattr(self, inode: int, claim: Claim | None = None) -> list[bytes]:
        """See `Names`."""
        await self.told(inode)
        return await super().listxattr(inode, claim)

    async def setxattr(self, inode: int, name: bytes, value: bytes, flags: int, claim: Claim | None = None) -> None:
        """See `Names`."""
        async with self._listing(inode):
            await super().setxattr(inode, name, value, flags, claim)

    async def removexattr(self, inode: int, name: bytes, claim: Claim | None = None) -> None:
        """See `Names`."""
        async with self._listing(inode):
            await super().removexattr(inode, name, claim)

    @contextlib.asynccontextmanager
    async def _listing(self, inode: int) -> AsyncIterator[None]:
        """An access control list may change, of a directory too: who may do what there, is not known then."""
        held = self._dropped(inode)
        if held is not None:
            await self._give_back(held)
        await self.before()
        self.touched(inode)
        try:
            yield
        finally:
            self.touched(inode)

    async def sync(self) -> None:
        """See `Names`."""
        await self.pending.tell()
        await super().sync()

    async def sync_directory(self, number: int) -> None:
        """All that was done in it survives a power cut when this returns. Raises `OSError` of what was not, once."""
        await self.sync()
        failed = self._failed.pop(number, 0)
        if failed:
            raise OSError(failed, "something that was done in the directory could not be told to the MRC")

    async def lock(self, lock: Lock, *, wait: bool, claim: Claim | None = None) -> None:
        """See `Names`."""
        await self.before()
        await super().lock(lock, wait=wait, claim=claim)

    async def unlock(self, lock: Lock) -> None:
        """See `Names`. Where nodes meet: what was done before is known by then."""
        await self.before()
        await super().unlock(lock)

    async def resolve(self, path: str, claim: Claim | None = None) -> Inode:
        """See `Names`."""
        await self.before()
        return await super().resolve(path, claim)
