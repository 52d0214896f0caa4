# SPDX-License-Identifier: BSD-3-Clause
"""Tells the Job Directory which jobs are here and how they stand: in batches, later, never on a job's own way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from xos.aem.api import Placement
from xos.aem.jobs.lifecycle import Job
from xos.aem.xati import JobDirectoryAsync
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Bus

log = get_logger("xos.aem.jobs.recorder")

BATCH = 1000
"""Jobs in one call."""
PAUSE, LONGEST_PAUSE = 0.05, 10.0
"""Seconds between two calls; a job that changes meanwhile is told of once."""
DEADLINE = 10.0


class Recorder:
    """What the Job Directory has not been told yet, the newest state of each job."""

    def __init__(self, bus: Bus, node: str) -> None:
        self._directory = JobDirectoryAsync(bus)
        self._node = node
        self._untold: dict[str, Placement] = {}
        self._some = asyncio.Event()

    def note(self, job: Job) -> None:
        """A job is new or has changed."""
        self._untold[job.job_id] = Placement(job.job_id, job.owner, job.vo, self._node, job.state)
        self._some.set()

    def note_all(self, jobs: Iterable[Job]) -> None:
        """At the start: the Job Directory may have missed these."""
        for job in jobs:
            self.note(job)

    async def run(self) -> None:
        """Tell until cancelled; a Job Directory that is away hears it when it is back."""
        pause = PAUSE
        while True:
            await self._some.wait()
            batch = [self._untold.pop(job_id) for job_id in list(self._untold)[:BATCH]]
            if not self._untold:
                self._some.clear()
            try:
                if batch:
                    await self._directory.record(batch, deadline=DEADLINE)
                pause = PAUSE
            except XosError as error:
                for placement in batch:
                    self._untold.setdefault(placement.job_id, placement)
                self._some.set()
                log.info("job-directory.unreachable", code=error.code, detail=error.message, untold=len(self._untold))
                pause = min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)
