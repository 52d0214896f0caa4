# SPDX-License-Identifier: BSD-3-Clause
"""The same promises on SQLite and, where it is installed, on a PostgreSQL of our own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from xos.common.storage import StorageBroken, StorageBusy, StorageFull, Store

METADATA = sa.MetaData()
ITEMS = sa.Table(
    "items",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(100), unique=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("owner", sa.ForeignKey("items.id", deferrable=True, initially="DEFERRED")),
)
COUNT = sa.select(sa.func.count()).select_from(ITEMS)
NAMES = sa.select(ITEMS.c.name).order_by(ITEMS.c.name)


def add(name: str, **values: object) -> Callable[[sa.Connection], int]:
    def _add(db: sa.Connection) -> int:
        return int(db.execute(ITEMS.insert(), {"name": name, **values}).inserted_primary_key[0])

    return _add


def count(db: sa.Connection) -> int:
    return int(db.execute(COUNT).scalar_one())


def names(db: sa.Connection) -> list[str]:
    return list(db.execute(NAMES).scalars())


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with await Store.open(database, METADATA) as opened:
        yield opened


class Gate:
    """Holds the writer inside a write, so that what comes meanwhile becomes one batch."""

    def __init__(self, store: Store) -> None:
        self._entered, self._go = threading.Event(), threading.Event()
        self._held = asyncio.ensure_future(store.write(self._hold))

    def _hold(self, _db: sa.Connection) -> None:
        self._entered.set()
        assert self._go.wait(10)

    async def closed(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 10)

    async def open(self) -> None:
        self._go.set()
        await self._held


async def test_what_is_written_can_be_read_and_outlives_the_store(database: str) -> None:
    async with await Store.open(database, METADATA) as store:
        number = await store.write(add("a", data=b"x"))
        assert (
            await store.read(lambda db: db.execute(sa.select(ITEMS.c.data).where(ITEMS.c.id == number)).scalar())
            == b"x"
        )
    async with await Store.open(database, METADATA) as store:
        assert await store.read(names) == ["a"]


async def test_writes_that_wait_together_share_one_transaction(store: Store) -> None:
    gate = Gate(store)
    await gate.closed()

    def transaction(db: sa.Connection) -> object:
        return db.get_transaction()

    waiting = [asyncio.ensure_future(store.write(transaction)) for _ in range(64)]
    await asyncio.sleep(0)
    await gate.open()
    first, *rest = await asyncio.gather(*waiting)
    assert all(other is first for other in rest)
    assert await store.write(transaction) is not first


async def test_only_the_write_that_raises_fails(store: Store) -> None:
    gate = Gate(store)
    await gate.closed()

    def half(db: sa.Connection) -> None:
        add("half")(db)
        raise LookupError("no such job")

    good = [asyncio.ensure_future(store.write(add(f"good{number}"))) for number in range(5)]
    bad = asyncio.ensure_future(store.write(half))
    double = asyncio.ensure_future(store.write(add("good0")))
    more = [asyncio.ensure_future(store.write(add(f"more{number}"))) for number in range(5)]
    await asyncio.sleep(0)
    await gate.open()
    with pytest.raises(LookupError, match="no such job"):
        await bad
    with pytest.raises(sa.exc.IntegrityError):
        await double
    numbers = await asyncio.gather(*good, *more)
    assert len(set(numbers)) == 10
    assert await store.read(names) == [f"good{n}" for n in range(5)] + [f"more{n}" for n in range(5)]


async def test_only_the_write_that_breaks_the_commit_fails(store: Store) -> None:
    gate = Gate(store)
    await gate.closed()
    good = [asyncio.ensure_future(store.write(add(f"good{number}"))) for number in range(3)]
    bad = asyncio.ensure_future(store.write(add("orphan", owner=4711)))
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*good)
    with pytest.raises(sa.exc.IntegrityError):
        await bad
    assert await store.read(names) == ["good0", "good1", "good2"]


async def test_a_failed_write_leaves_the_store_usable(store: Store) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        await store.write(lambda db: db.execute(sa.text("nonsense")))
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda _: 1 // 0)
    await store.write(add("a"))
    assert await store.read(count) == 1


async def test_errors_do_not_quote_what_was_written(store: Store) -> None:
    await store.write(add("secret-hash"))
    with pytest.raises(sa.exc.IntegrityError) as caught:
        await store.write(add("secret-hash", data=b"also-secret"))
    assert "also-secret" not in str(caught.value)


async def test_a_full_queue_says_when_to_come_back(database: str) -> None:
    async with await Store.open(database, METADATA, waiting=2) as store:
        gate = Gate(store)
        await gate.closed()
        second = asyncio.ensure_future(store.write(add("a")))
        await asyncio.sleep(0)
        with pytest.raises(StorageBusy) as caught:
            await store.write(add("b"))
        assert caught.value.code == "storage.busy"
        assert caught.value.retry_after_ms == 100
        await gate.open()
        await second
        await store.write(add("b"))
        assert await store.read(count) == 2


async def test_a_write_cancelled_while_it_waits_is_not_done(store: Store) -> None:
    gate = Gate(store)
    await gate.closed()
    given_up = asyncio.ensure_future(store.write(add("given-up")))
    kept = asyncio.ensure_future(store.write(add("kept")))
    await asyncio.sleep(0)
    given_up.cancel()
    await gate.open()
    await kept
    assert await store.read(names) == ["kept"]


async def test_a_read_sees_one_moment(store: Store) -> None:
    await store.write(add("a"))
    seen, written = threading.Event(), threading.Event()

    def twice(db: sa.Connection) -> tuple[int, int]:
        before = count(db)
        seen.set()
        assert written.wait(10)
        return before, count(db)

    reading = asyncio.ensure_future(store.read(twice))
    assert await asyncio.to_thread(seen.wait, 10)
    await store.write(add("b"))
    written.set()
    assert await reading == (1, 1)
    assert await store.read(count) == 2


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises((StorageBroken, sa.exc.DBAPIError)):
        await store.read(add("a"))
    assert await store.read(count) == 0


async def test_closing_finishes_what_was_begun(database: str) -> None:
    store = await Store.open(database, METADATA)
    waiting = [asyncio.ensure_future(store.write(add(f"n{number}"))) for number in range(100)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert len(await asyncio.gather(*waiting)) == 100
    with pytest.raises(StorageBroken, match="closed"):
        await store.write(add("late"))
    with pytest.raises(StorageBroken, match="closed"):
        await store.read(count)


async def test_many_tasks_at_once_lose_nothing(store: Store) -> None:
    async def task(number: int) -> None:
        for turn in range(10):
            await store.write(add(f"{number}-{turn}"))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(task(number))
    assert await store.read(count) == 200


WRITER = """
    import asyncio, sys
    import sqlalchemy as sa
    from xos.common.storage import Store

    metadata = sa.MetaData()
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(100))
    items = sa.Table("items", metadata, *columns)

    async def task(store, number):
        turn = 0
        while True:
            name = f"{number}-{turn}"
            await store.write(lambda db: db.execute(items.insert(), {"name": name}))
            print(name, flush=True)
            turn += 1

    async def main():
        store = await Store.open(sys.argv[1], metadata)
        await asyncio.gather(*(task(store, number) for number in range(8)))

    asyncio.run(main())
