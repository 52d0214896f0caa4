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

import msgspec

from xos.common.errors import StorageFull
from xos.common.log import get_logger
from xos.node.api import Account
from xos.node.errors import StateBroken

log = get_logger("xos.node.sessions")

SYNC_SECONDS = 1.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
MOST = 500
"""In one answer."""
_TABLE = """
CREATE TABLE IF NOT EXISTS logins (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, uid INTEGER NOT NULL, name TEXT NOT NULL,
    service TEXT NOT NULL, tty TEXT NOT NULL, rhost TEXT NOT NULL, boot TEXT NOT NULL, opened INTEGER NOT NULL,
    closed INTEGER) STRICT
"""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A login, and its end."""

    number: int
    """The later, the larger."""
    name: str
    """The account's at that time; a number may have been another's since."""
    uid: int
    service: str
    """PAM's: sshd, login, su."""
    tty: str
    rhost: str
    opened: int
    """Unix seconds."""
    closed: int | None
    """Unix seconds; None: not told of."""
    open: bool
    """Whether it goes on, as far as known: its end was not told of, and the machine has been up since."""


class Sessions:
    """The records, in a directory that one daemon holds (`xos.node.store.Store` sees to that). For one event loop."""

    def __init__(self, directory: Path) -> None:
        """Open the file, or make it; a damaged one is put aside. Raises `StateBroken`, `StorageFull`."""
        self.path = directory / "sessions.sqlite"
        self._boot = _BOOT.read_text().strip()
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

    def opened(self, session: str, account: Account, service: str, tty: str, rhost: str) -> None:
        """A login began. Raises `StorageFull`, `StateBroken`."""
        row = (session, account.uid, account.name, service, tty, rhost, self._boot, int(time.time()))
        self._write("INSERT INTO logins VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", *row)

    def closed(self, session: str) -> int | None:
        """A login ended: the uid it was of; None when there is none of that id. Raises as `opened`."""
        statement = "UPDATE logins SET closed = ? WHERE id = ? AND closed IS NULL RETURNING uid"
        rows = self._write(statement, int(time.time()), session)
        return int(rows[0]["uid"]) if rows else None

    def latest(self, *, before: int | None = None, name: str = "") -> list[Login]:
        """Logins, the latest first, `MOST` at a time: those with a number below *before*, of the account *name*."""
        rows = self._write(
            "SELECT * FROM logins WHERE (?1 IS NULL OR number < ?1) AND (?2 = '' OR name = ?2) "
            "ORDER BY number DESC LIMIT ?3",
            before, name, MOST,
        )  # fmt: skip
        return [self._login(row) for row in rows]

    def _login(self, row: sqlite3.Row) -> Login:
        told = {field: row[field] for field in Login.__struct_fields__ if field != "open"}
        return Login(**told, open=row["closed"] is None and row["boot"] == self._boot)

    def forget(self, before: int) -> None:
        """Drop what is known of logins that began before *before* (Unix seconds)."""
        self._write("DELETE FROM logins WHERE opened < ?", before)

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
