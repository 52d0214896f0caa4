# SPDX-License-Identifier: BSD-3-Clause
"""Names: looking up, listing, making, removing, renaming."""

from __future__ import annotations

import errno
import stat

import sqlalchemy as sa

from xos.xtreemfs.api import Ask, Claim, Inode, Row
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, namespace, paths, renaming, volumes
from xos.xtreemfs.mrc.calls.base import Calls, entry, node, shown
from xos.xtreemfs.mrc.renaming import Place
from xos.xtreemfs.mrc.values import Refusal, Result, Who

MOST_ROWS = 4096


class NameCalls(Calls):
    """See `MRC`."""

    async def resolve(self, volume: str, path: str, claim: Claim | None = None, session: str = "") -> Inode:
        """See `MRC.resolve`."""

        def leased(directory: int) -> bool:
            return bool(self.desk.leases.blocking(session, (directory,)))

        def find(db: sa.Connection, who: Who) -> Result[Inode]:
            found = volumes.find_volume(db, volume)
            return Refusal(errno.ENOENT) if found is None else paths.resolve(db, who, found.root, path.encode(), leased)

        return await self._exactly(session, lambda: self._read(f"{volume}/{path[:200]}", claim, find), _number)

    async def lookup(self, parent: int, name: bytes, claim: Claim | None = None, session: str = "") -> Inode:
        """See `MRC.lookup`."""

        def find(db: sa.Connection, who: Who) -> Result[Inode]:
            found = namespace.lookup(db, who, parent, name)
            blocking = self.desk.leases.blocking(session, _number(found)) if isinstance(found, Inode) else ()
            return Refusal(errno.EAGAIN, blocking) if blocking else found

        return await self._look(shown(name), claim, session, parent, find, _number)

    async def look_ahead(
        self, parent: int, name: bytes, most: int, claim: Claim | None = None, session: str = ""
    ) -> list[Row]:
        """See `MRC.look_ahead`."""
        if not 1 <= most <= MOST_ROWS:
            raise Refused.of(errno.EINVAL, shown(name))

        def find(db: sa.Connection, who: Who) -> Result[list[Row]]:
            found = namespace.look_ahead(db, who, parent, name, most)
            blocking = () if isinstance(found, Refusal) else self.desk.leases.blocking(session, _first(found))
            return Refusal(errno.EAGAIN, blocking) if blocking else found

        wanted, *more = await self._look(shown(name), claim, session, parent, find, _first)
        return [wanted, *(row for row in more if not self._is_others(session, row.inode.id))]

    def _is_others(self, session: str, number: int) -> bool:
        """Whether others may be writing a file, or changing what is in a directory, of which the MRC hears later."""
        return self.settling.written(number, session) or bool(self.desk.leases.blocking(session, (number,)))

    async def readdir(
        self, inode: int, after: int, most: int, claim: Claim | None = None, session: str = ""
    ) -> list[Row]:
        """See `MRC.readdir`."""
        if not 1 <= most <= MOST_ROWS or after < 0:
            raise Refused.of(errno.EINVAL, f"readdir of {inode}")

        def list_(db: sa.Connection, who: Who) -> Result[list[Row]]:
            return namespace.readdir(db, who, inode, after, most)

        return await self._look(f"directory {inode}", claim, session, inode, list_, _numbers)

    async def create(self, parent: int, name: bytes, mode: int, rdev: int, target: bytes | None, ask: Ask) -> Inode:
        """See `MRC.create`."""

        def make(db: sa.Connection, who: Who, now: int) -> Result[Inode]:
            return namespace.create(db, who, parent, name, mode, now, rdev=rdev, target=target)

        return await self._change(ask, Inode, shown(name), make, entry(parent, name), node(parent), names=(parent,))

    async def link(self, inode: int, parent: int, name: bytes, ask: Ask) -> Inode:
        """See `MRC.link`."""

        def make(db: sa.Connection, who: Who, now: int) -> Result[Inode]:
            return namespace.link(db, who, inode, parent, name, now)

        await self.settling.settle([inode], ask.session)
        changes = (entry(parent, name), node(parent), node(inode))
        return await self._change(ask, Inode, shown(name), make, *changes, names=(parent,), files=(inode,))

    async def unlink(self, parent: int, name: bytes, ask: Ask) -> Inode:
        """See `MRC.unlink`."""

        def take(db: sa.Connection, who: Who, now: int) -> Result[Inode]:
            if refusal := self._leased(db, ask.session, parent, name):
                return refusal
            left = namespace.unlink(db, who, parent, name, now)
            if isinstance(left, Inode) and left.nlink == 0:
                contents.reap(db, left.id)
            return left

        left = await self._change(ask, Inode, shown(name), take, entry(parent, name), node(parent), names=(parent,))
        self.desk.tell(ask, node(left))
        if left.nlink == 0 and stat.S_ISREG(left.mode):
            self.chores.look()
        return left

    async def rmdir(self, parent: int, name: bytes, ask: Ask) -> None:
        """See `MRC.rmdir`."""

        def take(db: sa.Connection, who: Who, now: int) -> Result[None]:
            if refusal := self._leased(db, ask.session, parent, name):
                return refusal
            gone = namespace.lookup(db, who, parent, name)
            result = namespace.rmdir(db, who, parent, name, now)
            if result is None and isinstance(gone, Inode):
                contents.reap(db, gone.id)
            return result

        await self._change(ask, None, shown(name), take, entry(parent, name), node(parent), names=(parent,))

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, ask: Ask
    ) -> Inode | None:
        """See `MRC.rename`."""
        old, new = Place(parent, name), Place(new_parent, new_name)

        def move(db: sa.Connection, who: Who, now: int) -> Result[Inode | None]:
            for place in (old, new):
                if refusal := self._leased(db, ask.session, *place):
                    return refusal
            gone = renaming.rename(db, who, old, new, flags, now)
            if isinstance(gone, Inode):
                contents.reap(db, gone.id)
            return gone

        changes = (entry(*old), entry(*new), node(parent), node(new_parent))
        what, names = f"{shown(name)} to {shown(new_name)}", (parent, new_parent)
        gone = await self._change(ask, Inode | None, what, move, *changes, names=names)
        if gone is not None:
            self.desk.tell(ask, node(gone))
            self.chores.look()
        return gone


def _number(inode: Inode) -> tuple[int]:
    return (inode.id,)


def _first(found: list[Row]) -> tuple[int]:
    return (found[0].inode.id,)


def _numbers(found: list[Row]) -> list[int]:
    return [row.inode.id for row in found]
