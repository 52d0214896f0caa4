# SPDX-License-Identifier: BSD-3-Clause
"""What a service keeps on disk: one writer thread with group commit, one reader thread with snapshots.

    store = await Store.open(data / "jobs.db", metadata, migrations="xos.aem.jobs:migrations")
    job_id = await store.write(lambda db: db.execute(INSERT, row).inserted_primary_key[0])
    rows = await store.read(lambda db: db.execute(SELECT).all())

Whatever is queued when the writer is free runs in ONE transaction with one fsync, then all its callers go on; so a
write that has returned is on disk, and many callers together pay for one fsync.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from xos.common.engines import Place, busy
from xos.common.errors import StorageBroken, StorageBusy, StorageError, StorageFull, StorageNewer
from xos.common.recording import Group, Recording

__all__ = ["StorageBroken", "StorageBusy", "StorageError", "StorageFull", "StorageNewer", "Store"]

T = TypeVar("T")

Ship = Callable[[list[Group]], None]
"""Hears in the event loop what was committed, before those hear of it who asked for it."""

_BATCH = 512
_WAITING = 10_000
_IDLE_SECONDS = 1.0
"""A connection to a server that was not used for so long is looked at before it is."""


class Store:
    """A database of one service. Belongs to the event loop that opened it."""

    def __init__(self, place: Place, *, waiting: int, lazy: bool = False) -> None:
        self._place, self._lazy = place, lazy
        self._wanted = self._synced = 0
        self._syncing = asyncio.Lock()
        self._writer = _Lane(_Writer(place, lazy=lazy), f"{place} writer", waiting)
        self._reader = _Lane(_Reader(place), f"{place} reader", waiting)

    @classmethod
    async def open(
        cls,
        url_or_path: str | Path,
        metadata: sa.MetaData,
        *,
        migrations: str | None = None,
        waiting: int = _WAITING,
        lazy: bool = False,
    ) -> Store:
        """The database at a path or URL, created or brought to this release's schema if need be.

        *lazy*: a write that has returned outlives this process, but a power cut only after `sync`.

        *migrations* is ``package:directory`` (see `xos.common.migrations`); None creates missing tables only.
        At most *waiting* writes, and as many reads, queue up. Raises `StorageError`.
        """
        # Imported here: Alembic takes 100 ms, and only daemons open stores.
        from xos.common.migrations import prepare

        place = Place.of(url_or_path)
        await asyncio.to_thread(prepare, place, metadata, migrations)
        return cls(place, waiting=waiting, lazy=lazy)

    async def write(self, fn: Callable[[sa.Connection], T]) -> T:
        """The result of *fn*, once what it wrote is on disk.

        *fn* runs in the writer thread inside a transaction, and may be run again when another write of its batch
        failed: it must depend on and change nothing but the connection, never commit, and return plain values.
        What it raises, the caller gets, and nothing of it is kept. Raises besides: `StorageBusy` (queue full or
        another process holds the lock), `StorageFull`, `StorageBroken`. When cancelled, it may or may not be done.
        """
        return await self._writer.submit(fn)

    async def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """The result of *fn* on a snapshot that has everything acknowledged so far; *fn* cannot write.

        Raises as `write`.
        """
        return await self._reader.submit(fn)

    async def sync(self) -> None:
        """All writes that have returned are on disk when this returns; many callers share one fsync.

        Nothing is to be done unless the store is lazy. Raises `StorageBroken`.
        """
        if not self._lazy:
            return
        self._wanted += 1
        mine = self._wanted
        async with self._syncing:
            if self._synced < mine:
                upto = self._wanted
                await asyncio.to_thread(self._place.sync)
                self._synced = upto

    async def ship(self, ship: Ship, stamp: str) -> None:
        """From now on tell *ship* of every transaction that is committed.

        *stamp* is a statement that ends each transaction that changes anything. Of SQLite only. Raises as `write`.
        """
        await self._writer.switch(ship, stamp)

    async def close(self) -> None:
        """Finish what is queued, then close; later calls raise `StorageBroken`. May be called twice."""
        await self._writer.close()
        await self._reader.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _Job(Generic[T]):
    __slots__ = ("error", "fn", "future", "value")

    def __init__(self, fn: Callable[[sa.Connection], T], future: asyncio.Future[T]) -> None:
        self.fn = fn
        self.future = future
        self.value: T | None = None
        self.error: BaseException | None = None


class _Lane:
    """A thread that takes jobs from a bounded queue in batches and hands the results back to the event loop."""

    def __init__(self, worker: _Worker, name: str, waiting: int) -> None:
        self._worker = worker
        self._limit = waiting
        self._waiting = 0  # touched by the loop's thread only
        self._closed = False
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._ship: Ship | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[sa.Connection], T]) -> asyncio.Future[T]:
        where = str(self._worker.place)
        if self._closed:
            raise StorageBroken(path=where, detail="it is closed")
        if self._waiting >= self._limit:
            raise busy(where, f"{self._waiting} calls wait already", 100)
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting += 1
        self._queue.put(_Job(fn, future))
        return future

    async def switch(self, ship: Ship, stamp: str) -> None:
        self._ship = ship
        await self.submit(lambda _: self._worker.record(stamp))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            going_on = batch[-1] is not None
            jobs = [job for job in batch if job is not None]
            if jobs:
                self._worker.run([job for job in jobs if not job.future.cancelled()])
                groups, self._worker.committed = self._worker.committed, []
                self._loop.call_soon_threadsafe(self._send, jobs, groups)
        self._worker.close()
        self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _send(self, jobs: list[_Job[Any]], groups: list[Group]) -> None:
        if self._ship is not None and groups:
            self._ship(groups)
        self._deliver(jobs)

    def _deliver(self, jobs: list[_Job[Any]]) -> None:
        self._waiting -= len(jobs)
        for job in jobs:
            if job.future.done():
                continue
            if job.error is None:
                job.future.set_result(job.value)
            else:
                job.future.set_exception(job.error)


class _Worker:
    """Runs batches on a connection of its own, opened on first use and again after a failure of the storage."""

    def __init__(self, place: Place, *, readonly: bool, lazy: bool = False) -> None:
        self.place = place
        self._readonly, self._lazy = readonly, lazy
        self._engine = place.engine(readonly=readonly, lazy=lazy)
        self._open: sa.Connection | None = None
        self._used = 0.0
        self._stamp = ""
        self._retire = False
        self.committed: list[Group] = []
        """Since the loop was told last."""

    def run(self, jobs: list[_Job[Any]]) -> None:
        """Set `value` or `error` of each job; never raises."""
        raise NotImplementedError

    def record(self, stamp: str) -> None:
        """From the next transaction on, keep what is committed, each ended by *stamp*."""
        self._stamp, self._retire = stamp, True

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction, committed at the end; what it changed is in `committed` then, if that is wished."""
        connection = self.connection()
        group: Group | None = None
        with connection.begin():
            yield connection
            driver: Any = connection.connection.dbapi_connection
            if isinstance(driver, Recording) and driver.statements:
                driver.execute(self._stamp)
                group = driver.take()
        if group is not None:
            self.committed.append(group)

    def connection(self) -> sa.Connection:
        if self._retire:
            self.close()
            self._engine = self.place.engine(readonly=self._readonly, lazy=self._lazy, recording=True)
            self._retire = False
        if self._open is not None and time.monotonic() - self._used > _IDLE_SECONDS:
            self._look(self._open)
        if self._open is None:
            self._open = self._engine.connect()
        self._used = time.monotonic()
        return self._open

    def _look(self, connection: sa.Connection) -> None:
        """Give up a connection to a server that was restarted meanwhile: nothing is lost before anything is begun."""
        if self.place.path is None:
            try:
                with connection.begin():
                    connection.exec_driver_sql("select 1")
            except sa.exc.DBAPIError:
                self.close()

    def close(self) -> None:
        if self._open is not None:
            connection, self._open = self._open, None
            try:
                connection.close()
            except sa.exc.DBAPIError:
                connection.invalidate()
        self._engine.dispose()

    def alone(self, job: _Job[Any]) -> None:
        """Run *job* in a transaction of its own."""
        try:
            with self.transaction() as connection:
                job.value = job.fn(connection)
            job.error = None
        except BaseException as error:  # noqa: BLE001 - goes to the caller
            job.error = self.blame(error)

    def blame(self, error: BaseException) -> BaseException:
        """What the caller shall see of *error*; a connection that failed is given up."""
        ours = self.place.explain(error)
        if ours is None:
            return error
        if isinstance(ours, StorageBroken):
            self.close()
        ours.__cause__ = error if ours is not error else None
        return ours


