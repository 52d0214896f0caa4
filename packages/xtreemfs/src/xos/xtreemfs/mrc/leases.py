# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories in the database, and numbers for what holders make: functions of one connection."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from xos.xtreemfs.api import MOST_LEASED, MOST_RESERVED, Access, Layout, Update
from xos.xtreemfs.mrc import contents, rows, usage, volumes
from xos.xtreemfs.mrc.access import EXECUTE, READ, WRITE, may
from xos.xtreemfs.mrc.contents import Grant, Place
from xos.xtreemfs.mrc.rows import Whole
from xos.xtreemfs.mrc.schema import ENTRIES, HANDLES, INODES, LEASES
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who

_L, _E, _H = LEASES.c, ENTRIES.c, HANDLES.c
_NEW = Statement(LEASES.insert().returning(_L.id), "directory", "session", "volume_id")
_END = Statement(LEASES.delete().where(_L.id == sa.bindparam("i"), _L.session == sa.bindparam("s")))
_END_ALL = Statement(LEASES.delete().where(_L.session == sa.bindparam("s")))
_NAMES = sa.select(sa.func.count()).select_from(
    sa.select(_E.cookie).where(_E.parent == sa.bindparam("d")).limit(MOST_LEASED + 1).subquery()
)
_WRITTEN = (
    sa.select(_H.id)
    .join_from(HANDLES, ENTRIES, _E.inode == _H.inode)
    .where(_E.parent == sa.bindparam("d"), _H.session != sa.bindparam("s"), _H.access >= int(Access.WRITE))
    .limit(1)
)
_PARENTS = Statement(sa.select(_E.parent).where(_E.inode == sa.bindparam("i")))
_SQLITE_NUMBERS = sa.text("UPDATE sqlite_sequence SET seq = seq + :n WHERE name = 'inodes' RETURNING seq")
_POSTGRESQL_NUMBERS = sa.text("SELECT setval(s, nextval(s) + :n - 1) FROM pg_get_serial_sequence('inodes', 'id') AS s")


class Kept(NamedTuple):
    """A lease in the database."""

    id: int
    directory: int
    session: str
    volume: int


class Granted(NamedTuple):
    """A lease, and the right to what its holder makes."""

    id: int
    directory: Inode
    reserve: Grant | None


def all_(connection: sa.Connection) -> list[Kept]:
    """All leases."""
    return [Kept(*row) for row in connection.execute(sa.select(_L.id, _L.directory, _L.session, _L.volume_id))]


def grant(
    connection: sa.Connection, who: Who, directory: int, session: str, volume: int, place: Place
) -> Result[Granted | None]:
    """Lease a directory that nobody has leased; None: it is not fit for it now."""
    home = rows.whole(connection, directory)
    if home is None:
        return Refusal(errno.ESTALE)
    if not home.inode.is_directory:
        return Refusal(errno.ENOTDIR)
    if not may(home.inode, who, READ | EXECUTE):
        return Refusal(errno.EACCES)
    if home.volume != volume or home.inode.origin or not home.inode.nlink:
        return None
    if connection.execute(_NAMES, {"d": directory}).scalar_one() > MOST_LEASED:
        return None
    if connection.execute(_WRITTEN, {"d": directory, "s": session}).first() is not None:
        return None
    connection.execute(LEASES.delete().where(_L.directory == directory))  # of a grant that nobody heard of
    row = {"directory": directory, "session": session, "volume_id": volume}
    number = int(_NEW.run(connection, row).fetchone()[0])
    return Granted(number, home.inode, reserve(connection, who, home, place))


def again(connection: sa.Connection, who: Who, kept: Kept, place: Place) -> Result[Granted]:
    """A lease that is had, with a fresh reserve."""
    home = rows.whole(connection, kept.directory)
    if home is None:
        return Refusal(errno.ESTALE)
    return Granted(kept.id, home.inode, reserve(connection, who, home, place))


def reserve(connection: sa.Connection, who: Who, home: Whole, place: Place) -> Grant | None:
    """Numbers for files that *who* makes in a directory, the first as the inode, and where they go.

    None: each is to be made by a call of its own, since rights depend on more than where it goes.
    """
    volume = volumes.volume(connection, home.volume)
    policy = contents.policy_in(home, volume)
    if not may(home.inode, who, WRITE | EXECUTE) or volume.origin or policy.update is not Update.NONE:
        return None
    if volume.quota or usage.limits(connection, volume.id):
        return None
    layout = place(policy, who.user)
    if layout is None:
        return None
    first = _numbers(connection, MOST_RESERVED)
    nothing = Inode(first, 0, 0, who.user, who.group, 0, 0, 0, 0, 0)
    return contents.grant(connection, Whole(nothing, volume.id, 0, None, None), volume, layout, _BOTH)


def _numbers(connection: sa.Connection, count: int) -> int:
    """The first of so many numbers that no other inode gets."""
    how = _SQLITE_NUMBERS if connection.dialect.name == "sqlite" else _POSTGRESQL_NUMBERS
    return int(connection.execute(how, {"n": count}).scalar_one()) - count + 1


def parents(connection: sa.Connection, inode: int) -> list[int]:
    """The directories that have a name of it."""
    return [row[0] for row in _PARENTS.run(connection, {"i": inode}).fetchall()]


def end(connection: sa.Connection, session: str, leases: Sequence[int]) -> None:
    """A session gives leases back, or they are taken from it."""
    _END.run_many(connection, [{"i": number, "s": session} for number in leases])


def end_all(connection: sa.Connection, session: str) -> None:
    """A session ends."""
    _END_ALL.run(connection, {"s": session})


def used(connection: sa.Connection, first: int, last: int) -> set[int]:
    """Numbers that inodes have, from *first* to *last*."""
    return {row[0] for row in _USED.run(connection, {"f": first, "l": last}).fetchall()}


_USED = Statement(sa.select(INODES.c.id).where(INODES.c.id.between(sa.bindparam("f"), sa.bindparam("l"))))
_BOTH = Access.READ | Access.WRITE


def one_replica(layout: Layout) -> bool:
    """Whether a reserve may have it."""
    return len(layout.replicas) == 1 and layout.update is Update.NONE
