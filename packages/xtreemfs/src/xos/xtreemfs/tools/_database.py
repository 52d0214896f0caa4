# SPDX-License-Identifier: BSD-3-Clause
"""What ``xtfs_mrcdbtool`` does: all rows of an MRC's tables, one JSON value a line, with a head and an end.

What stands on a line: first ``{"xtreemfs": "mrc", "version": 1}``, then ``["table", {column: value}]`` with bytes in
base64 under ``{"b64": …}``, at last ``{"rows": N}``: a dump without its end is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import sqlalchemy as sa

from xos.common.engines import Place
from xos.common.migrations import prepare
from xos.dixi.commands import Session
from xos.xtreemfs.mrc.schema import METADATA, MIGRATIONS, STANDING
from xos.xtreemfs.tools import _show
from xos.xtreemfs.tools.errors import BadArgument, BadDump, NotEmpty

HEAD = {"xtreemfs": "mrc", "version": 1}
TABLES = [table for table in METADATA.sorted_tables if table is not STANDING]
"""All but what an MRC is in a pair, which the database that is filled is not in."""
_NAMES = frozenset(table.name for table in TABLES)
BATCH = 1000
LONGEST_LINE = 4 << 20
_encode = msgspec.json.Encoder().encode


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xtfs_mrcdbtool``."""
    file = session.path(args.file)
    database: str | Path = args.database if "://" in args.database else session.path(args.database)
    if args.action == "dump":
        if isinstance(database, Path) and not database.exists():
            raise BadArgument(option="DATABASE", detail=f"{database} is not there")
        descriptor = session.open_new(file, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            rows = await asyncio.to_thread(dump, Place.of(database), out)
    else:
        with file.open("rb") as source:
            rows = await asyncio.to_thread(restore, Place.of(database), source, str(file))
    if session.json:
        _show.as_json(session, {"rows": rows})
    else:
        done = f"dumped into {file}" if args.action == "dump" else f"restored into {args.database}"
        session.out(f"{rows} rows {done}")
    return 0


def dump(place: Place, out: IO[bytes]) -> int:
    """Write all rows of the database, as they are at one moment, and make them durable; how many."""
    engine, rows = place.engine(readonly=True), 0
    try:
        with engine.connect() as connection, connection.begin():
            out.write(_encode(HEAD) + b"\n")
            for table in TABLES:
                columns = [_plain(column.name) for column in table.columns]
                for row in connection.execution_options(yield_per=BATCH).execute(sa.select(table)):
                    values = dict(zip(columns, map(_written, row), strict=True))
                    out.write(_encode([_plain(table.name), values]) + b"\n")
                    rows += 1
            out.write(_encode({"rows": rows}) + b"\n")
    except sa.exc.DBAPIError as error:
        raise place.explain(error) or error from error
    finally:
        engine.dispose()
    out.flush()
    os.fsync(out.fileno())
    return rows


def restore(place: Place, source: IO[bytes], name: str) -> int:
    """Fill an empty database with what was dumped, all of it or nothing; how many rows.

    Raises `BadDump`, `NotEmpty`, `StorageError`.
    """
    prepare(place, METADATA, MIGRATIONS)
    engine, rows = place.engine(foreign_keys=False), 0
    try:
        with engine.begin() as connection:
            _check_empty(connection, str(place))
            waiting: list[dict[str, Any]] = []
            last: sa.Table | None = None
            for table, row in _rows(source, name):
                if waiting and (table is not last or len(waiting) == BATCH):
                    connection.execute(sa.insert(_table(last)), waiting)
                    waiting = []
                last = table
                waiting.append(row)
                rows += 1
            if waiting:
                connection.execute(sa.insert(_table(last)), waiting)
            if connection.dialect.name == "postgresql":
                _go_on_numbering(connection)
    except sa.exc.DBAPIError as error:
        known = place.explain(error)
        if known is not None:
            raise known from error
        raise BadDump(file=name, line=rows + 1, detail=str(error.orig).splitlines()[0]) from error
    finally:
        engine.dispose()
    return rows


def _table(table: sa.Table | None) -> sa.Table:
    assert table is not None  # noqa: S101 -- rows wait only behind a table
    return table


def _check_empty(connection: sa.Connection, database: str) -> None:
    for table in TABLES:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        if rows:
            raise NotEmpty(database=database, rows=rows, table=table.name)


def _go_on_numbering(connection: sa.Connection) -> None:
    """PostgreSQL's sequences know nothing of rows that came with their numbers."""
    for table in TABLES:
        for column in table.primary_key.columns:
            sequence = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
            if sequence is not None:
                most = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
                connection.execute(sa.select(sa.func.setval(sequence, most, False)))


def _rows(source: IO[bytes], name: str) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """The rows of a dump. Raises `BadDump`, at its end too when that is missing."""
    reader = io.BufferedReader(source) if isinstance(source, io.RawIOBase) else source
    count, ended = -1, False
    for number, line in enumerate(iter(lambda: reader.readline(LONGEST_LINE), b""), 1):
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadDump(file=name, line=number, detail=str(error)) from error
        if ended:
            raise BadDump(file=name, line=number, detail="there is something behind the end")
        if count < 0:
            if value != HEAD:
                raise BadDump(file=name, line=number, detail="not a dump of an MRC, or of a newer release")
            count = 0
        elif isinstance(value, dict):
            if value != {"rows": count}:
                raise BadDump(file=name, line=number, detail=f"{count} rows came before the end, it says {value}")
            ended = True
        else:
            yield _row(value, name, number)
            count += 1
    if not ended:
        raise BadDump(file=name, line=count + 2, detail="the end is missing")


def _row(value: Any, name: str, number: int) -> tuple[sa.Table, dict[str, Any]]:
    match value:
        case [str(table), dict(row)] if table in _NAMES and set(row) <= set(METADATA.tables[table].c.keys()):
            try:
                return METADATA.tables[table], {column: _read(one) for column, one in row.items()}
            except (TypeError, binascii.Error) as error:
                raise BadDump(file=name, line=number, detail=str(error)) from error
        case _:
            raise BadDump(file=name, line=number, detail="no row of an MRC")


def _plain(name: str) -> str:
    """SQLAlchemy has a type of string of its own for some names, which no encoder takes."""
    return name.encode().decode()


def _written(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value


def _read(value: Any) -> Any:
    match value:
        case {"b64": str(text)}:
            return base64.b64decode(text, validate=True)
        case None | str() | int() | float():
            return value
        case _:
            raise TypeError("neither a text, a number, nor bytes")
