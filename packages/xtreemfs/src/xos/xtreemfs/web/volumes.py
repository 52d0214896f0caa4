# SPDX-License-Identifier: BSD-3-Clause
"""The volumes that requests are about: a session with each, begun when it is first asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from xos.common.log import get_logger
from xos.dixi.errors import Overloaded
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.client.volume import VolumeClient

log = get_logger("xos.xtreemfs.web")

PATIENCE_SECONDS = 20.0
"""How long an HTTP client waits for an MRC or OSD that is away."""
KEEP_SECONDS = 300.0
"""After so long without a request a session ends."""
LOOK_SECONDS = 30.0
MOST_VOLUMES = 256


class _Kept:
    def __init__(self, starting: asyncio.Task[VolumeClient]) -> None:
        self.starting = starting
        self.users, self.since = 0, 0.0


class Volumes:
    """All that are in use."""

    def __init__(self, bus: HasCallers, client: str) -> None:
        self._bus, self._client = bus, client
        self._kept: dict[str, _Kept] = {}

    @contextlib.asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[VolumeClient]:
        """A volume. Raises as `VolumeClient.start`, `Overloaded`."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(name)
        if kept is None:
            if len(self._kept) >= MOST_VOLUMES:
                raise Overloaded(service="Files", queued=len(self._kept))
            kept = self._kept[name] = _Kept(loop.create_task(self._started(name)))
        kept.users += 1
        try:
            yield await asyncio.shield(kept.starting)
        finally:
            kept.users -= 1
            kept.since = loop.time()
            if kept.starting.done() and kept.starting.exception() is not None and self._kept.get(name) is kept:
                del self._kept[name]

    async def _started(self, name: str) -> VolumeClient:
        volume = VolumeClient(self._bus, name, self._client, PATIENCE_SECONDS)
        await volume.start()
        return volume

    async def tend(self) -> None:
        """End, now and then, what nobody has used for a while."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            oldest = asyncio.get_running_loop().time() - KEEP_SECONDS
            for name, kept in list(self._kept.items()):
                if not kept.users and kept.since < oldest and kept.starting.done():
                    del self._kept[name]
                    await _end(name, kept)

    async def close(self) -> None:
        """End all of them."""
        kept, self._kept = self._kept, {}
        await asyncio.gather(*(_end(*one) for one in kept.items()))


async def _end(name: str, kept: _Kept) -> None:
    if not kept.starting.done():
        kept.starting.cancel()
        return
    if kept.starting.cancelled() or kept.starting.exception() is not None:
        return
    try:
        await kept.starting.result().close()
    except OSError as error:
        log.warning("web.not-ended", volume=name, detail=str(error))
