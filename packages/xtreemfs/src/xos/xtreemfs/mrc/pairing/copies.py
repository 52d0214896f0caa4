# SPDX-License-Identifier: BSD-3-Clause
"""The whole database, from the primary to its backup, while the primary is used. These block: call them in a thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from xos.xtreemfs.mrc.schema import STANDING

PIECE = 1 << 20
STAMP = "UPDATE standing SET position = position + 1"
"""Ends each group of changes."""


def where(db: sa.Connection) -> tuple[int, int]:
    """Term and position of a database."""
    term, position = db.execute(sa.select(STANDING.c.term, STANDING.c.position)).one()
    return int(term), int(position)


def set_term(db: sa.Connection, term: int) -> None:
    """Another term begins."""
    db.execute(sa.update(STANDING).values(term=term))


def take(database: Path, copy: Path) -> int:
    """Copy one moment of *database*; the position of that. Raises `OSError`, `sqlite3.Error`."""
    remove(copy)
    os.close(os.open(copy, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        return int(target.execute("SELECT position FROM standing").fetchone()[0])


def read(copy: Path, offset: int) -> bytes:
    """The next piece."""
    with copy.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE)


def append(copy: Path, piece: bytes) -> None:
    """Keep a piece that came."""
    copy.touch(mode=0o600)
    with copy.open("ab") as file:
        file.write(piece)


def put(copy: Path, database: Path) -> None:
    """Let *copy* be the database, which nobody has open. A power cut leaves the old one or the new one."""
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm"):  # of the old one; its last user has brought all of it into the file
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    copy.replace(database)
    directory = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove(copy: Path) -> None:
    """A copy that serves no more, and what SQLite put beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