class _Reader(_Worker):
    def __init__(self, place: Place) -> None:
        super().__init__(place, readonly=True)

    def run(self, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            self.alone(job)
            if isinstance(job.error, StorageBroken):
                self.alone(job)  # a server that came back; reading twice does no harm


class _Writer(_Worker):
    """Group commit in three steps, of which the first nearly always does.

    1. All of the batch in one transaction.
    2. One raised: all again, each under a savepoint, so that the guilty ones fail and the rest share one commit.
    3. The commit itself failed (a full disk, a deferred constraint): each in a transaction of its own.
    """

    def __init__(self, place: Place, *, lazy: bool) -> None:
        super().__init__(place, readonly=False, lazy=lazy)

    def run(self, jobs: list[_Job[Any]]) -> None:
        if len(jobs) > 1:
            for step in (self._plainly, self._under_savepoints):
                try:
                    step(jobs)
                except BaseException as error:  # noqa: BLE001 - kept only when a repetition could do harm
                    if self._is_lost(error):
                        for job in jobs:
                            job.error = self.blame(error)
                        return
                else:
                    return
        for job in jobs:
            self.alone(job)

    def _plainly(self, jobs: list[_Job[Any]]) -> None:
        with self.transaction() as connection:
            for job in jobs:
                job.value = job.fn(connection)

    def _under_savepoints(self, jobs: list[_Job[Any]]) -> None:
        with self.transaction() as connection:
            for job in jobs:
                job.error = None
                try:
                    with connection.begin_nested():
                        job.value = job.fn(connection)
                except BaseException as error:
                    if self.place.explain(error) is not None:
                        raise
                    job.error = error

    @staticmethod
    def _is_lost(error: BaseException) -> bool:
        """Whether the connection broke: nobody knows whether the commit took place, so nothing is run again."""
        return isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
