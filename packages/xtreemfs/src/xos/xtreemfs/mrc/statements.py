# SPDX-License-Identifier: BSD-3-Clause
"""Statements made once and then handed to the driver as they are.

SQLAlchemy says what they are on each kind of database; its way through a single execution costs 20 us, ten times what
SQLite takes for a row of ours, and a call of the MRC is ten to twenty of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite


class Cursor(Protocol):
    """What a driver answers."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


class Statement:
    """A statement whose values are named: ``Statement(select).run(connection, {"id": 1}).fetchone()``."""

    __slots__ = ("_columns", "_compiled", "_core")

    def __init__(self, core: sa.ClauseElement, *columns: str) -> None:
        """*columns*: of an INSERT, those that are given."""
        self._core, self._columns = core, list(columns) or None
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> Cursor:
        """Execute it in the transaction of *connection*. Raises as SQLAlchemy does."""
        text, constants = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        driver: Any = connection.connection.dbapi_connection
        try:
            cursor: Cursor = driver.execute(text, {**constants, **values} if constants else values)
        except Exception as error:
            raise _explained(error, connection, text) from error
        return cursor

    def run_many(self, connection: sa.Connection, rows: list[Mapping[str, Any]]) -> None:
        """Execute it for each of *rows*, for what it changes. Raises as SQLAlchemy does."""
        if not rows:
            return
        text, constants = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
        driver: Any = connection.connection.dbapi_connection
        try:
            driver.cursor().executemany(text, [{**constants, **row} for row in rows] if constants else rows)
        except Exception as error:
            raise _explained(error, connection, text) from error

    def _compile(self, dialect: sa.Dialect) -> tuple[str, dict[str, Any]]:
        speaking = _SQLITE if dialect.name == "sqlite" else dialect
        compiled = self._core.compile(dialect=speaking, column_keys=self._columns)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._compiled[dialect.name] = str(compiled), constants
        return self._compiled[dialect.name]


_SQLITE: sa.Dialect = sqlite(paramstyle="named")  # type: ignore[no-untyped-call]


def _explained(error: Exception, connection: sa.Connection, text: str) -> BaseException:
    """*error* as SQLAlchemy would have raised it."""
    base: Any = sqlite3.Error if connection.dialect.name == "sqlite" else connection.dialect.loaded_dbapi.Error
    if not isinstance(error, base):
        return error
    lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    if lost:
        connection.invalidate(error)
    explained: BaseException = sa.exc.DBAPIError.instance(
        text, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=connection.dialect
    )
    return explained
