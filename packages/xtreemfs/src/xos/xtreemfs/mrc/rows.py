# SPDX-License-Identifier: BSD-3-Clause
"""Inodes and entries in the database: reading and writing one of them. Statements are made once."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import structs

from xos.xtreemfs.mrc.schema import ENTRIES, INODES, XATTRS
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import Inode

_I, _E = INODES.c, ENTRIES.c
_FIRST = ENTRIES.alias("first")
_COLUMNS = (
    _I.id,
    _I.mode,
    _I.nlink,
    _I.owner,
    _I.owner_group,
    _I.size,
    _I.atime,
    _I.mtime,
    _I.ctime,
    _I.rdev,
    _I.parent,
    _I.target,
    _I.epoch,
    _I.acl,
    _I.default_acl,
    _I.origin,
)
_INODE = Statement(sa.select(*_COLUMNS).where(_I.id == sa.bindparam("id")))
_WHOLE_COLUMNS = (_I.volume_id, _I.revision, _I.policy, _I.layout, *_COLUMNS)
_WHOLE = Statement(sa.select(*_WHOLE_COLUMNS).where(_I.id == sa.bindparam("id")))
_CHILD = Statement(
    sa.select(*_COLUMNS)
    .join_from(ENTRIES, INODES, _E.inode == _I.id)
    .where(_E.parent == sa.bindparam("parent"), _E.name == sa.bindparam("name"))
)
_WHOLE_CHILD = Statement(
    sa.select(*_WHOLE_COLUMNS)
    .join_from(ENTRIES, INODES, _E.inode == _I.id)
    .where(_E.parent == sa.bindparam("parent"), _E.name == sa.bindparam("name"))
)
_LISTED = Statement(
    sa.select(_E.cookie, _E.name, *_COLUMNS)
    .join_from(ENTRIES, INODES, _E.inode == _I.id)
    .where(_E.parent == sa.bindparam("parent"), _E.cookie > sa.bindparam("after"))
    .order_by(_E.cookie)
    .limit(sa.bindparam("most"))
)
_LISTED_FROM = Statement(
    sa.select(_E.cookie, _E.name, *_COLUMNS)
    .join_from(ENTRIES, INODES, _E.inode == _I.id)
    .where(
        _E.parent == sa.bindparam("parent"),
        _E.cookie
        >= sa.select(_FIRST.c.cookie)
        .where(_FIRST.c.parent == sa.bindparam("parent"), _FIRST.c.name == sa.bindparam("name"))
        .scalar_subquery(),
    )
    .order_by(_E.cookie)
    .limit(sa.bindparam("most"))
)
_ANY = Statement(sa.select(_E.cookie).where(_E.parent == sa.bindparam("parent")).limit(1))
_VOLUME_OF = Statement(sa.select(_I.volume_id).where(_I.id == sa.bindparam("id")))
_GIVEN = (
    "volume_id",
    "mode",
    "nlink",
    "owner",
    "owner_group",
    "size",
    "atime",
    "mtime",
    "ctime",
    "rdev",
    "parent",
    "target",
    "acl",
    "default_acl",
    "policy",
    "layout",
)
_INSERT = Statement(INODES.insert().returning(_I.id), *_GIVEN)
_INSERT_MADE = Statement(INODES.insert(), "id", *_GIVEN)
_ENTER = Statement(ENTRIES.insert(), "parent", "name", "inode")
_LEAVE = Statement(ENTRIES.delete().where(_E.parent == sa.bindparam("p"), _E.name == sa.bindparam("n")))
_POINT = Statement(
    ENTRIES.update().where(_E.parent == sa.bindparam("p"), _E.name == sa.bindparam("n")).values(inode=sa.bindparam("i"))
)
_LINKS = Statement(
    INODES.update()
    .where(_I.id == sa.bindparam("i"))
    .values(nlink=_I.nlink + sa.bindparam("by"), ctime=sa.bindparam("now"))
)
_LEFT = Statement(
    INODES.update().where(_I.id == sa.bindparam("i")).values(nlink=sa.bindparam("links"), ctime=sa.bindparam("now"))
)
_TOUCH = Statement(
    INODES.update()
    .where(_I.id == sa.bindparam("i"))
    .values(nlink=_I.nlink + sa.bindparam("by"), mtime=sa.bindparam("now"), ctime=sa.bindparam("now"))
)


_FORGET_XATTRS = Statement(XATTRS.delete().where(XATTRS.c.inode == sa.bindparam("i")))
_FORGET = Statement(INODES.delete().where(_I.id == sa.bindparam("i")))


@functools.cache
def _set(columns: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {column: sa.bindparam(column) for column in columns}
    return Statement(INODES.update().where(_I.id == sa.bindparam("i")).values(values))


class Whole(NamedTuple):
    """An inode with what only the MRC knows of it."""

    inode: Inode
    volume: int
    revision: int
    policy: bytes | None
    layout: bytes | None


def whole(connection: sa.Connection, number: int) -> Whole | None:
    """The inode of that number with all that there is."""
    row = _WHOLE.run(connection, {"id": number}).fetchone()
    return None if row is None else whole_of(row)


def select_whole(*further: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Of rows for `whole_of`, with further columns behind."""
    return sa.select(*_WHOLE_COLUMNS, *further)


def whole_of(row: Sequence[Any]) -> Whole:
    """The inode in a row of `select_whole`."""
    return Whole(Inode(*row[4:]), row[0], row[1], row[2], row[3])


