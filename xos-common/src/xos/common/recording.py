# SPDX-License-Identifier: BSD-3-Clause
"""What the transactions of a SQLite database change, as statements: done again in their order on a copy, they bring it
to the same state. For a service that keeps a second one like its own.

That holds for statements whose outcome depends on the database and their parameters alone: no ``random()``, no
``CURRENT_TIMESTAMP``. `replay` counts the rows that changed, so that a difference is found at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

Statement = tuple[str, Any]
"""Its text, and its parameters by place or by name."""
_OUTSIDE = ("BEGIN", "COMMIT", "PRAGMA")
_ALWAYS = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")


class Group(NamedTuple):
    """One transaction."""

    statements: Sequence[Statement]
    changed: int
    """Rows, by SQLite's count."""


class Recording(sqlite3.Connection):
    """A connection that keeps the statements of the transaction under way."""

    statements: list[Statement]
    began = 0

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that tells this connection what it does."""
        return super().cursor(factory or _Cursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """By such a cursor: the driver's own would pass it by."""
        return _Cursor(self).execute(sql, parameters)

    def take(self) -> Group:
        """The transaction under way, which is to be committed next."""
        return Group(self.statements, self.total_changes - self.began)


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        """Do it, and remember it if it changed anything."""
        if sql.startswith("SELECT"):
            super().execute(sql, parameters)
            return self
        connection: Recording = self.connection  # type: ignore[assignment]
        before = connection.total_changes
        super().execute(sql, parameters)
        if sql.startswith(_OUTSIDE):
            connection.statements, connection.began = [], before
        # The rows of a RETURNING are counted only when they have been fetched.
        elif self.description is not None or connection.total_changes != before or sql.startswith(_ALWAYS):
            connection.statements.append((sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _Cursor:
        """Do it for each."""
        for each in parameters:
            self.execute(sql, each)
        return self


def replay(connection: sa.Connection, group: Group) -> bool:
    """Do the statements of a transaction in this one; whether as many rows changed as there."""
    driver: Any = connection.connection.dbapi_connection
    before = driver.total_changes
    for sql, parameters in group.statements:
        cursor = driver.execute(sql, parameters)
        if cursor.description is not None:
            cursor.fetchall()
    return bool(driver.total_changes - before == group.changed)
