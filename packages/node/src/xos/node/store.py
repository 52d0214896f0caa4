# SPDX-License-Identifier: BSD-3-Clause
"""Accounts on disk: SQLite, synced before anybody is told of an account.

Plain `sqlite3`, since xos-amsd stands in the way of every login: it starts in a tenth of a second, and one file with
two tables needs neither another engine nor migrations beyond `user_version`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from xos.common.errors import StorageFull
from xos.node.api import Account, VoGroup
from xos.node.errors import StateBroken

SCHEMA = 1
_TABLES = """
CREATE TABLE accounts (
    uid INTEGER PRIMARY KEY CHECK (uid > 0), name TEXT NOT NULL, vo TEXT NOT NULL, owner TEXT NOT NULL,
    shared INTEGER NOT NULL, groups TEXT NOT NULL, authority TEXT NOT NULL, state TEXT NOT NULL,
    made INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE (vo, owner, shared)) STRICT;
CREATE TABLE vo_groups (
    gid INTEGER PRIMARY KEY CHECK (gid > 0), name TEXT NOT NULL, vo TEXT NOT NULL, grp TEXT NOT NULL,
    UNIQUE (vo, grp)) STRICT;
"""


class Store:
    """The file ``accounts.sqlite`` in a directory that one daemon holds. For one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open it, or make it. Raises `StateBroken` when it is damaged, of a newer release, or in use."""
        self.path = directory / "accounts.sqlite"
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StateBroken(path=str(directory), detail="another xos-amsd uses them") from error
        try:
            self._open()
        except (sqlite3.Error, StateBroken) as error:
            os.close(self._lock)
            raise self._broken(error) from error

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self.path.chmod(0o600)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
            self._db.execute(f"PRAGMA {pragma}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise StateBroken(path=str(self.path), detail=f"a newer release wrote them (schema {version})")
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        (fine,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if fine != "ok":
            raise StateBroken(path=str(self.path), detail=str(fine))

    def _broken(self, error: Exception) -> Exception:
        if isinstance(error, StateBroken):
            return error
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            return StorageFull(path=str(self.path))
        return StateBroken(path=str(self.path), detail=str(error))

    def close(self) -> None:
        """Let another daemon have it."""
        self._db.close()
        os.close(self._lock)

    def accounts(self) -> list[Account]:
        """All of them, retired ones too. Raises `StateBroken`."""
        return [self._account(row) for row in self._read("SELECT * FROM accounts")]

    def _account(self, row: sqlite3.Row) -> Account:
        told = {**dict(row), "shared": bool(row["shared"]), "groups": list(filter(None, row["groups"].split(",")))}
        try:
            return msgspec.convert(told, Account)
        except msgspec.ValidationError as error:
            raise self._broken(error) from error

    def groups(self) -> list[VoGroup]:
        """All VO groups that have a number."""
        return [VoGroup(*row) for row in self._read("SELECT gid, name, vo, grp FROM vo_groups")]

    def _read(self, statement: str, *values: object) -> list[sqlite3.Row]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def keep(self, accounts: Iterable[Account] = (), groups: Iterable[VoGroup] = ()) -> None:
        """Write these, in one transaction; on disk when this returns. Raises `StorageFull`, `StateBroken`."""
        rows = [
            (
                each.uid,
                each.name,
                each.vo,
                each.owner,
                int(each.shared),
                ",".join(each.groups),
                each.authority,
                each.state.value,
                each.made,
                each.used,
            )
            for each in accounts
        ]
        group_rows = [(each.gid, each.name, each.vo, each.group) for each in groups]
        self._write(
            ("INSERT INTO vo_groups VALUES (?, ?, ?, ?)", group_rows),
            (
                "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET "
                "name = excluded.name, groups = excluded.groups, authority = excluded.authority, "
                "state = excluded.state, used = excluded.used",
                rows,
            ),
        )

    def forget(self, uids: Iterable[int]) -> None:
        """These numbers are free again."""
        self._write(("DELETE FROM accounts WHERE uid = ? AND state = 'quarantined'", [(uid,) for uid in uids]))

    def _write(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for statement, rows in statements:
                    self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._broken(error) from error
