# SPDX-License-Identifier: BSD-3-Clause
"""Tells Job Managers what became of their units: at once, in batches, again and again until they have it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

from xos.aem.api import Unit
from xos.aem.execution.launcher import Spawn
from xos.aem.xati import JobManagerAsync
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Bus

log = get_logger("xos.aem.execution.reports")

BATCH = 256
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two attempts."""
_DEADLINE = 10.0


class Reporter:
    """One queue for each Job Manager, with the latest of each unit, and one task while it is not empty."""

    def __init__(self, bus: Bus, spawn: Spawn, acknowledged: Callable[[list[Unit]], None]) -> None:
        """*acknowledged* hears of the ended units that a Job Manager has on disk."""
        self._bus, self._spawn, self._acknowledged = bus, spawn, acknowledged
        self._queues: dict[str, dict[str, Unit]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def tell(self, manager: str, unit: Unit) -> None:
        """Report a unit to the Job Manager on node *manager*; what was not sent of it yet is out of date."""
        self._queues.setdefault(manager, {})[unit.unit_id] = unit
        task = self._tasks.get(manager)
        if task is None or task.done():
            self._tasks[manager] = self._spawn(self._serve(manager), name=f"report to {manager}")

    def forget(self, manager: str, unit_id: str) -> None:
        """Give up on telling of a unit."""
        self._queues.get(manager, {}).pop(unit_id, None)

    async def _serve(self, manager: str) -> None:
        queue = self._queues[manager]
        client = JobManagerAsync(self._bus, node=manager)
        pause, limit = FIRST_PAUSE, BATCH
        while queue:
            batch = list(itertools.islice(queue.values(), limit))
            try:
                await client.report(batch, deadline=_DEADLINE)
            except XosError as error:
                log.info("report.failed", manager=manager, units=len(batch), code=error.code, detail=error.message)
                # One unit that the Job Manager chokes on must not hold up the others for ever.
                limit = max(1, len(batch) // 2)
                _to_the_end(queue, batch[0])
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  # spreads load, guards nothing
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause, limit = FIRST_PAUSE, min(2 * limit, BATCH)
            for unit in batch:
                if queue.get(unit.unit_id) is unit:
                    del queue[unit.unit_id]
            self._acknowledged([unit for unit in batch if unit.state.ended])
        self._tasks.pop(manager, None)
        del self._queues[manager]


def _to_the_end(queue: dict[str, Unit], unit: Unit) -> None:
    if queue.get(unit.unit_id) is unit:
        queue[unit.unit_id] = queue.pop(unit.unit_id)
