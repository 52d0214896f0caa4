# SPDX-License-Identifier: BSD-3-Clause
"""Locks in the database: functions of one connection."""

from __future__ import annotations

import sqlalchemy as sa

from xos.xtreemfs.mrc.locking import Range, in_the_way, together, without
from xos.xtreemfs.mrc.schema import LOCKS

_L = LOCKS.c
_OF = sa.select(_L.session, _L.owner, _L.first, _L.last, _L.exclusive, _L.pid, _L.bsd).where(
    _L.inode == sa.bindparam("inode")
)


def held(connection: sa.Connection, inode: int) -> list[Range]:
    """All locks on a file."""
    return [Range((row[0], row[1]), *row[2:]) for row in connection.execute(_OF, {"inode": inode})]


def take(connection: sa.Connection, inode: int, wanted: Range) -> list[Range]:
    """Take a lock; what is in the way: then nothing is taken."""
    there = held(connection, inode)
    blocking = in_the_way(there, wanted)
    if not blocking:
        _keep(connection, inode, wanted, together(_mine(there, wanted), wanted))
    return blocking


def give_back(connection: sa.Connection, inode: int, gone: Range) -> None:
    """Give bytes back."""
    mine = _mine(held(connection, inode), gone)
    if mine:
        _keep(connection, inode, gone, without(mine, gone))


def _mine(there: list[Range], like: Range) -> list[Range]:
    return [lock for lock in there if lock.owner == like.owner and lock.bsd == like.bsd]


def _keep(connection: sa.Connection, inode: int, like: Range, mine: list[Range]) -> None:
    session, owner = like.owner
    connection.execute(
        LOCKS.delete().where(_L.inode == inode, _L.session == session, _L.owner == owner, _L.bsd == like.bsd)
    )
    if mine:
        connection.execute(LOCKS.insert(), [_row(inode, lock) for lock in mine])


def _row(inode: int, lock: Range) -> dict[str, object]:
    session, owner = lock.owner
    return {
        "session": session,
        "inode": inode,
        "owner": owner,
        "first": lock.first,
        "last": lock.last,
        "exclusive": lock.exclusive,
        "pid": lock.pid,
        "bsd": lock.bsd,
    }


def drop_session(connection: sa.Connection, session: str) -> list[int]:
    """Give back all that a session holds; on which files that was."""
    inodes = list(connection.scalars(sa.select(_L.inode).where(_L.session == session).distinct()))
    connection.execute(LOCKS.delete().where(_L.session == session))
    return inodes
