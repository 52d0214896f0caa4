# SPDX-License-Identifier: BSD-3-Clause
"""Open files."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import sqlalchemy as sa

from xos.dixi.api import current_call
from xos.xtreemfs.api import Ask, Closed, Extent, Inode, Open, Opened
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import handles as open_files
from xos.xtreemfs.mrc import namespace
from xos.xtreemfs.mrc.calls.base import entry, node, shown
from xos.xtreemfs.mrc.calls.replicas import ReplicaCalls
from xos.xtreemfs.mrc.contents import Grant, Place
from xos.xtreemfs.mrc.handles import changes
from xos.xtreemfs.mrc.settling import writes
from xos.xtreemfs.mrc.values import Result, Who

MOST_HANDLES = 4096


class FileCalls(ReplicaCalls):
    """See `MRC`."""

    def _place(self) -> Place:
        """Where files are placed that the caller makes."""
        return partial(self.osds.place, client=current_call().caller.name)

    async def _with_room(self, do: Callable[[], Awaitable[Grant]]) -> Grant:
        """What *do* places; where there is no room, once more with the OSDs that have come meanwhile."""
        await self.osds.ready()
        try:
            return await do()
        except Refused as error:
            if error.data["errno"] != errno.ENOSPC or not await self.osds.look_again():
                raise
        return await do()

    async def open(self, inode: int, wanted: Open, ask: Ask) -> Opened:
        """See `MRC.open`."""

        place = self._place()

        def work(db: sa.Connection, who: Who, now: int) -> Result[Grant]:
            return open_files.open_inode(db, who, inode, wanted, ask.session, place, now)

        await self.settling.settle([inode], ask.session, opens=True)
        files = (inode,) if changes(wanted) else ()
        grant = await self._with_room(lambda: self.desk.change(ask, Grant, f"inode {inode}", work, files=files))
        if wanted.truncate:
            self.desk.tell(ask, node(inode))
        return self._opened(grant, ask)

    async def open_name(self, parent: int, name: bytes, wanted: Open, ask: Ask) -> Opened:
        """See `MRC.open_name`."""

        place = self._place()

        def work(db: sa.Connection, who: Who, now: int) -> Result[Grant]:
            if changes(wanted) and (refusal := self._leased(db, ask.session, parent, name)):
                return refusal
            return open_files.open_name(db, who, parent, name, wanted, ask.session, place, now)

        self.desk.leases.visit(ask.session, parent)
        since = self.settling.moment
        grant = await self._with_room(lambda: self.desk.change(ask, Grant, shown(name), work, names=(parent,)))
        if grant.created:
            self.desk.tell(ask, entry(parent, name), node(parent))
        elif wanted.truncate:
            self.desk.tell(ask, node(grant.inode))
        elif await self.settling.settle([grant.inode.id], ask.session, since=since, opens=True):
            number = grant.inode.id
            inode = await self.desk.read(shown(name), lambda db: namespace.getattr_(db, number))
            grant = msgspec.structs.replace(grant, inode=inode)
        return self._opened(grant, ask)

    def _opened(self, grant: Grant, ask: Ask) -> Opened:
        if writes(grant):
            self.settling.opened(ask.session, grant.handle, grant.inode.id)
        else:
            self.note_read(grant, current_call().caller.name)
        return self.desk.opened(grant, version=self.settling.version(ask.session, grant.inode.id))

    async def truncate(self, inode: int, size: int, handle: int, ask: Ask) -> Opened:
        """See `MRC.truncate`."""

        place = self._place()

        def work(db: sa.Connection, who: Who, now: int) -> Result[Grant]:
            return open_files.truncate(db, who, inode, size, handle, ask.session, place, now)

        change = partial(self._change, ask, Grant, f"inode {inode}", work, node(inode), files=(inode,))
        grant = await self._with_room(change)
        self.settling.changed(ask.session, inode)
        return self.desk.opened(grant)

    async def renew(self, session: str, handles: list[int]) -> list[Opened | None]:
        """See `MRC.renew`."""
        live = self.desk.session(session, "renew")
        if len(handles) > MOST_HANDLES:
            raise Refused.of(errno.E2BIG, "renew")
        if (over := self.still.get(live.kept.volume)) is not None:
            await over.wait()
        grants = await self.desk.read("renew", lambda db: open_files.renew(db, live.kept.id, handles))
        return [None if grant is None else self.desk.opened(grant) for grant in grants]

    async def update(self, handle: int, extent: Extent, mtime: int, ask: Ask, durable: bool = True) -> Inode:
        """See `MRC.update`."""

        def work(db: sa.Connection, who: Who, now: int) -> Result[Inode]:  # noqa: ARG001 -- the handle says it
            return open_files.update(db, ask.session, handle, extent, mtime, now)

        inode = await self.desk.change(_unnumbered(ask), Inode, f"handle {handle}", work)
        if durable:
            await self.store.sync()
        self.desk.tell(ask, node(inode))
        return inode

    async def sync(self) -> None:
        """See `MRC.sync`."""
        await self.store.sync()

    async def close(self, closed: list[Closed], ask: Ask) -> None:
        """See `MRC.close`."""
        if len(closed) > MOST_HANDLES:
            raise Refused.of(errno.EINVAL, "close")

        def work(db: sa.Connection, who: Who, now: int) -> Result[list[tuple[int, bool] | None]]:  # noqa: ARG001
            return [open_files.close(db, ask.session, one, now) for one in closed]

        done = await self.desk.change(_unnumbered(ask), None, "close", work)
        self.settling.closed(one.handle for one, found in zip(closed, done, strict=True) if found is not None)
        self.desk.tell(
            ask, *(node(found[0]) for one, found in zip(closed, done, strict=True) if found and one.extent is not None)
        )
        if any(found is not None and found[1] for found in done):
            self.chores.look()


def _unnumbered(ask: Ask) -> Ask:
    """For what is the same when done twice: its answer need not be kept."""
    return Ask(ask.session, 0, ask.claim)
