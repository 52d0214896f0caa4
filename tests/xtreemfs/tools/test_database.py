# SPDX-License-Identifier: BSD-3-Clause
"""xtfs_mrcdbtool: what is dumped is restored, on databases of either kind, or nothing is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xos.common.engines import Place
from xos.common.migrations import prepare
from xos.xtreemfs.mrc.schema import INODES, METADATA, MIGRATIONS
from xos.xtreemfs.tools import _database
from xos.xtreemfs.tools.errors import BadDump, NotEmpty

BYTES = (b"plain", "ü".encode(), b"\xff\xfe no utf-8", bytes(range(256)))


def value(column: sa.Column[Any], number: int) -> object:
    """Something of the column's type, another for each number."""
    if isinstance(column.type, sa.LargeBinary):
        return BYTES[number]
    if isinstance(column.type, sa.String):
        return f"{column.name}-{number}"
    if isinstance(column.type, sa.Boolean):
        return bool(number % 2)
    return 1 << 40 | number if isinstance(column.type, sa.BigInteger) else number + 1


def filled(database: str) -> Place:
    """A database with rows in every table that an MRC has."""
    place = Place.of(database)
    prepare(place, METADATA, MIGRATIONS)
    engine = place.engine(foreign_keys=False)
    with engine.begin() as db:
        for table in _database.TABLES:
            rows = [{column.name: value(column, number) for column in table.columns} for number in range(len(BYTES))]
            db.execute(sa.insert(table), rows)
    engine.dispose()
    return place


def contents(place: Place) -> dict[str, list[tuple[object, ...]]]:
    engine = place.engine(readonly=True)
    try:
        with engine.connect() as db:
            return {
                table.name: sorted((tuple(row) for row in db.execute(sa.select(table))), key=repr)
                for table in _database.TABLES
            }
    finally:
        engine.dispose()


def dumped(place: Place, tmp_path: Path) -> bytes:
    with (tmp_path / "dump").open("wb") as out:
        _database.dump(place, out)
    return (tmp_path / "dump").read_bytes()


def test_what_was_dumped_is_restored_into_a_database_of_either_kind(database: str, tmp_path: Path) -> None:
    there = filled(str(tmp_path / "from.sqlite"))
    text = dumped(there, tmp_path)
    new = Place.of(database)
    rows = _database.restore(new, io.BytesIO(text), "dump")
    assert rows == len(BYTES) * len(_database.TABLES)
    assert contents(new) == contents(there)
    assert sorted(dumped(new, tmp_path).splitlines()) == sorted(text.splitlines())


def test_a_restored_mrc_gives_no_inode_number_twice(database: str, tmp_path: Path) -> None:
    text = dumped(filled(str(tmp_path / "from.sqlite")), tmp_path)
    new = Place.of(database)
    _database.restore(new, io.BytesIO(text), "dump")
    engine = new.engine(foreign_keys=False)
    with engine.begin() as db:
        most = db.scalar(sa.select(sa.func.max(INODES.c.id))) or 0
        row = {column.name: value(column, 0) for column in INODES.columns if column.name != "id"}
        fresh = db.execute(sa.insert(INODES).values(row)).inserted_primary_key
        assert fresh is not None
        assert fresh[0] > most
    engine.dispose()


def test_a_database_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    there = filled(str(tmp_path / "from.sqlite"))
    before = contents(there)
    with pytest.raises(NotEmpty):
        _database.restore(there, io.BytesIO(dumped(there, tmp_path)), "dump")
    assert contents(there) == before


@given(cut=st.floats(0, 1, exclude_max=True), change=st.binary(max_size=40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.timeout(60)
def test_a_dump_that_is_cut_or_spoiled_restores_nothing(tmp_path: Path, cut: float, change: bytes) -> None:
    source = tmp_path / "from.sqlite"
    there = Place.of(str(source)) if source.exists() else filled(str(source))
    text = dumped(there, tmp_path)
    place = int(cut * (len(text) - 1))
    new = tmp_path / "new.sqlite"
    for name in ("new.sqlite", "new.sqlite-wal", "new.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(BadDump):
        _database.restore(Place.of(str(new)), io.BytesIO(text[:place] + change), "dump")
    assert not any(contents(Place.of(str(new))).values())


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"null", b'{"xtreemfs": "mrc", "version": 2}', b'["inodes", {}]', b"\x00", b"[" * 10_000],
    ids=["nothing", "list", "null", "newer", "headless", "zero", "deep"],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(BadDump):
        _database.restore(Place.of(str(tmp_path / "new.sqlite")), io.BytesIO(line + b"\n"), "dump")
