# SPDX-License-Identifier: BSD-3-Clause
"""Who wants to know what others change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from xos.xtreemfs.api import Changed, What

MOST = 4096
"""Changes that a watcher may leave unread; then it is told that it knows nothing."""


class Watchers:
    """Sessions that watch, by volume."""

    def __init__(self) -> None:
        self._queues: dict[int, dict[asyncio.Queue[Changed | None], str]] = {}

    def tell(self, volume: int | None, by: str, *changes: Changed) -> None:
        """Something changed in a volume (None: who knows in which), by a session, which knows it already."""
        for number, queues in self._queues.items():
            if volume in (None, number):
                for queue, session in queues.items():
                    if session != by or not by:
                        for change in changes:
                            _put(queue, change)

    def tell_one(self, session: str, change: Changed) -> None:
        """Something that only one session is to hear."""
        for queues in self._queues.values():
            for queue, watching in queues.items():
                if watching == session:
                    _put(queue, change)

    def end(self) -> None:
        """Nobody is told any more: the streams end."""
        for queues in self._queues.values():
            for queue in queues:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    async def watch(self, volume: int, session: str) -> AsyncIterator[Changed]:
        """What others change, from now on."""
        queue: asyncio.Queue[Changed | None] = asyncio.Queue(MOST)
        self._queues.setdefault(volume, {})[queue] = session
        try:
            while (changed := await queue.get()) is not None:
                yield changed
        finally:
            queues = self._queues[volume]
            del queues[queue]
            if not queues:
                del self._queues[volume]


def _put(queue: asyncio.Queue[Changed | None], change: Changed) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        change = Changed(What.ALL, 0)
    queue.put_nowait(change)
