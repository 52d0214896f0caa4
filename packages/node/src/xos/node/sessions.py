# SPDX-License-Identifier: BSD-3-Clause
"""Which logins there were, and are: ``sessions.sqlite`` beside the accounts.

Apart from them, since no decision hangs on it and a login must not wait for a disk: a record is written before the
answer (`kill -9` of the daemon loses none), and synced within `SYNC_SECONDS` (a crash of the machine, which ends every
session, may lose the records of that time). The journal tells of each login too.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from xos.common.errors import StorageFull
from xos.common.log import get_logger
from xos.node.errors import StateBroken

log = get_logger("xos.node.sessions")

SYNC_SECONDS = 1.0
_TABLE = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, uid INTEGER NOT NULL, service TEXT NOT NULL, tty TEXT NOT NULL, rhost TEXT NOT NULL,
    boot TEXT NOT NULL, opened INTEGER NOT NULL, closed INTEGER) STRICT
"""


class Sessions:
    """The records, in a directory that one daemon holds (`xos.node.store.Store` sees to that). For one event loop."""

    def __init__(self, directory: Path) -> None:
        """Open the file, or make it; a damaged one is put aside. Raises `StateBroken`, `StorageFull`."""
        self.path = directory / "sessions.sqlite"
        self._written = asyncio.Event()
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._broken(error) from error
            aside = self.path.with_suffix(f".broken-{int(time.time())}")
            log.warning("sessions.damaged", file=str(self.path), kept=str(aside), detail=str(error))
            self._put_aside(aside)
            self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self.path.chmod(0o600)
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL", "trusted_schema=OFF"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(_TABLE)
        (fine,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if fine != "ok":
            raise sqlite3.DatabaseError(fine)

    def _put_aside(self, aside: Path) -> None:
        self._db.close()
        for ending in ("", "-wal", "-shm"):
            file = self.path.with_name(self.path.name + ending)
            if file.exists():
                file.rename(aside.with_name(aside.name + ending))

    def close(self) -> None:
        """Write everything home."""
        self._db.close()

    def opened(self, session: str, uid: int, service: str, tty: str, rhost: str, boot: str) -> None:
        """A login began. Raises `StorageFull`, `StateBroken`."""
        row = (session, uid, service, tty, rhost, boot, int(time.time()))
        self._write("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", *row)

    def closed(self, session: str) -> int | None:
        """A login ended: the uid it was of; None when there is none of that id. Raises as `opened`."""
        statement = "UPDATE sessions SET closed = ? WHERE id = ? AND closed IS NULL RETURNING uid"
        rows = self._write(statement, int(time.time()), session)
        return int(rows[0]["uid"]) if rows else None

    def uids(self, boot: str) -> set[int]:
        """The accounts that are logged in, as far as known, since the boot *boot*."""
        rows = self._write("SELECT DISTINCT uid FROM sessions WHERE closed IS NULL AND boot = ?", boot)
        return {int(row["uid"]) for row in rows}

    def forget(self, before: int) -> None:
        """Drop what is known of logins that began before *before* (Unix seconds)."""
        self._write("DELETE FROM sessions WHERE opened < ?", before)

    async def run(self) -> None:
        """Sync what was written, until cancelled."""
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await asyncio.to_thread(self._sync)
            except OSError as error:
                log.warning("sessions.not-synced", file=str(self.path), detail=str(error))
            await asyncio.sleep(SYNC_SECONDS)

    def _sync(self) -> None:
        fd = os.open(self.path.with_name(f"{self.path.name}-wal"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def _write(self, statement: str, *values: object) -> list[sqlite3.Row]:
        try:
            rows = self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        self._written.set()
        return rows

    def _broken(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            return StorageFull(path=str(self.path))
        return StateBroken(path=str(self.path), detail=str(error))