"""


def write_until_killed(database: str) -> set[str]:
    """What a process that writes as fast as it can had acknowledged when it was killed."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += list(writer.stdout)
    return {line.strip() for line in acknowledged if line.endswith("\n")}


async def test_nothing_acknowledged_is_lost_by_kill_9(database: str) -> None:
    acknowledged = await asyncio.to_thread(write_until_killed, database)
    async with await Store.open(database, METADATA) as store:
        found = set(await store.read(lambda db: list(db.execute(sa.text("select name from items")).scalars())))
    assert len(acknowledged) >= 200
    assert acknowledged <= found
    assert len(found) <= len(acknowledged) + 8


async def test_what_a_lazy_store_synced_survives_a_power_cut(tmp_path: Path) -> None:
    path, cut = tmp_path / "store.db", tmp_path / "cut.db"
    async with await Store.open(path, METADATA, lazy=True) as store:
        await store.write(add("before"))
        await asyncio.gather(*(store.sync() for _ in range(20)))
        log = path.with_name("store.db-wal")
        synced = log.stat().st_size
        await store.write(add("after"))
        shutil.copy(path, cut)
        cut.with_name("cut.db-wal").write_bytes(log.read_bytes()[:synced] + b"\xff" * 1000)
    async with await Store.open(cut, METADATA) as store:
        assert await store.read(names) == ["before"]


