# SPDX-License-Identifier: BSD-3-Clause
"""The Job Manager: what its calls mean and who may make them. The work is done by the parts beside this module.

`Intake` takes orders, `Ledger` makes changes durable, `Registry` holds the jobs that have not ended, `Scheduler`
places them, `Dispatcher` starts and kills units, `Tracker` follows the nodes, `Reports` hears from them, `Waiters`
tells those who wait, `Recorder` tells the Job Directory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import sqlalchemy as sa

from xos.aem.api import JobInfo, JobManager, State, Unit
from xos.aem.dissolved import Watch
from xos.aem.errors import NotYourJob, UnknownJob
from xos.aem.jobs.access import administers, check_owner
from xos.aem.jobs.dispatcher import Dispatcher
from xos.aem.jobs.hints import Hints
from xos.aem.jobs.intake import Intake
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import CancelAsked, Job
from xos.aem.jobs.nodes import Pool
from xos.aem.jobs.orders import Orders
from xos.aem.jobs.permits import Permits
from xos.aem.jobs.recorder import Recorder
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.reports import Reports
from xos.aem.jobs.scheduler import Scheduler
from xos.aem.jobs.settings import Settings
from xos.aem.jobs.store import (
    METADATA,
    read_active,
    read_job,
    read_last_sequence,
    read_newest,
    read_newest_of_vo,
    read_recent,
    read_strays,
)
from xos.aem.jobs.tidier import Tidier
from xos.aem.jobs.tracker import Tracker
from xos.aem.jobs.waiters import Waiters
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.common.storage import Store
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted

log = get_logger("xos.aem.jobs")

LISTED = 10_000
"""Most jobs in one answer."""
REASON_SECONDS = 0.2
"""Between two reasons that a watcher is told while a job waits; states are told at once."""
RECORDED_AGAIN = 10_000
"""The newest jobs, ended or not, of which the Job Directory is told again at the start."""


class JobManagerService(Hosted[Settings], JobManager):
    """Satisfies `xos.aem.api.JobManager`."""

    settings_type = Settings

    async def start(self) -> None:
        """Open the database and take up every job that has not ended where it stood."""
        host = self.host
        place = self.settings.database or host.data / "jobs.sqlite"
        self._store = await Store.open(place, METADATA, migrations="xos.aem.jobs:migrations")
        active, strays, last, recent = await self._store.read(_recovered)
        self._waiters = Waiters()
        self._stale = False
        self._pause: asyncio.TimerHandle | None = None
        self._ledger = Ledger(self._store, self._durable)
        self._registry = Registry(self._ledger, self._changed)
        self._orders = Orders(self._store)
        self._pool = Pool(self._registry.used)
        self._permits = Permits(host.bus, self._orders, self._pool) if self.settings.rulings else None
        self._tracker = Tracker(host.bus, self._registry, self._pool, self.settings, spawn=host.spawn)
        self._scheduler = Scheduler(
            host.bus,
            self._registry,
            self._pool,
            self._permits,
            self.settings,
            spawn=host.spawn,
            trouble=self._tracker.trouble,
            looked=self._looked,
        )
        self._dispatcher = Dispatcher(
            host.bus,
            host.node,
            self._registry,
            self._ledger,
            self._orders,
            self._permits,
            Hints(host.bus, host.trust, self._orders, spawn=host.spawn),
            spawn=host.spawn,
            trouble=self._tracker.trouble,
        )
        self._tracker.connect(self._dispatcher, self._scheduler)
        self._reports = Reports(self._store, self._registry, self._ledger, self._dispatcher)
        self._intake = Intake(host.trust, self._registry, self._ledger, self._orders, self.settings, last=last)
        self._recorder = Recorder(host.bus, host.node)
        self._recover(active, strays, recent)
        tidier = Tidier(self._store, self.settings.keep_days)
        if self.settings.dissolved_seconds:
            watch = Watch(host.bus, self._vos, self._close_vo, self.settings.dissolved_seconds)
            host.spawn(watch.run(), name="dissolved")
        for work in (self._ledger, self._scheduler, self._recorder, tidier):
            host.spawn(work.run(), name=type(work).__name__.lower())
        host.spawn(self._tracker.watch(), name="tracker")

    def _recover(self, active: list[Job], strays: dict[str, str], recent: list[Job]) -> None:
        for job in active:
            self._registry.admit(job)
            if job.state is State.PENDING:
                self._scheduler.enqueue(job)
        self._dispatcher.recover(strays)
        self._tracker.recover()
        self._recorder.note_all(recent)
        self._recorder.note_all(active)
        log.info("jobs.recovered", active=len(active), waiting=len(self._scheduler), strays=len(strays))

    async def stop(self) -> None:
        """Write what is left and close the database."""
        await self._ledger.flush()
        await self._store.close()

    # --- the calls ---

    async def create_job(self, job: Signed) -> str:
        """See `JobManager.create_job`."""
        return await self._intake.create(current_call().caller, job)

    async def job_info(self, job_id: str) -> JobInfo:
        """See `JobManager.job_info`."""
        return self._info(await self._job(job_id))

    async def list_jobs(self, ended: bool = True, limit: int = 100, vo: str = "") -> list[JobInfo]:
        """See `JobManager.list_jobs`. Raises `NotYourJob`."""
        caller = current_call().caller
        owner = _owner(caller)
        limit = min(max(limit, 0), LISTED)
        if vo:
            if not administers(caller, vo):
                raise NotYourJob(job_id=f"of others in VO {vo}", caller=str(caller))
            jobs = await self._store.read(partial(read_newest_of_vo, vo=vo, limit=limit, ended=ended))
            return [self._info(self._registry.get(job.job_id) or job) for job in jobs]
        if not ended:
            return [self._info(job) for job in self._registry.of_owner(owner)[:limit]]
        jobs = await self._store.read(partial(read_newest, owner=owner, limit=limit))
        return [self._info(self._registry.get(job.job_id) or job) for job in jobs]

    async def wait_job(self, job_id: str) -> JobInfo:
        """See `JobManager.wait_job`."""
        job = await self._job(job_id)
        if self._registry.get(job_id) is None:
            return self._info(job)
        return await self._waiters.end(job_id)

    async def watch_job(self, job_id: str) -> AsyncIterator[JobInfo]:
        """See `JobManager.watch_job`."""
        job = await self._job(job_id)
        if job.state.ended and self._registry.get(job_id) is not None:
            yield await self._waiters.end(job_id)
            return
        async for info in self._waiters.watch(self._info(job)):
            yield info

    async def cancel_job(self, job_id: str) -> JobInfo:
        """See `JobManager.cancel_job`."""
        job = await self._job(job_id)
        caller = current_call().caller
        job = self._registry.apply(job_id, CancelAsked(str(caller), time.time())) or job
        await self._ledger.barrier()
        return self._info(self._registry.get(job_id) or job)

    async def _vos(self) -> frozenset[str]:
        return self._registry.vos()

    async def _close_vo(self, vo: str) -> None:
        """Cancel what a dissolved VO has left."""
        for job_id in self._registry.of_vo(vo):
            self._registry.apply(job_id, CancelAsked(f"the end of VO {vo}", time.time()))
        await self._ledger.barrier()

    async def report(self, units: list[Unit]) -> None:
        """See `JobManager.report`."""
        node = current_call().caller.name
        self._tracker.alive(node)
        await self._reports.take(node, units)

    # --- what happens to jobs ---

    def _changed(self, before: Job, after: Job) -> None:
        """A job has changed in memory."""
        self._scheduler.changed(before, after)
        if not after.state.ended and self._waiters.watched(after.job_id):
            self._waiters.changed(self._info(after))

    def _durable(self, before: Job | None, after: Job) -> None:
        """A job's change is on disk."""
        self._recorder.note(after)
        if before is None:
            self._admit(after)
            return
        self._dispatcher.durable(before, after)
        if after.state.ended:
            self._registry.evict(after)
            self._orders.forget(after.job_id)
            if self._permits is not None:
                self._permits.forget(after.job_id)
            self._waiters.ended(after.info())

    def _admit(self, job: Job) -> None:
        if self._registry.get(job.job_id) is None:
            self._registry.admit(job)
            self._scheduler.enqueue(job)

    def _looked(self) -> None:
        """The scheduler has looked at queue and nodes: watched jobs may wait for another reason.

        They are told at once, but not more often than `REASON_SECONDS` allows.
        """
        self._stale = True
        if self._pause is None:
            self._tell_reasons()

    def _tell_reasons(self) -> None:
        self._pause = None
        watched = self._waiters.watched_jobs()
        if not self._stale or not watched:
            return
        self._stale = False
        for job_id in watched:
            job = self._registry.get(job_id)
            if job is not None and job.state in (State.PENDING, State.SCHEDULED):
                self._waiters.changed(self._info(job))
        self._pause = asyncio.get_running_loop().call_later(REASON_SECONDS, self._tell_reasons)

    # --- looking up ---

    async def _job(self, job_id: str) -> Job:
        """A job that the caller may see. Raises `UnknownJob`, `NotYourJob`."""
        job = self._registry.get(job_id)
        if job is None:
            job = await self._store.read(partial(read_job, job_id=job_id))
            if job is None:
                raise UnknownJob(job_id=job_id)
            if not job.state.ended:
                # On disk, not in memory: it is being taken in just now, or its creator was told of a failed write.
                await self._ledger.barrier()
                self._admit(job)
                job = self._registry.get(job_id) or job
        check_owner(current_call().caller, job_id=job_id, owner=job.owner, vo=job.vo)
        return job

    def _info(self, job: Job) -> JobInfo:
        if job.state in (State.PENDING, State.SCHEDULED):
            return job.info(self._scheduler.reason(job))
        return job.info()


def _owner(caller: Identity) -> str:
    return str(caller) if caller.kind is Kind.USER else ""


def _recovered(connection: sa.Connection) -> tuple[list[Job], dict[str, str], int, list[Job]]:
    return (
        read_active(connection),
        read_strays(connection),
        read_last_sequence(connection),
        read_recent(connection, RECORDED_AGAIN),
    )
