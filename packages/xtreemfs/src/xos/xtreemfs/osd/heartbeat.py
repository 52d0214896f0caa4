# SPDX-License-Identifier: BSD-3-Clause
"""How an OSD is, told to the DIR; in return the OSD learns what time it is there."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Host
from xos.xtreemfs.api import HEARTBEAT_SECONDS, STORE, Health, ServiceRecord
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.osd")
LOAD_SECONDS = 60.0
"""Over which the load is averaged."""
FULL = 0.01
"""Share of the file system that is free when an OSD calls itself full."""


class Heartbeat:
    """Keeps the load, and tells the DIR of it."""

    def __init__(self, host: Host, attributes: Mapping[str, str]) -> None:
        self._host, self._attributes = host, tuple(attributes.items())
        self.store = ""
        """Id of the disk, once it is known."""
        self._dir = DIRAsync(host.bus)
        self._ahead = 0.0
        self._busy, self._load, self._since = 0, 0.0, time.monotonic()

    def now(self) -> float:
        """Unix seconds by the clock of the DIR, as far as it has been heard; else by our own."""
        return time.time() + self._ahead

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A call is under way."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        now = time.monotonic()
        weight = math.exp((self._since - now) / LOAD_SECONDS)
        self._load, self._since = self._busy + (self._load - self._busy) * weight, now
        self._busy += by

    def health(self) -> Health:
        """How it is now. Raises `OSError`."""
        self._count(0)
        room = os.statvfs(self._host.data)
        total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
        read_only = bool(room.f_flag & os.ST_RDONLY)
        return Health(total, free, 0, self._load, read_only, free < FULL * total, 0)

    async def run(self) -> None:
        """Tell the DIR every `HEARTBEAT_SECONDS`; one that is not there is told when it comes."""
        silent = False
        while True:
            try:
                await self._tell()
                silent = False
            except (XosError, OSError) as error:
                if not silent:
                    log.warning("heartbeat.failed", detail=str(error))
                silent = True
            await asyncio.sleep(1.0 if silent else HEARTBEAT_SECONDS)

    async def _tell(self) -> None:
        health = await asyncio.to_thread(self.health)
        free = 0 if health.read_only else health.free
        attributes = tuple(pair for pair in self._attributes if pair[0] != STORE)
        attributes += ((STORE, self.store),) if self.store else ()
        record = ServiceRecord("OSD", self._host.node, health.total, free, health.load, attributes)
        began = time.time()
        there = await self._dir.register(record, [], deadline=5.0)
        self._ahead = there / 1e9 - (began + time.time()) / 2
