# SPDX-License-Identifier: BSD-3-Clause
"""What a store tells of its transactions makes a copy of its database the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from xos.common.recording import Group, replay
from xos.common.storage import Store

METADATA = sa.MetaData()
ITEMS = sa.Table(
    "items",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(100), unique=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("yes", sa.Boolean),
    sqlite_autoincrement=True,
)
MARK = sa.Table("mark", METADATA, sa.Column("position", sa.Integer, primary_key=True))
STAMP = "UPDATE mark SET position = position + 1"


async def opened(path: Path) -> Store:
    store = await Store.open(path, METADATA)
    await store.write(lambda db: db.execute(MARK.insert(), {"position": 0}).rowcount)
    return store


def content(db: sa.Connection) -> list[object]:
    numbers = db.exec_driver_sql("SELECT seq FROM sqlite_sequence").scalar()
    return [numbers, *db.execute(sa.select(ITEMS).order_by(ITEMS.c.id)).all(), *db.execute(sa.select(MARK)).all()]


def change(rng: random.Random, wrong: bool) -> Callable[[sa.Connection], int]:
    kind, name, data = rng.randrange(4), f"n{rng.randrange(40)}", rng.randbytes(rng.randrange(50))

    def do(db: sa.Connection) -> int:
        match kind:
            case 0:
                db.execute(ITEMS.delete().where(ITEMS.c.name == name))
            case 1:
                db.execute(ITEMS.update().where(ITEMS.c.name == name).values(data=data, yes=True))
            case 2:
                db.execute(ITEMS.insert(), [{"name": None, "data": data}, {"name": None, "yes": False}])
            case _:
                with db.begin_nested() as inner:
                    db.execute(ITEMS.update().values(yes=None))
                    inner.rollback()
                found = db.execute(sa.select(ITEMS.c.id).where(ITEMS.c.name == name)).scalar()
                if found is None:
                    found = db.execute(ITEMS.insert().returning(ITEMS.c.id), {"name": name, "data": data}).scalar_one()
                if wrong:
                    db.execute(ITEMS.insert(), {"name": name})  # it is there: the whole call fails
                return int(found)
        return 0

    return do


@pytest.mark.parametrize("seed", range(5))
async def test_transactions_done_again_make_the_same_database_with_the_same_numbers(seed: int, tmp_path: Path) -> None:
    rng, groups = random.Random(seed), list[Group]()
    first, second = await opened(tmp_path / "first"), await opened(tmp_path / "second")
    async with first, second:
        await first.ship(groups.extend, STAMP)
        for _ in range(20):  # so that some share a transaction, of which one fails now and then
            calls = [first.write(change(rng, wrong=rng.random() < 0.1)) for _ in range(rng.randrange(1, 8))]
            await asyncio.gather(*calls, return_exceptions=True)
        for group in groups:
            assert await second.write(lambda db, group=group: replay(db, group))  # type: ignore[misc]
        assert await second.read(content) == await first.read(content)
        assert (await first.read(content))[-1] == (len(groups),)


async def test_a_copy_that_is_not_the_same_is_noticed(tmp_path: Path) -> None:
    groups = list[Group]()
    first, second = await opened(tmp_path / "first"), await opened(tmp_path / "second")
    async with first, second:
        await first.ship(groups.extend, STAMP)
        await first.write(lambda db: db.execute(ITEMS.insert(), {"name": "a"}).rowcount)
        await first.write(lambda db: db.execute(ITEMS.update().values(yes=True)).rowcount)
        assert not await second.write(lambda db: replay(db, groups[1]))


async def test_what_failed_or_changed_nothing_is_not_told(tmp_path: Path) -> None:
    groups = list[Group]()
    store = await opened(tmp_path / "only")
    async with store:
        await store.ship(groups.extend, STAMP)
        await store.write(lambda db: db.execute(ITEMS.update().values(yes=True)).rowcount)
        with pytest.raises(ZeroDivisionError):
            await store.write(lambda db: db.execute(ITEMS.insert(), {"name": "a"}).rowcount // 0)
        assert groups == []
        assert await store.read(lambda db: db.execute(sa.select(MARK)).scalar()) == 0
