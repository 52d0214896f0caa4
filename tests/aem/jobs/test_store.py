# SPDX-License-Identifier: BSD-3-Clause
"""What the Job Manager keeps on disk, and the ledger that writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import sqlalchemy as sa

from xos.aem.api import Needs, State, Unit
from xos.aem.errors import UnknownJob
from xos.aem.jobs import directory, store
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import Assigned, CancelAsked, Job, Reported, new_job, step
from xos.aem.jobs.orders import Orders
from xos.aem.jobs.tidier import Tidier
from xos.common.engines import Place
from xos.common.errors import StorageFull
from xos.common.migrations import differences, prepare, upgrade
from xos.common.signing import Signed
from xos.common.storage import Store

T = TypeVar("T")


def job(number: int, owner: str = "alice@demo", count: int = 2) -> Job:
    return new_job(
        job_id=f"demo-{number}",
        request_id=f"request-{number}",
        owner=owner,
        vo="demo",
        name="näme",
        needs=Needs(2, 10, "x86_64", ("n1", "n2")),
        count=count,
        sequence=number,
        submitted=float(number),
    )


def new(one: Job, payload: bytes = b"order") -> store.NewJob:
    return store.NewJob(one, msgspec.msgpack.encode(Signed(payload, b"", b"", "p")))


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "x.sqlite", store.METADATA, migrations="xos.aem.jobs:migrations") as opened:
        yield opened


@pytest.mark.parametrize(
    ("metadata", "migrations"),
    [
        (store.METADATA, "xos.aem.jobs:migrations"),
        (directory.METADATA, "xos.aem.jobs:directory_migrations"),
    ],
)
def test_the_migrations_make_exactly_the_schema(tmp_path: Path, metadata: sa.MetaData, migrations: str) -> None:
    place = Place.of(tmp_path / "x.sqlite")
    prepare(place, metadata, migrations)
    engine = place.engine()
    with engine.begin() as connection:
        assert differences(connection, metadata, migrations) == []
    engine.dispose()


def test_a_database_of_version_1_is_brought_up(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "x.sqlite")
    place.create()
    engine = place.engine()
    with engine.begin() as connection:
        upgrade(connection, store.METADATA, "xos.aem.jobs:migrations", to="0001")
        for job_id, state in (("a", "PENDING"), ("b", "RUNNING")):
            connection.exec_driver_sql(
                "INSERT INTO jobs VALUES (?, 'r', 'alice@demo', 'demo', '', ?, 1, 1.0, ?, NULL, '', NULL, NULL, NULL)",
                (job_id, msgspec.msgpack.encode(Needs()), state),
            )
            for number in range(2):
                connection.exec_driver_sql(
                    "INSERT INTO units VALUES (?, ?, 'n1', ?, NULL, '', NULL, NULL, 0, 0)", (job_id, number, state)
                )
    with engine.begin() as connection:
        upgrade(connection, store.METADATA, "xos.aem.jobs:migrations")
        active = store.read_active(connection)
        assert [[unit.state for unit in one.units] for one in active] == [[State.PENDING] * 2, [State.RUNNING] * 2]
    engine.dispose()


async def test_a_job_comes_back_as_it_was_written(kept: Store) -> None:
    first = job(1)
    placed = step(first, Assigned(("n1", "n2")))
    done = step(placed, Reported("n2", Unit("demo-1.1", "n2", State.FAILED, 7, "ouch", 2.0, 3.0, 0.5, 99), 4.0))
    await kept.write(lambda db: store.insert_jobs(db, [new(first)]))
    assert await kept.read(store.read_active) == [first]
    await kept.write(lambda db: store.update_jobs(db, [store.Change(first, done)]))
    assert await kept.read(store.read_active) == [done]
    assert await kept.read(lambda db: store.read_job(db, "demo-1")) == done
    assert await kept.read(lambda db: store.read_job(db, "demo-2")) is None
    assert await kept.read(store.read_last_sequence) == 1


async def test_a_job_that_is_there_already_stays_as_it_is(kept: Store) -> None:
    await kept.write(lambda db: store.insert_jobs(db, [new(job(1), b"first")]))
    with pytest.raises(sa.exc.IntegrityError):
        await kept.write(lambda db: store.insert_jobs(db, [new(job(2)), new(job(1), b"second")]))
    assert await kept.read(lambda db: store.known_jobs(db, ["demo-1", "demo-2"])) == {"demo-1"}
    found = await kept.read(lambda db: store.read_order(db, "demo-1"))
    assert found is not None
    assert found.payload == b"first"


async def test_ended_jobs_are_listed_but_not_active(kept: Store) -> None:
    jobs = [job(number, "bob@demo" if number == 3 else "alice@demo") for number in range(1, 6)]
    await kept.write(lambda db: store.insert_jobs(db, [new(one) for one in jobs]))
    ended = step(jobs[1], CancelAsked("alice@demo", 5.0))
    await kept.write(lambda db: store.update_jobs(db, [store.Change(jobs[1], ended)]))
    assert [one.job_id for one in await kept.read(store.read_active)] == ["demo-1", "demo-3", "demo-4", "demo-5"]
    listed = await kept.read(lambda db: store.read_newest(db, "alice@demo", 3))
    assert listed == [jobs[4], jobs[3], ended]
    recent = await kept.read(lambda db: store.read_recent(db, 2))
    assert [(one.job_id, one.units) for one in recent] == [("demo-4", ()), ("demo-5", ())]


async def test_jobs_that_ended_long_ago_are_forgotten_and_no_others(kept: Store) -> None:
    jobs = [job(number) for number in range(1, 455)]
    await kept.write(lambda db: store.insert_jobs(db, [new(one) for one in jobs]))
    ends = {number: 10.0 if number <= 450 else 30 * 86_400.0 for number in range(1, 453)}
    changes = [store.Change(jobs[n - 1], step(jobs[n - 1], CancelAsked("a@demo", at))) for n, at in ends.items()]
    await kept.write(lambda db: store.update_jobs(db, changes))
    assert await Tidier(kept, 30.0).tidy(30 * 86_400.0 + 20.0) == 450
    left = await kept.read(lambda db: store.read_newest(db, "alice@demo", 1000))
    assert [one.job_id for one in left] == ["demo-454", "demo-453", "demo-452", "demo-451"]
    with pytest.raises(UnknownJob):
        await Orders(kept).get("demo-1")
    assert await kept.read(lambda db: db.scalar(sa.select(sa.func.count()).select_from(store.UNITS))) == 4


async def test_strays_are_remembered_until_they_are_forgotten(kept: Store) -> None:
    await kept.write(lambda db: store.write_strays(db, {"a.0": "n1", "b.0": "n2"}))
    await kept.write(lambda db: store.write_strays(db, {"a.0": None, "b.0": "n3"}))
    assert await kept.read(store.read_strays) == {"b.0": "n3"}


async def test_more_jobs_than_fit_one_query(kept: Store) -> None:
    jobs = [job(number, count=1) for number in range(1, 1203)]
    await kept.write(lambda db: store.insert_jobs(db, [new(one) for one in jobs]))
    assert await kept.read(store.read_active) == jobs
    assert len(await kept.read(lambda db: store.known_jobs(db, [one.job_id for one in jobs]))) == 1202
    placed = [step(one, Assigned(("n1",))) for one in jobs]
    changes = [store.Change(old, now) for old, now in zip(jobs, placed, strict=True)]
    await kept.write(lambda db: store.update_jobs(db, changes))
    assert await kept.read(store.read_active) == placed


class SlowStore:
    """A store whose writes wait for a gate, and fail on demand."""

    def __init__(self, kept: Store) -> None:
        self.kept = kept
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.writes = 0

    async def read(self, fn: Callable[[sa.Connection], T]) -> T:
        return await self.kept.read(fn)

    async def write(self, fn: Callable[[sa.Connection], T]) -> T:
        self.writes += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await self.kept.write(fn)


class Book:
    """A ledger with a record of what it called durable."""

    def __init__(self, kept: Store) -> None:
        self.slow = SlowStore(kept)
        self.durable: list[tuple[Job | None, Job]] = []
        self.ledger = Ledger(self.slow, lambda before, after: self.durable.append((before, after)))  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.ledger.run())


@pytest.fixture
async def book(kept: Store) -> AsyncIterator[Book]:
    book = Book(kept)
    yield book
    book.task.cancel()
    await asyncio.gather(book.task, return_exceptions=True)


def add(book: Book, one: Job) -> asyncio.Future[bool]:
    return book.ledger.add(one, new(one).signed)


async def test_all_that_comes_during_one_commit_shares_the_next(book: Book) -> None:
    book.slow.gate.clear()
    first = add(book, job(1))
    await asyncio.sleep(0.01)
    rest = [add(book, job(number)) for number in range(2, 50)]
    book.slow.gate.set()
    assert await asyncio.gather(first, *rest) == [True] * 49
    assert book.slow.writes == 2
    assert len(book.durable) == 49


async def test_the_same_job_twice_in_one_batch_is_one(book: Book) -> None:
    assert add(book, job(1)) is add(book, job(1))
    assert await add(book, job(1)) is True
    assert await add(book, job(1)) is False
    assert len(book.durable) == 1


async def test_changes_of_one_job_between_commits_are_one_change(book: Book, kept: Store) -> None:
    first = job(1)
    await add(book, first)
    placed = step(first, Assigned(("n1", "n2")))
    running = step(placed, Reported("n1", Unit("demo-1.0", "n1", State.RUNNING), 4.0))
    book.ledger.save(first, placed)
    book.ledger.save(placed, running)
    await book.ledger.barrier()
    assert book.durable[1:] == [(first, running)]
    assert await kept.read(store.read_active) == [running]


async def test_a_failed_commit_tells_callers_keeps_changes_and_forgets_new_jobs(book: Book, kept: Store) -> None:
    first = job(1)
    await add(book, first)
    placed = step(first, Assigned(("n1", "n2")))
    running = step(placed, Reported("n1", Unit("demo-1.0", "n1", State.RUNNING), 4.0))
    book.slow.error = StorageFull(path="x")
    book.ledger.save(first, placed)
    book.ledger.stray("a.0", "n1")
    refused = add(book, job(2))
    with pytest.raises(StorageFull):
        await book.ledger.barrier()
    with pytest.raises(StorageFull):
        await refused
    book.ledger.save(placed, running)
    book.slow.error = None
    await book.ledger.barrier()
    assert book.durable[1:] == [(first, running)]
    assert await kept.read(store.read_active) == [running]
    assert await kept.read(store.read_strays) == {"a.0": "n1"}


async def test_a_barrier_with_nothing_to_write_returns_at_once(book: Book) -> None:
    await asyncio.wait_for(book.ledger.barrier(), 1)
    assert await book.ledger.flush()


async def test_giving_up_waiting_does_not_take_a_job_back(book: Book, kept: Store) -> None:
    book.slow.gate.clear()
    waiting = asyncio.ensure_future(asyncio.shield(add(book, job(1))))
    await asyncio.sleep(0.01)
    waiting.cancel()
    book.slow.gate.set()
    await book.ledger.barrier()
    assert [after.job_id for _, after in book.durable] == ["demo-1"]
    assert len(await kept.read(store.read_active)) == 1


async def test_orders_are_kept_up_to_a_limit_and_else_read(kept: Store) -> None:
    await kept.write(lambda db: store.insert_jobs(db, [new(job(n), b"%d" % n * 1000) for n in (1, 2, 3)]))
    orders = Orders(kept, limit=3100)
    for number in (1, 2, 3, 1):
        assert (await orders.get(f"demo-{number}")).payload == b"%d" % number * 1000
    assert list(orders._kept) == ["demo-3", "demo-1"]
    orders.forget("demo-3")
    orders.forget("demo-3")
    assert orders._bytes == sum(len(one.payload) + 500 for one in orders._kept.values())
    with pytest.raises(UnknownJob):
        await orders.get("demo-9")