async def test_a_lazy_store_syncs_on_every_database(database: str) -> None:
    async with await Store.open(database, METADATA, lazy=True) as store:
        await store.write(add("a"))
        await store.sync()
        assert await store.read(names) == ["a"]
    await store.sync()


# --- SQLite's own troubles ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


async def test_a_full_disk_is_an_error_with_a_code_and_loses_nothing(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    async with await Store.open(small_disk / "store.db", METADATA) as store:
        kept: list[str] = []

        async def fill() -> None:
            for number in range(1000):
                await store.write(add(f"{number:04}", data=bytes(10_000)))
                kept.append(f"{number:04}")

        with pytest.raises(StorageFull) as caught:
            await fill()
        assert caught.value.code == "storage.full"
        assert caught.value.http_status == 507
        assert kept
        assert await store.read(names) == kept
        with pytest.raises(StorageFull):
            await asyncio.gather(*(store.write(add(f"more{number}", data=bytes(10_000))) for number in range(8)))
        ballast.unlink()
        await store.write(add("after", data=bytes(10_000)))
        assert await store.read(names) == [*kept, "after"]
    async with await Store.open(small_disk / "store.db", METADATA) as store:
        assert await store.read(names) == [*kept, "after"]


async def test_a_lock_held_by_another_process_is_busy_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xos.common.engines._BUSY_MS", 50)
    async with await Store.open(tmp_path / "store.db", METADATA) as store:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy, match="another process") as caught:
            await store.write(add("a"))
        assert caught.value.retry_after_ms == 1000
        other.execute("ROLLBACK")
        other.close()
        await store.write(add("a"))


async def test_what_is_no_database_is_broken(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to have a header of one hundred bytes" * 10)
    with pytest.raises(StorageBroken, match=r"store\.db cannot be used") as caught:
        await Store.open(tmp_path / "store.db", METADATA)
    assert caught.value.code == "storage.broken"


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "://", "postgresql+nonsense://["])
async def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StorageBroken):
        await Store.open(url, METADATA)


async def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageBroken, match="No such file"):
        await Store.open(tmp_path / "nowhere" / "store.db", METADATA)


async def test_others_cannot_read_the_file(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "store.db", METADATA) as store:
        await store.write(add("a"))
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


# --- PostgreSQL's own ---


async def test_a_lost_server_connection_is_told_to_writers_and_replaced(postgresql: str) -> None:
    async with await Store.open(postgresql, METADATA) as store:
        await store.write(add("a"))
        assert await store.read(names) == ["a"]
        engine = sa.create_engine(postgresql, poolclass=sa.pool.NullPool)
        with engine.connect() as other:
            others = "pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
            kill = sa.text(f"select pg_terminate_backend(pid) from {others}")  # noqa: S608 - both are constants
            assert len(other.execute(kill).all()) == 2
        with pytest.raises(StorageBroken):
            await store.write(add("b"))
        await store.write(add("c"))
        assert await store.read(names) == ["a", "c"]


async def test_an_unreachable_server_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StorageBroken) as caught:
        await Store.open(f"postgresql://me:hunter2@/db?host={tmp_path}", METADATA)
    assert "hunter2" not in str(caught.value)
