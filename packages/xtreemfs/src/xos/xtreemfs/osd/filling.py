# SPDX-License-Identifier: BSD-3-Clause
"""A replica of a file that does not change: it takes what it lacks from a complete one, when asked for it or wholly.

What it lacks is known by comparing sums, so nothing need be kept of that: after a restart they are compared again.
Nothing is read here before it is there; where no complete replica answers, that is an error and never a hole.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Host
from xos.xtreemfs.api import ShareState, Update
from xos.xtreemfs.errors import CorruptShare, TooFewReplicas
from xos.xtreemfs.osd.admission import Grant
from xos.xtreemfs.osd.checksums import BLOCK, Mark
from xos.xtreemfs.osd.copying import differing, runs
from xos.xtreemfs.osd.disk import Disk
from xos.xtreemfs.osd.fences import unless_newer
from xos.xtreemfs.osd.peers import RemoteSource, Source
from xos.xtreemfs.osd.share import Admit, State
from xos.xtreemfs.xati import OSDAsync

T = TypeVar("T")
log = get_logger("xos.xtreemfs.osd")
MOST_FILES = 4096
"""Of which it is kept in mind what they lack."""


class Filling:
    """One share. Raises `TooFewReplicas`, `CorruptShare`, and what `Disk` raises."""

    def __init__(self, file_id: str, disk: Disk, sources: Sequence[Source], admit: Admit) -> None:
        """*sources*: complete replicas of the share. *admit*: raises if they may not be that any more."""
        self.file_id = file_id
        self._disk, self._sources, self._admit = disk, sources, admit
        self._lock = asyncio.Lock()
        self._lacks: set[int] | None = None
        self._full = False

    async def start(self) -> State:
        """Know what is lacking; the share is as long as it is to be when this returns."""
        async with self._lock:
            if self._lacks is None:
                self._lacks = await self._from_one(self._compared)
        return await self._disk.state(self.file_id)

    async def read(self, offset: int, length: int, admit: Admit) -> bytes:
        """As `Disk.read`, once it is there."""
        await self.start()
        if offset >= 0 and length > 0:
            await self._take(range(offset // BLOCK, (offset + length - 1) // BLOCK + 1))
        return await self._disk.read(self.file_id, offset, length, admit)

    async def fill(self) -> State:
        """Take all that is lacking; it survives a power cut when this returns."""
        await self.start()
        if not self._full:
            await self._take(sorted(self._lacks or ()))
            await self._disk.sync(self.file_id)
            source = await self._from_one(lambda source: source.state())
            await self._disk.keep(self.file_id, self._like(source), durable=True)
            self._full = True
        return await self._disk.state(self.file_id)

    async def _compared(self, source: Source) -> set[int]:
        size = (await source.state()).size
        try:
            await self._disk.truncate(self.file_id, size, self._begun)
        except CorruptShare:  # of its end: nothing is to be kept of it
            await self._disk.truncate(self.file_id, 0, self._begun)
            await self._disk.truncate(self.file_id, size, self._begun)
        return await differing(self.file_id, self._disk, source, size)

    async def _take(self, blocks: Sequence[int]) -> None:
        lacks = self._lacks or set()
        for first, count in runs(block for block in blocks if block in lacks):
            content = await self._from_one(partial(_fetched, first=first, count=count))
            await self._disk.write(self.file_id, first * BLOCK, content, self._admit)
            lacks.difference_update(range(first, first + count))

    async def _from_one(self, work: Callable[[Source], Awaitable[T]]) -> T:
        """*work* with the first complete replica that answers."""
        damaged: CorruptShare | None = None
        for source in self._sources:
            try:
                return await work(source)
            except CorruptShare as error:
                damaged = error
            except XosError as error:
                log.info("fill.source-away", file=self.file_id, code=error.code, detail=error.message)
        raise damaged or TooFewReplicas(file_id=self.file_id, there=0, wanted=1)

    def _begun(self, mark: Mark) -> Mark:
        """What is not whole yet says of no primary that it has what that wrote."""
        return self._admit(mark)._replace(term=0, version=0)

    def _like(self, source: ShareState) -> Admit:
        def admit(mark: Mark) -> Mark:
            return self._admit(mark)._replace(term=source.term + 1, version=source.version)

        return admit


async def _fetched(source: Source, first: int, count: int) -> bytes:
    return await source.fetch(first * BLOCK, count * BLOCK)


class _Kept:
    """A filling, with the latest capability for it."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.filling: Filling


class Fillings:
    """Of one OSD."""

    def __init__(self, host: Host, disk: Disk) -> None:
        self._host, self._disk = host, disk
        self._files: OrderedDict[str, _Kept] = OrderedDict()

    def of(self, grant: Grant) -> Filling:
        """What fills the share of a grant that `lacks`."""
        known = self._files.get(grant.file_id)
        if known is None or known.grant.capability.layout.version != grant.capability.layout.version:
            known = self._files[grant.file_id] = _Kept(grant)
            known.filling = self._make(known)
        elif grant.capability.expires >= known.grant.capability.expires:
            known.grant = grant
        self._files.move_to_end(grant.file_id)
        while len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        return known.filling

    def forget(self, file_id: str) -> None:
        """The share is deleted."""
        self._files.pop(file_id, None)

    def _make(self, kept: _Kept) -> Filling:
        grant = kept.grant
        replicas = grant.capability.layout.replicas
        sources = [
            RemoteSource(OSDAsync(self._host.bus, replica.osds[grant.place]), grant.file_id, lambda: kept.grant.signed)
            for replica in replicas
            if replica.complete
        ]
        return Filling(grant.file_id, self._disk, sources, unless_newer(grant.capability))


def lacks(grant: Grant) -> bool:
    """Whether this replica may not have everything."""
    layout = grant.capability.layout
    return layout.update is Update.READ_ONLY and not layout.replicas[grant.replica].complete
