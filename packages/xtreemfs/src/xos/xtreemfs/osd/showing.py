# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots as calls see them: who may still write, what is read, and which replica has it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import Capability
from xos.xtreemfs.errors import BadCapability, UnknownFile
from xos.xtreemfs.osd.admission import Grant
from xos.xtreemfs.osd.checksums import Mark
from xos.xtreemfs.osd.disk import LocalDisk
from xos.xtreemfs.osd.replication import told
from xos.xtreemfs.osd.share import Admit, State
from xos.xtreemfs.osd.snapshots import Snapshots, volume_of
from xos.xtreemfs.xati import OSDAsync

T = TypeVar("T")
log = get_logger("xos.xtreemfs.osd")
STATE_SECONDS = 3.0


class Writers:
    """Writes under way, so that it is known when the last one of an older number is over."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._under_way: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._over = asyncio.Event()

    @contextmanager
    def writing(self, capability: Capability) -> Iterator[None]:
        """For the time of one write. Raises `BadCapability` when a snapshot was made since it was signed."""
        volume, number = volume_of(capability.file_id), capability.snapshot
        if number < self._snapshots.known(volume).number:
            raise BadCapability(file_id=capability.file_id, detail="it is from before a snapshot")
        writes = self._under_way[volume]
        writes[number] += 1
        try:
            yield
        finally:
            writes[number] -= 1
            if not writes[number]:
                del writes[number]
                if not writes:
                    del self._under_way[volume]
                self._over.set()

    async def older_over(self, volume: str, number: int) -> None:
        """Wait until no write of an older number is under way; none begins meanwhile, if that is known by now."""
        while any(one < number for one in self._under_way.get(volume, ())):
            self._over.clear()
            await self._over.wait()


class Showing:
    """Files of snapshots, by capabilities that name their origin."""

    def __init__(self, disk: LocalDisk, bus: HasCallers) -> None:
        self._disk, self._bus = disk, bus

    async def read(self, capability: Capability, offset: int, length: int) -> bytes:
        """As `Disk.read`."""
        admit = _not_written(capability.snapshot)
        return await self._shown(capability, lambda name: self._disk.read(name, offset, length, admit))

    async def state(self, capability: Capability) -> State:
        """Of what this OSD has of it."""

        async def look(name: str) -> State:
            state = await self._disk.state(name)
            _not_written(capability.snapshot)(state.mark)
            return state

        return await self._shown(capability, look)

    async def is_same(self, grant: Grant) -> bool:
        """Whether this replica of what had several has the same as a complete one: both by a primary's numbers."""
        capability, mine = grant.capability, await self.state(grant.capability)
        complete = [replica.osds[grant.place] for replica in capability.layout.replicas if replica.complete]
        for node in complete:
            try:
                osd = OSDAsync(self._bus, node)
                theirs = await osd.state(capability.origin, capability.snapshot, deadline=STATE_SECONDS)
            except UnknownFile:
                theirs = told(capability.origin, State())
            except XosError as error:
                log.info("snapshot.source-away", file=grant.file_id, osd=node, code=error.code)
                continue
            return (theirs.term, theirs.version, theirs.size) == (mine.mark.term - 1, mine.mark.version, mine.size)
        return False

    async def _shown(self, capability: Capability, work: Callable[[str], Awaitable[T]]) -> T:
        while True:
            try:
                return await work(await self._disk.shown(capability))
            except _Written:
                continue


class _Written(Exception):
    """Raised when the share that a snapshot showed is written to: what it was is kept by now."""


def _not_written(number: int) -> Admit:
    def admit(mark: Mark) -> Mark:
        if mark.snapshot >= number:
            raise _Written
        return mark

    return admit
