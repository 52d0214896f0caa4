# SPDX-License-Identifier: BSD-3-Clause
"""Bringing a database to the schema of this release: Alembic, without an ``env.py`` in every room.

A room keeps ``migrations/versions/*.py`` (ordinary Alembic revisions) in its package and passes
``"xos.vom:migrations"`` to `Store.open`. Each set of migrations has a version table of its own, so that rooms may
share one PostgreSQL database. The whole upgrade is one transaction: it is done, or it was not begun.
"""

from __future__ import annotations

import importlib.resources
import re
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from xos.common.engines import Place
from xos.common.errors import StorageNewer

__all__ = ["differences", "prepare", "upgrade"]

VERSION_TABLES = "schema_"
_one_at_a_time = threading.Lock()  # alembic.op is one global per process


def prepare(place: Place, metadata: sa.MetaData, migrations: str | None) -> None:
    """Create the database if need be and bring it to this release's schema. Blocks; raises `StorageError`.

    Without *migrations*, tables of *metadata* that are missing are created and nothing is ever altered.
    """
    place.create()
    engine = place.engine(foreign_keys=False)
    try:
        with engine.begin() as connection:
            if migrations is None:
                metadata.create_all(connection)
            else:
                upgrade(connection, metadata, migrations, place=str(place))
    except sa.exc.DBAPIError as error:
        raise place.explain(error) or error from error
    finally:
        engine.dispose()


def upgrade(
    connection: sa.Connection, metadata: sa.MetaData, migrations: str, *, to: str = "head", place: str = ""
) -> None:
    """Run the revisions of *migrations* (``package:directory``) that the database lacks, up to *to*.

    Raises `StorageNewer` when the database is at a revision that this release does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": migrations})
    with importlib.resources.as_file(_directory(migrations)) as path, _one_at_a_time:
        script = ScriptDirectory(str(path))

        def steps(revision: Any, _context: MigrationContext) -> Any:
            return script._upgrade_revs(to, revision)  # noqa: SLF001 - what alembic's own upgrade command calls

        context = _context(connection, metadata, migrations, steps)
        revision = context.get_current_revision()
        if revision is not None:
            _check_known(script, revision, place)
            if revision == script.get_current_head():
                return
        with Operations.context(context):
            context.run_migrations()
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise RuntimeError(f"{migrations}: rows of {broken[0][0]} refer to nothing after the migration")


def differences(connection: sa.Connection, metadata: sa.MetaData, migrations: str) -> list[Any]:
    """What the migrated database and *metadata* disagree on: a room's test asserts that it is empty."""
    table = version_table(migrations)

    def ours(kind_of: Any, name: str | None, kind: str, *_rest: Any) -> bool:
        return not (kind == "table" and (name or "").startswith(VERSION_TABLES)) and kind_of is not None

    context = MigrationContext.configure(
        connection,
        opts={"target_metadata": metadata, "version_table": table, "include_object": ours, "compare_type": True},
    )
    return list(compare_metadata(context, metadata))


def version_table(migrations: str) -> str:
    """The table that remembers the revision of this set: ``schema_xos_vom_migrations``."""
    return VERSION_TABLES + re.sub(r"\W", "_", migrations)[:50]


def _directory(migrations: str) -> Any:
    package, _, name = migrations.partition(":")
    if not name:
        return Path(package)
    return importlib.resources.files(package).joinpath(name)


def _context(connection: sa.Connection, metadata: sa.MetaData, migrations: str, steps: Any) -> MigrationContext:
    return MigrationContext.configure(
        connection,
        opts={
            "fn": steps,
            "target_metadata": metadata,
            "version_table": version_table(migrations),
            "transactional_ddl": True,
            "render_as_batch": True,
        },
    )


def _check_known(script: ScriptDirectory, revision: str, place: str) -> None:
    try:
        script.get_revision(revision)
    except CommandError as error:
        raise StorageNewer(path=place, revision=revision, detail="newer schema") from error