def inode(connection: sa.Connection, number: int) -> Inode | None:
    """The inode of that number; nameless ones too."""
    row = _INODE.run(connection, {"id": number}).fetchone()
    return None if row is None else Inode(*row)


def child(connection: sa.Connection, parent: int, name: bytes) -> Inode | None:
    """What *name* is in *parent*."""
    row = _CHILD.run(connection, {"parent": parent, "name": name}).fetchone()
    return None if row is None else Inode(*row)


def whole_child(connection: sa.Connection, parent: int, name: bytes) -> Whole | None:
    """As `child`, with all that there is."""
    row = _WHOLE_CHILD.run(connection, {"parent": parent, "name": name}).fetchone()
    return None if row is None else whole_of(row)


def children(connection: sa.Connection, parent: int, after: int, most: int) -> list[tuple[int, bytes, Inode]]:
    """At most *most* entries behind the cookie *after*, in their order."""
    rows = _LISTED.run(connection, {"parent": parent, "after": after, "most": most}).fetchall()
    return [(row[0], row[1], Inode(*row[2:])) for row in rows]


def children_from(connection: sa.Connection, parent: int, name: bytes, most: int) -> list[tuple[int, bytes, Inode]]:
    """As `children`, *name* being the first; none if it is not there."""
    rows = _LISTED_FROM.run(connection, {"parent": parent, "name": name, "most": most}).fetchall()
    return [(row[0], row[1], Inode(*row[2:])) for row in rows]


def is_empty(connection: sa.Connection, directory: int) -> bool:
    """Whether *directory* holds no name."""
    return _ANY.run(connection, {"parent": directory}).fetchone() is None


def add_inode(
    connection: sa.Connection, volume: int, new: Inode, *, policy: bytes | None = None, layout: bytes | None = None
) -> Inode:
    """Keep a new inode; the id of *new* is passed over."""
    values = _values(volume, new, policy, layout)
    number = _INSERT.run(connection, values).fetchone()[0]
    return structs.replace(new, id=number)


def _values(volume: int, new: Inode, policy: bytes | None, layout: bytes | None) -> dict[str, Any]:
    return {
        "volume_id": volume,
        "mode": new.mode,
        "nlink": new.nlink,
        "owner": new.owner,
        "owner_group": new.group,
        "size": new.size,
        "atime": new.atime,
        "mtime": new.mtime,
        "ctime": new.ctime,
        "rdev": new.rdev,
        "parent": new.parent,
        "target": new.target,
        "acl": new.acl,
        "default_acl": new.default_acl,
        "policy": policy,
        "layout": layout,
    }


def volume_of(connection: sa.Connection, number: int) -> int:
    """The volume of an inode that is there."""
    return int(_VOLUME_OF.run(connection, {"id": number}).fetchone()[0])


def update_inode(connection: sa.Connection, number: int, **values: Any) -> None:
    """Set columns."""
    _set(tuple(values)).run(connection, {"i": number, **values})


def remove_inode(connection: sa.Connection, number: int) -> None:
    """Forget an inode that has no name, and its extended attributes."""
    _FORGET_XATTRS.run(connection, {"i": number})
    _FORGET.run(connection, {"i": number})


def add_links(connection: sa.Connection, number: int, by: int, now: int) -> None:
    """Count names of an inode."""
    _LINKS.run(connection, {"i": number, "by": by, "now": now})


def touch_directory(connection: sa.Connection, number: int, now: int, *, links: int = 0) -> None:
    """A name came or went in a directory; *links*: so many directories more."""
    _TOUCH.run(connection, {"i": number, "by": links, "now": now})


def enter(connection: sa.Connection, parent: int, name: bytes, number: int) -> None:
    """Give an inode a name."""
    _ENTER.run(connection, {"parent": parent, "name": name, "inode": number})


def leave(connection: sa.Connection, parent: int, name: bytes) -> None:
    """Take a name away."""
    _LEAVE.run(connection, {"p": parent, "n": name})


def point(connection: sa.Connection, parent: int, name: bytes, number: int) -> None:
    """Let a name that is there lead to another inode."""
    _POINT.run(connection, {"p": parent, "n": name, "i": number})


# --- many at once


def add_made(connection: sa.Connection, made: Iterable[Whole]) -> None:
    """Keep new inodes under numbers that nobody else gets."""
    _INSERT_MADE.run_many(
        connection, [{"id": one.inode.id, **_values(one.volume, one.inode, one.policy, one.layout)} for one in made]
    )


def enter_all(connection: sa.Connection, names: Mapping[tuple[int, bytes], int]) -> None:
    """Give inodes names in directories."""
    _ENTER.run_many(
        connection, [{"parent": parent, "name": name, "inode": number} for (parent, name), number in names.items()]
    )


def leave_all(connection: sa.Connection, names: Iterable[tuple[int, bytes]]) -> None:
    """Take names out of directories."""
    _LEAVE.run_many(connection, [{"p": parent, "n": name} for parent, name in names])


def set_links(connection: sa.Connection, left: Iterable[Inode]) -> None:
    """Of inodes with fewer names, how many, and since when."""
    _LEFT.run_many(connection, [{"i": inode.id, "links": inode.nlink, "now": inode.ctime} for inode in left])


def remove_inodes(connection: sa.Connection, numbers: Iterable[int]) -> None:
    """As `remove_inode`."""
    gone: list[Mapping[str, Any]] = [{"i": number} for number in numbers]
    _FORGET_XATTRS.run_many(connection, gone)
    _FORGET.run_many(connection, gone)
