# SPDX-License-Identifier: BSD-3-Clause
"""Tells Accounting what units have used: records of those that ended, until it has them, and what runs meanwhile.

A record follows from the unit's directory, which stays among the live ones until Accounting has acknowledged it; so
nothing else need be kept. It is signed when it is sent, by the certificate that the node has then.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable

import msgspec

from xos.aem.api import State, Unit
from xos.aem.execution.launcher import Spawn
from xos.aem.execution.unitdir import Accepted
from xos.aem.jsdl import JobDescription
from xos.common.certificate import parse_identity
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.signing import sign
from xos.common.tls import Credential
from xos.dixi.hosting import Bus
from xos.vom.api import USAGE_PURPOSE, UsageRecord
from xos.vom.xati import AccountingAsync

log = get_logger("xos.aem.execution.usage")

BATCH = 200
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 30.0
"""Seconds between two attempts."""
GATHER_SECONDS = 0.02
"""How long the first record of a batch waits for others."""
RUNNING_SECONDS = 15.0
"""Accounting is told so often what runs, and a moment after that has changed."""
CHANGED_SECONDS = 0.25
_DEADLINE = 10.0
_STATUS = {State.DONE: "completed", State.FAILED: "failed", State.CANCELLED: "aborted"}


def record_of(
    accepted: Accepted, description: JobDescription, unit: Unit, *, submitted: float, now: float
) -> UsageRecord | None:
    """What *unit* has used, or uses up to *now* if it runs; None when its program never ran."""
    if unit.started is None:
        return None
    owner = parse_identity(accepted.order.job.certificate)
    ended = now if unit.ended is None else unit.ended
    started = min(unit.started, ended)
    return UsageRecord(
        record_id=f"{unit.node}:{unit.unit_id}",
        vo=owner.vo,
        user=owner.name,
        group=owner.group,
        job_id=accepted.order.job_id,
        unit_id=unit.unit_id,
        job_name=description.name[:200],
        node=unit.node,
        status=_STATUS.get(unit.state, "running"),
        exit_code=unit.exit_code,
        submitted=max(submitted, 0.0),
        started=started,
        ended=ended,
        wall_seconds=ended - started,
        cpu_seconds=max(unit.cpu_seconds, 0.0),
        processors=description.cores,
        memory_peak=max(unit.memory_peak, 0),
        local_user="" if accepted.account is None else str(accepted.account[0]),
        created=now,
    )


class UsageReporter:
    """One queue of records, and one task while it is not empty."""

    def __init__(
        self, bus: Bus, spawn: Spawn, credential: Callable[[], Credential], accounted: Callable[[list[str]], None]
    ) -> None:
        """*accounted* hears of the units whose records Accounting has on disk."""
        self._accounting, self._spawn, self._credential, self._accounted = (
            AccountingAsync(bus),
            spawn,
            credential,
            accounted,
        )
        self._queue: dict[str, UsageRecord] = {}
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._told_of_some = False

    def tell(self, record: UsageRecord) -> None:
        """A unit has ended."""
        self._queue[record.unit_id] = record
        if self._task is None or self._task.done():
            self._task = self._spawn(self._serve(), name="usage")

    def forget(self, unit_id: str) -> None:
        """Give up on telling of a unit."""
        self._queue.pop(unit_id, None)

    def changed(self) -> None:
        """A unit has started or ended."""
        self._changed.set()

    async def _serve(self) -> None:
        pause, limit = FIRST_PAUSE, BATCH
        await asyncio.sleep(GATHER_SECONDS)
        while self._queue:
            batch = list(itertools.islice(self._queue.values(), limit))
            credential = self._credential()
            signed = [sign(msgspec.msgpack.encode(one), credential, purpose=USAGE_PURPOSE) for one in batch]
            try:
                await self._accounting.record(signed, deadline=_DEADLINE)
            except XosError as error:
                log.info("usage.waits", units=len(self._queue), code=error.code, detail=error.message)
                # One record that Accounting refuses must not hold up the others for ever.
                limit = max(1, len(batch) // 2)
                first = batch[0].unit_id
                if first in self._queue:
                    self._queue[first] = self._queue.pop(first)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  # spreads load, guards nothing
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause, limit = FIRST_PAUSE, min(2 * limit, BATCH)
            for one in batch:
                if self._queue.get(one.unit_id) is one:
                    del self._queue[one.unit_id]
            self._accounted([one.unit_id for one in batch])

    async def follow(self, running: Callable[[float], list[UsageRecord]]) -> None:
        """Tell again and again what runs, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), RUNNING_SECONDS)
                await asyncio.sleep(CHANGED_SECONDS)
            except TimeoutError:
                pass  # nothing has changed: told again, since it is believed for a while only
            self._changed.clear()
            units = running(time.time())
            if not units and not self._told_of_some:
                continue
            try:
                await self._accounting.running(units, deadline=_DEADLINE)
                self._told_of_some = bool(units)
            except XosError as error:
                log.info("usage.running-untold", units=len(units), code=error.code)
