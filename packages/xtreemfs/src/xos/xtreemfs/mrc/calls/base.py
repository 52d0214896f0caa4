# SPDX-License-Identifier: BSD-3-Clause
"""What all calls stand on."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from xos.dixi.hosting import Host
from xos.xtreemfs.api import Ask, Changed, Claim, Inode, What
from xos.xtreemfs.heartbeat import Heart
from xos.xtreemfs.mrc import rows
from xos.xtreemfs.mrc.desk import Desk
from xos.xtreemfs.mrc.management import Changing, Management
from xos.xtreemfs.mrc.osds import Chores, Osds
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.reading import Reads
from xos.xtreemfs.mrc.settling import Settling
from xos.xtreemfs.mrc.values import Refusal, Result, Who

_T = TypeVar("_T")


class Calls:
    """Base of the mixins; `MrcService.start` sets these."""

    host: Host
    node: str
    store: PairedStore
    desk: Desk
    osds: Osds
    chores: Chores
    heart: Heart
    changing: Changing
    management: Management
    reads: Reads
    still: dict[int, asyncio.Event]
    """Volumes of which a snapshot is being made, and when that is over."""
    settling: Settling

    async def _change(
        self,
        ask: Ask,
        kind: Any,
        what: str,
        do: Callable[[sa.Connection, Who, int], Result[_T]],
        *changes: Changed,
        names: Sequence[int] = (),
        files: Sequence[int] = (),
    ) -> _T:
        """Do it once, then tell others of *changes*; *names*, *files*: see `Desk.change`."""
        self.desk.leases.visit(ask.session, *names)
        result = await self.desk.change(ask, kind, what, do, names=names, files=files)
        self.desk.tell(ask, *changes)
        return result

    async def _read(self, what: str, claim: Claim | None, do: Callable[[sa.Connection, Who], Result[_T]]) -> _T:
        """Look something up for who asks."""
        who = self.desk.who(claim, what)
        return await self.desk.read(what, lambda db: do(db, who))

    async def _look(
        self,
        what: str,
        claim: Claim | None,
        session: str,
        directory: int,
        do: Callable[[sa.Connection, Who], Result[_T]],
        numbers: Callable[[_T], Iterable[int]],
    ) -> _T:
        """As `_read`, in a *directory* of which nobody else has a lease then."""
        leases = self.desk.leases

        def look(db: sa.Connection, who: Who) -> Result[_T]:
            if blocking := leases.blocking(session, (directory,)):
                return Refusal(errno.EAGAIN, blocking)
            return do(db, who)

        leases.visit(session, directory)
        return await self._exactly(session, lambda: self._read(what, claim, look), numbers)

    def _leased(self, db: sa.Connection, session: str, parent: int, name: bytes) -> Refusal | None:
        """Others have leased what *name* is, a directory, or directories in which it has further names."""
        leases = self.desk.leases
        there = rows.child(db, parent, name) if leases.everywhere() else None
        if there is None:
            return None
        if there.is_directory:
            blocking = leases.blocking(session, (there.id,))
        else:
            blocking = leases.blocking(session, (), (there.id,), db) if there.nlink > 1 else ()
        return Refusal(errno.EAGAIN, blocking) if blocking else None

    async def _exactly(
        self, session: str, look: Callable[[], Awaitable[_T]], numbers: Callable[[_T], Iterable[int]]
    ) -> _T:
        """What *look* finds, once it tells how long files are that others write."""
        since = self.settling.moment
        found = await look()
        return await look() if await self.settling.settle(numbers(found), session, since=since) else found


def entry(directory: int, name: bytes) -> Changed:
    """A name came, went, or leads elsewhere."""
    return Changed(What.ENTRY, directory, name)


def node(inode: Inode | int) -> Changed:
    """An inode is not as it was."""
    return Changed(What.INODE, inode if isinstance(inode, int) else inode.id)


def shown(name: bytes) -> str:
    """A name in an error."""
    return name[:64].decode(errors="backslashreplace")
