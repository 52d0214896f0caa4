# SPDX-License-Identifier: BSD-3-Clause
"""How long files are that somebody writes: the OSDs know, as soon as close(2) or flush has returned.

A client tells how long a file has become a moment after it has closed it, many in one call. Who looks meanwhile, or
while the file is still being written, must not see what was: so the OSDs are asked. That costs those who share a file
that changes, and nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import sqlalchemy as sa

from xos.xtreemfs.api import NOW, Access, Extent, Update
from xos.xtreemfs.mrc import contents, handles, rows
from xos.xtreemfs.mrc.changes import Changes
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.osds import CALL_SECONDS, Osds
from xos.xtreemfs.mrc.pairing.store import PairedStore

MOST_ASKING = 64
"""Files about which OSDs are asked at once."""
ASK_SECONDS = 10.0
"""How long who looks at a file waits for its OSDs: they may be busy, and must first be connected to."""
PAY_SECONDS = 5.0
"""How often they are asked about files whose writer is gone."""
LOOK_SECONDS = 2.0
"""For how long OSDs that did not answer are left in peace by who only looks."""


class Settling:
    """Which files are open to be written, and by whom: as the table of handles says, in memory."""

    def __init__(self, store: PairedStore, osds: Osds) -> None:
        self._store, self._osds = store, osds
        self._writers: dict[int, dict[int, str]] = {}
        """Of an inode: the session of each handle that may write."""
        self._handles: dict[int, int] = {}
        self._changes = Changes()
        self._mute: dict[int, float] = {}
        """Inodes whose OSDs did not answer, and when they may be asked again."""
        self._owed: set[int] = set()
        """Inodes whose writer is gone while nobody could say how long they are: asked about until somebody does."""
        self.asking = asyncio.Semaphore(MOST_ASKING)
        """Held while OSDs are asked about a file."""

    async def recover(self) -> None:
        """What was open when the MRC ended."""
        for session, handle, inode in await self._store.inner.read(handles.writers):
            self.opened(session, handle, inode)

    def forget(self) -> None:
        """Another MRC keeps the handles."""
        self._writers.clear()
        self._handles.clear()
        self._mute.clear()
        self._owed.clear()
        self._changes = Changes()

    def opened(self, session: str, handle: int, inode: int) -> None:
        """A file may be written now."""
        self._writers.setdefault(inode, {})[handle] = session
        self._handles[handle] = inode

    def closed(self, closed: Iterable[int]) -> None:
        """Handles are gone."""
        for handle in closed:
            inode = self._handles.pop(handle, None)
            if inode is not None and (of := self._writers.get(inode)) is not None:
                self.changed(of.pop(handle), inode)
                if not of:
                    del self._writers[inode]
                    self._mute.pop(inode, None)

    def changed(self, session: str, inode: int) -> None:
        """What the file holds may be another thing now."""
        self._changes.note(inode, session)

    def version(self, session: str, inode: int) -> int:
        """See `xos.xtreemfs.api.Opened.version`, of what *session* opens now."""
        if self.written(inode, session) or inode in self._owed:
            return 0
        return self._changes.number(inode, session)

    def ended(self, session: str) -> None:
        """All of a session's are."""
        self.closed([handle for of in self._writers.values() for handle, whose in of.items() if whose == session])

    def owe(self, inodes: Iterable[int]) -> None:
        """Nobody could say how long these files are, and who wrote them is gone."""
        self._owed.update(inodes)

    @property
    def owed(self) -> int:
        """How many there are."""
        return len(self._owed)

    async def pay(self) -> None:
        """Ask again, and again, how long the files are of which that is not known."""
        while True:
            await asyncio.sleep(PAY_SECONDS)
            longest_ago = sorted(self._owed, key=lambda number: self._mute.get(number, 0.0))
            await asyncio.gather(*map(self._settle, longest_ago[:MOST_ASKING]))

    @property
    def moment(self) -> int:
        """Now, for `settle`."""
        return self._changes.last

    async def settle(
        self, numbers: Iterable[int], session: str = "", *, since: int | None = None, opens: bool = False
    ) -> bool:
        """Have in the database how long these files are, as far as others than *session* write them.

        Whether to look there again: others write one of them, or have closed it after the `moment` *since*, which was
        before they were looked up. OSDs that do not answer in `ASK_SECONDS` leave it at what was known; whoever *opens*
        a file asks them each time.
        """
        numbers = list(numbers)
        written = [number for number in numbers if number in self._owed or self.written(number, session)]
        now = time.monotonic()
        asked = [number for number in written if opens or self._mute.get(number, 0.0) <= now]
        await asyncio.gather(*map(self._settle, asked))
        return bool(written) or (
            since is not None and any(self._changes.number(number, session) > since for number in numbers)
        )

    def written(self, number: int, session: str) -> bool:
        """Whether others than *session* may write it."""
        of = self._writers.get(number)
        return of is not None and any(whose != session or not session for whose in of.values())

    async def _settle(self, number: int) -> None:
        grant = await self._store.read(lambda db: handles.seen(db, number))
        if grant is None or grant.layout.update is Update.READ_ONLY:
            self._known(number)
            return
        extent = await self.extent(grant, ASK_SECONDS)
        if extent is None:
            self._mute[number] = time.monotonic() + LOOK_SECONDS
            return
        self._known(number)
        if extent.size > grant.inode.size:
            await self._store.write(lambda db: _grow(db, number, extent, time.time_ns()))

    def _known(self, number: int) -> None:
        if number in self._owed:
            self._owed.discard(number)
            self._mute.pop(number, None)

    async def extent(self, grant: Grant, seconds: float = CALL_SECONDS) -> Extent | None:
        """How long a file is by what its OSDs have; None: nobody knows."""
        striping, sizes = grant.layout.striping, []
        for replica in grant.layout.replicas:
            async with self.asking:
                states = await self._osds.states(replica.osds, grant.file_id, seconds)
            shares = [
                states[osd].size if osd in states and states[osd].epoch == grant.inode.epoch else 0
                for osd in replica.osds
            ]
            if states:
                sizes.append(striping.file_size(shares))
        return Extent(max(sizes), grant.inode.epoch) if sizes else None


def _grow(db: sa.Connection, number: int, extent: Extent, now: int) -> None:
    whole = rows.whole(db, number)
    if whole is None or extent.epoch != whole.inode.epoch or extent.size <= whole.inode.size:
        return
    contents.extend(db, whole.volume, whole.inode, extent, NOW, now)


def writes(grant: Grant) -> bool:
    """Whether it is a handle that may write."""
    return bool(grant.handle) and bool(grant.access & Access.WRITE)
