# SPDX-License-Identifier: BSD-3-Clause
"""How an MRC or OSD tells the DIR that it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import HEARTBEAT_SECONDS, ServiceRecord, VolumeRecord
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.heartbeat")

RETRY_SECONDS = 1.0
DEADLINE_SECONDS = 5.0

State = Callable[[], Awaitable[tuple[ServiceRecord, Sequence[VolumeRecord]]]]
"""How the service is now, and the volumes that it serves."""


class Heart:
    """Registers a service with the DIR: at once, then every `HEARTBEAT_SECONDS`, and whenever it is told to."""

    def __init__(self, bus: HasCallers, state: State) -> None:
        self._dir, self._state = DIRAsync(bus), state
        self._now = asyncio.Event()
        self._ahead = 0.0
        """Seconds by which the DIR's clock is ahead of ours, as far as it was heard."""

    def now(self) -> float:
        """Unix seconds by the clock of the DIR, as far as it has been heard; else by our own."""
        return time.time() + self._ahead

    def beat(self) -> None:
        """Something changed (a volume was made): tell it now, not at the next heartbeat."""
        self._now.set()

    async def once(self) -> int:
        """Register; Unix nanoseconds at the DIR. Raises what `DIR.register` raises."""
        self._now.clear()
        record, volumes = await self._state()
        began = time.time()
        there = await self._dir.register(record, list(volumes), deadline=DEADLINE_SECONDS)
        self._ahead = there / 1e9 - (began + time.time()) / 2
        return there

    async def run(self) -> None:
        """Beat until cancelled; a DIR that cannot be reached is tried again and again."""
        while True:
            pause: float = HEARTBEAT_SECONDS
            try:
                await self.once()
            except XosError as error:
                log.warning("dir.unreachable", code=error.code, detail=error.message)
                pause = RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._now.wait()
            except TimeoutError:
                continue
