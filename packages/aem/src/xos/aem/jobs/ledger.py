# SPDX-License-Identifier: BSD-3-Clause
"""Makes what happens to jobs durable: whatever changes while one commit is under way goes into the next.

Memory is ahead of the disk by at most that much. Nothing is acknowledged and nothing follows from a change before it is
on disk: calls wait at `Ledger.add` and `Ledger.barrier`, and what a change sets off (starting and killing units, the
answer of ``wait_job``) happens in the `durable` callback. Only those who look (``job_info``, ``list_jobs``, a watcher
of a job that runs) may see it a commit earlier. When the disk is full, callers get the error, changes of known jobs
are kept and tried again, and new jobs are forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from xos.aem.jobs.lifecycle import Job
from xos.aem.jobs.store import Change, NewJob, insert_jobs, known_jobs, update_jobs, write_strays
from xos.common.log import get_logger
from xos.common.storage import Store

log = get_logger("xos.aem.jobs.ledger")

Durable = Callable[[Job | None, Job], None]
"""Called in the event loop when a job is on disk: as it was before (None: it is new) and as it is now."""
RETRY_SECONDS = 0.5
"""How long the ledger rests when the storage has failed."""


class _Batch:
    """What one commit writes."""

    def __init__(self) -> None:
        self.news: dict[str, NewJob] = {}
        self.added: dict[str, asyncio.Future[bool]] = {}
        self.changes: dict[str, Change] = {}
        self.strays: dict[str, str | None] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting when it fails: the failure is logged where it happens.
        self.done.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)

    def __bool__(self) -> bool:
        return bool(self.news or self.changes or self.strays)


class Ledger:
    """The one way from a Job Manager's memory to its disk."""

    def __init__(self, store: Store, durable: Durable) -> None:
        self._store = store
        self._durable = durable
        self._next = _Batch()
        self._writing: _Batch | None = None
        self._work = asyncio.Event()
        self._one = asyncio.Lock()
        self._flushing: asyncio.Future[bool] | None = None

    def add(self, job: Job, signed: bytes) -> asyncio.Future[bool]:
        """Keep a new job: True when it is on disk, False when that id was there before. Raises what `Store.write` does.

        *signed* is the msgpack form of its order. Cancelling the wait does not take the job back.
        """
        for batch in (self._writing, self._next):
            if batch is not None and job.job_id in batch.added:
                return batch.added[job.job_id]
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._next.news[job.job_id] = NewJob(job, signed)
        self._next.added[job.job_id] = future
        self._work.set()
        return future

    def save(self, base: Job, job: Job) -> None:
        """*base* has become *job*."""
        known = self._next.changes.get(job.job_id)
        self._next.changes[job.job_id] = Change(known.base if known else base, job)
        self._work.set()

    def stray(self, unit_id: str, node: str | None) -> None:
        """Remember that *node* may still run a unit that counts as ended; None: no longer."""
        self._next.strays[unit_id] = node
        self._work.set()

    async def barrier(self) -> None:
        """Returns when everything saved so far is on disk. Raises what `Store.write` does."""
        batch = self._next if self._next else self._writing
        if batch is not None:
            await asyncio.shield(batch.done)

    async def run(self) -> None:
        """Write whatever comes, until cancelled."""
        while True:
            await self._work.wait()
            if not await self.flush():
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> bool:
        """Write what has been saved so far; whether that went well. Once begun, it is not cut short."""
        self._flushing = asyncio.ensure_future(self._flush())
        return await asyncio.shield(self._flushing)

    async def _flush(self) -> bool:
        async with self._one:
            self._work.clear()
            if not self._next:
                return True
            batch = self._writing = self._next
            self._next = _Batch()
            try:
                known = await self._written(batch)
            except Exception as error:  # noqa: BLE001 -- each caller gets it; what was saved is tried again
                self._failed(batch, error)
                return False
            finally:
                self._writing = None
            self._succeeded(batch, known)
            return True

    async def _written(self, batch: _Batch) -> frozenset[str]:
        """Write the batch; which of its new jobs were there before. To look first would cost every job a query."""
        try:
            await self._store.write(partial(_write, batch, frozenset()))
        except sa.exc.IntegrityError:
            known = await self._store.read(partial(known_jobs, job_ids=list(batch.news)))
            await self._store.write(partial(_write, batch, known))
            return known
        return frozenset()

    def _succeeded(self, batch: _Batch, known: frozenset[str]) -> None:
        # First, so that the answers to callers leave before the work begins that their jobs set off.
        for job_id, future in batch.added.items():
            if not future.done():
                future.set_result(job_id not in known)
        for job_id, new in batch.news.items():
            if job_id not in known:
                self._durable(None, new.job)
        for change in batch.changes.values():
            self._durable(change.base, change.job)
        batch.done.set_result(None)

    def _failed(self, batch: _Batch, error: Exception) -> None:
        log.error("ledger.not-written", detail=str(error), new=len(batch.news), changed=len(batch.changes))
        later = self._next
        for job_id, change in batch.changes.items():
            newest = later.changes.get(job_id)
            later.changes[job_id] = Change(change.base, newest.job if newest else change.job)
        later.strays = {**batch.strays, **later.strays}
        for future in batch.added.values():
            if not future.done():
                future.set_exception(error)
        batch.done.set_exception(error)
        if later:
            self._work.set()


def _write(batch: _Batch, known: frozenset[str], connection: sa.Connection) -> None:
    insert_jobs(connection, [new for job_id, new in batch.news.items() if job_id not in known])
    update_jobs(connection, list(batch.changes.values()))
    write_strays(connection, batch.strays)
