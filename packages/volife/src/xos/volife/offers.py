# SPDX-License-Identifier: BSD-3-Clause
"""What machines tell of themselves now: asked once for all readers, and never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from xos.aem.api import Resource as Offer
from xos.aem.xati import ResourceManagerAsync
from xos.common.errors import XosError
from xos.dixi.hosting import Host

ASKED_AT_ONCE = 32
ANSWER_SECONDS = 5.0
PATIENCE_SECONDS = 0.1
"""How long a page waits; who answers later is in its next part."""


class Offers:
    """The latest answer of each machine's Resource Manager, at most *fresh_s* old while the machine answers."""

    def __init__(self, host: Host, fresh_s: float) -> None:
        self._host, self._fresh_s = host, fresh_s
        self._places = asyncio.Semaphore(ASKED_AT_ONCE)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, tuple[float, Offer | None]] = {}

    async def of(self, nodes: Collection[str]) -> Mapping[str, Offer | None]:
        """What each of *nodes* told last; None: it did not answer. One that has not been heard yet is missing."""
        now = asyncio.get_running_loop().time()
        for node in nodes:
            if node not in self._asking and now - self._known.get(node, (-self._fresh_s, None))[0] >= self._fresh_s:
                self._asking[node] = self._host.spawn(self._ask(node), name="volife-offer")
        if asked := [self._asking[node] for node in nodes if node in self._asking]:
            await asyncio.wait(asked, timeout=PATIENCE_SECONDS)
        return {node: self._known[node][1] for node in nodes if node in self._known}

    def keep(self, nodes: Collection[str]) -> None:
        """Forget every machine but *nodes*."""
        self._known = {node: known for node, known in self._known.items() if node in nodes}

    async def _ask(self, node: str) -> None:
        # Not as the user: what machines have is for everybody, and a session of its own to each would be thousands.
        manager = ResourceManagerAsync(self._host.bus, node)
        try:
            async with self._places:
                offer = await manager.describe_resource(deadline=ANSWER_SECONDS)
        except XosError:
            offer = None
        finally:
            self._asking.pop(node, None)
        self._known[node] = (asyncio.get_running_loop().time(), offer)
