# SPDX-License-Identifier: BSD-3-Clause
"""A database is brought from version 1 to the present, whole or not at all."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from xos.common import migrations
from xos.common.engines import Place
from xos.common.errors import StorageNewer
from xos.common.storage import Store

SET = "xos_test_room:migrations"
METADATA = sa.MetaData()
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), nullable=False),
    sa.Column("state", sa.String(20), nullable=False, server_default="PENDING"),
)

FIRST = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0001", None

    def upgrade():
        op.create_table("jobs", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0002", "0001"

    def upgrade():
        with op.batch_alter_table("jobs") as jobs:
            jobs.add_column(sa.Column("state", sa.String(20), nullable=False, server_default="PENDING"))
            jobs.alter_column("name", type_=sa.String(50), existing_type=sa.String(20), nullable=False)
"""
THIRD_FAILS = """
    import sqlalchemy as sa
    from alembic import op
    revision, down_revision = "0003", "0002"

    def upgrade():
        op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
        raise RuntimeError("a migration with a mistake")
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The ``migrations/versions`` of a package, with the first revision in it."""
    versions = tmp_path / "lib" / "xos_test_room" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "lib" / "xos_test_room" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "lib")
    put(versions, "0001", FIRST)
    yield versions
    sys.modules.pop("xos_test_room", None)


def put(versions: Path, name: str, text: str) -> None:
    (versions / f"{name}.py").write_text(textwrap.dedent(text))


async def open_and_read(database: str, statement: str) -> list[tuple[object, ...]]:
    async with await Store.open(database, METADATA, migrations=SET) as store:
        return await store.read(lambda db: [tuple(row) for row in db.execute(sa.text(statement))])


async def test_a_database_of_version_1_is_brought_up_with_its_rows(room: Path, database: str) -> None:
    async with await Store.open(database, METADATA, migrations=SET) as store:
        await store.write(lambda db: db.execute(sa.text("insert into jobs (id, name) values (1, 'sleep')")))
    put(room, "0002", SECOND)
    assert await open_and_read(database, "select * from jobs") == [(1, "sleep", "PENDING")]
    assert await open_and_read(database, "select * from jobs") == [(1, "sleep", "PENDING")]


async def test_a_new_database_has_the_schema_that_the_code_expects(room: Path, database: str) -> None:
    put(room, "0002", SECOND)
    await open_and_read(database, "select 1")
    engine = Place.of(database).engine()
    with engine.connect() as connection:
        assert migrations.differences(connection, METADATA, SET) == []
    engine.dispose()


async def test_a_forgotten_migration_is_seen(room: Path, database: str) -> None:
    assert room.exists()
    await open_and_read(database, "select 1")
    engine = Place.of(database).engine()
    with engine.connect() as connection:
        found = migrations.differences(connection, METADATA, SET)
    assert ("add_column", None, "jobs") in [one[:3] for one in found if isinstance(one, tuple)]


async def test_a_migration_that_fails_leaves_no_half_behind(room: Path, database: str) -> None:
    await open_and_read(database, "select 1")
    put(room, "0002", SECOND)
    put(room, "0003", THIRD_FAILS)
    with pytest.raises(RuntimeError, match="mistake"):
        await Store.open(database, METADATA, migrations=SET)
    engine = Place.of(database).engine()
    with engine.connect() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"jobs", migrations.version_table(SET)}
        assert [column["name"] for column in sa.inspect(connection).get_columns("jobs")] == ["id", "name"]
    (room / "0003.py").unlink()
    assert await open_and_read(database, "select state from jobs") == []


async def test_a_database_of_a_newer_release_is_left_alone(room: Path, database: str) -> None:
    put(room, "0002", SECOND)
    await open_and_read(database, "select 1")
    (room / "0002.py").unlink()
    with pytest.raises(StorageNewer, match="schema 0002") as caught:
        await Store.open(database, METADATA, migrations=SET)
    assert caught.value.code == "storage.newer"
    assert "Update this node" in caught.value.next_step


async def test_rows_that_lose_what_they_refer_to_stop_the_migration(room: Path, tmp_path: Path) -> None:
    put(
        room,
        "0001",
        """
        from alembic import op
        revision, down_revision = "0001", None

        def upgrade():
            op.execute("create table jobs (id integer primary key, parent integer references jobs (id))")
            op.execute("insert into jobs values (1, 2)")
        """,
    )
    with pytest.raises(RuntimeError, match="rows of jobs refer to nothing"):
        await Store.open(tmp_path / "store.db", METADATA, migrations=SET)
