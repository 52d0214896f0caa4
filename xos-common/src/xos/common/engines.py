# SPDX-License-Identifier: BSD-3-Clause
"""Database engines as we want them, and their failures in our words. SQLite by path, PostgreSQL by URL."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from xos.common.errors import StorageBroken, StorageBusy, StorageError, StorageFull
from xos.common.recording import Recording

_BUSY_MS = 5000
_LITTLE = 256 * 1024
"""Fewer free bytes than this, and an I/O error means a full disk: SQLite cannot grow its shared-memory file."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a database is: a file, or a PostgreSQL URL."""

    url: URL
    path: Path | None

    @classmethod
    def of(cls, url_or_path: str | Path) -> Place:
        """Read a path, ``sqlite:///path`` or ``postgresql://user@host/name``. Raises `StorageBroken`."""
        if isinstance(url_or_path, Path) or "://" not in url_or_path:
            return cls(URL.create("sqlite", database=str(url_or_path)), Path(url_or_path))
        try:
            url = make_url(url_or_path)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise StorageBroken(path="?", detail="not a database URL") from error
        backend = url.get_backend_name()
        if backend == "sqlite" and url.database not in {None, "", ":memory:"}:
            return cls(url, Path(str(url.database)))
        if backend == "postgresql":
            return cls(url.set(drivername="postgresql+psycopg"), None)
        raise StorageBroken(path=url.render_as_string(), detail="only SQLite files and postgresql:// are supported")

    def __str__(self) -> str:
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    def create(self) -> None:
        """Make the SQLite file (mode 0600) when it is not there; PostgreSQL databases are the administrator's."""
        if self.path is not None:
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise StorageBroken(path=str(self), detail=error.strerror or "cannot be opened") from error

    # hide_parameters: what a failed statement was given (password hashes) must not reach the journal.

    def engine(
        self, *, readonly: bool = False, foreign_keys: bool = True, lazy: bool = False, recording: bool = False
    ) -> sa.Engine:
        """An engine whose connections are durable (WAL, ``synchronous=FULL``) and begin transactions explicitly.

        *lazy*: a commit outlives this process, but a power cut only after `sync`. *recording*: SQLite's connections are
        `xos.common.recording.Recording`.
        """
        if self.path is None:
            return self._postgresql(readonly, lazy)
        pragmas = [
            "journal_mode=WAL",
            f"synchronous={'NORMAL' if lazy else 'FULL'}",
            "journal_size_limit=67108864",
            f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
            f"query_only={'ON' if readonly else 'OFF'}",
        ]
        if lazy:  # copying the log into the database is the only time that a commit waits for the disk: seldom
            pragmas.append("wal_autocheckpoint=8000")
        kind = Recording if recording else sqlite3.Connection
        engine = sa.create_engine(
            "sqlite://", creator=lambda: self._connect_sqlite(pragmas, kind), poolclass=NullPool, hide_parameters=True
        )
        begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"

        @sa.event.listens_for(engine, "begin")
        def _on_begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _connect_sqlite(self, pragmas: list[str], kind: type[sqlite3.Connection]) -> sqlite3.Connection:
        # mode=rw: a database that was deleted under a running daemon is an error, not a new empty one.
        connection = sqlite3.connect(
            f"file:{urllib.parse.quote(str(self.path and self.path.absolute()))}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_MS / 1000,
            check_same_thread=False,
            cached_statements=512,
            factory=kind,
        )
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def sync(self) -> None:
        """What was committed by now survives a power cut when this returns. Blocks; raises `StorageError`.

        SQLite: its log is what a restart reads, so it is brought to disk. PostgreSQL: a commit that waits for the disk
        waits for all that came before it.
        """
        try:
            if self.path is None:
                self._sync_postgresql()
            else:
                self._sync_file(self.path.with_name(self.path.name + "-wal"))
        except OSError as error:
            raise StorageBroken(path=str(self), detail=error.strerror or "cannot be synced") from error
        except sa.exc.DBAPIError as error:
            raise self.explain(error) or error from error

    def _sync_file(self, log: Path) -> None:
        try:
            file = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # the last connection has closed: all is in the database itself, synced
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def _sync_postgresql(self) -> None:
        engine = self._postgresql(readonly=False, lazy=False)
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("select txid_current()")  # a transaction without a number writes nothing
        finally:
            engine.dispose()

    def _postgresql(self, readonly: bool, lazy: bool) -> sa.Engine:
        options: dict[str, Any] = (
            {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if readonly else {}
        )
        try:
            engine = sa.create_engine(
                self.url,
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={
                    "connect_timeout": 10,
                    "application_name": "xtreemos",
                    "options": f"-c synchronous_commit={'off' if lazy else 'on'}",
                },
            )
        except ModuleNotFoundError as error:
            raise StorageBroken(path=str(self), detail="install python3-psycopg for PostgreSQL") from error
        return engine.execution_options(**options) if options else engine

    def explain(self, error: BaseException) -> StorageError | None:
        """*error* as one of ours when it is the storage's fault; None when it is the caller's (a broken constraint)."""
        if isinstance(error, StorageError):
            return error
        if not isinstance(error, sa.exc.DBAPIError):
            return None
        if isinstance(error.orig, sqlite3.Error):
            return self._explain_sqlite(error.orig)
        return self._explain_postgresql(error)

    def _explain_sqlite(self, error: sqlite3.Error) -> StorageError | None:
        primary = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        if primary == sqlite3.SQLITE_FULL or (primary in _DISK_FAULTS and self._is_full()):
            return StorageFull(path=str(self))
        if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return busy(str(self), "another process holds it", 1000)
        if primary in _DISK_FAULTS or primary in _DAMAGED:
            return StorageBroken(path=str(self), detail=str(error))
        return None

    def _explain_postgresql(self, error: sa.exc.DBAPIError) -> StorageError | None:
        state = getattr(error.orig, "sqlstate", None) or ""
        if state == "53100":
            return StorageFull(path=str(self))
        if state in {"40001", "40P01", "55P03"} or state.startswith("53"):
            return busy(str(self), "the server is busy", 200)
        lost = error.connection_invalidated or (isinstance(error, sa.exc.OperationalError) and not state)
        if lost or state.startswith(("08", "28", "3D", "57P", "58", "F0", "XX")):
            return StorageBroken(path=str(self), detail=str(error.orig).strip().splitlines()[0][:300])
        return None

    def _is_full(self) -> bool:
        try:
            found = os.statvfs(self.path.parent if self.path else "/")
        except OSError:
            return False
        return found.f_bavail * found.f_frsize < _LITTLE


_DISK_FAULTS = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_DAMAGED = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)


def busy(path: str, detail: str, retry_after_ms: int) -> StorageBusy:
    """A `StorageBusy` that says when to come back."""
    error = StorageBusy(path=path, detail=detail)
    error.retry_after_ms = retry_after_ms
    return error
