# SPDX-License-Identifier: BSD-3-Clause
"""Finding files by what they are (the original's querying interface): a function of one connection."""

from __future__ import annotations

import fnmatch
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Found
from xos.xtreemfs.mrc import rows
from xos.xtreemfs.mrc.access import EXECUTE, READ, may
from xos.xtreemfs.mrc.schema import ENTRIES, INODES, XATTRS
from xos.xtreemfs.mrc.values import Who
from xos.xtreemfs.mrc.volumes import Volume

_I, _E, _X = INODES.c, ENTRIES.c, XATTRS.c
_ABOVE = sa.select(_E.parent, _E.name).where(_E.inode == sa.bindparam("i"))


PIECE = 2000
"""Entries looked at at a time."""


class Query(msgspec.Struct, frozen=True):
    """What is looked for; what is empty or -1 is not asked."""

    owner: str = ""
    name: str = ""
    """A pattern as shells have it."""
    least: int = -1
    """Bytes."""
    most: int = -1
    xattr: bytes = b""
    value: bytes = b""


class Page(NamedTuple):
    """What a piece of the volume gave."""

    found: list[Found]
    last: int
    """Cookie of the last entry that was looked at."""
    more: bool


def find(connection: sa.Connection, who: Who, volume: Volume, query: Query, after: int, limit: int) -> Page:
    """At most *limit* entries that fit, of directories that *who* may read and come to, among the next `PIECE`.

    One piece at a time, so that others are answered meanwhile.
    """
    ways: dict[int, bytes | None] = {volume.root: b""}
    found: list[Found] = []
    entries = connection.execute(_statement(volume, query, after)).all()
    for cookie, parent, name, number in entries:
        if query.name and not fnmatch.fnmatchcase(_text(name), query.name):
            continue
        way = _way(connection, who, parent, ways)
        inode = rows.inode(connection, number)
        if way is not None and inode is not None:
            found.append(Found(_text(way + name), inode))
            if len(found) == limit:
                return Page(found, cookie, more=True)
    return Page(found, entries[-1][0] if entries else after, more=len(entries) == PIECE)


def _statement(volume: Volume, query: Query, after: int) -> sa.Select[tuple[int, int, bytes, int]]:
    statement = (
        sa.select(_E.cookie, _E.parent, _E.name, _E.inode)
        .join_from(ENTRIES, INODES, _E.inode == _I.id)
        .where(_I.volume_id == volume.id, _E.cookie > after)
        .order_by(_E.cookie)
        .limit(PIECE)
    )
    if query.owner:
        statement = statement.where(_I.owner == query.owner)
    if query.least >= 0:
        statement = statement.where(_I.size >= query.least)
    if query.most >= 0:
        statement = statement.where(_I.size <= query.most)
    if query.xattr:
        has = sa.select(_X.inode).where(_X.inode == _I.id, _X.name == query.xattr)
        statement = statement.where((has.where(_X.value == query.value) if query.value else has).exists())
    return statement


def _way(connection: sa.Connection, who: Who, directory: int, ways: dict[int, bytes | None]) -> bytes | None:
    """The path of a directory with a slash at its end; None: *who* may not come there."""
    if directory not in ways:
        above = connection.execute(_ABOVE, {"i": directory}).first()
        way = None if above is None else _way(connection, who, above[0], ways)
        ways[directory] = None if above is None or way is None else way + bytes(above[1]) + b"/"
    inode = rows.inode(connection, directory)
    return ways[directory] if inode is not None and may(inode, who, READ | EXECUTE) else None


def _text(name: bytes) -> str:
    """Bytes that are no UTF-8 as escapes: on the wire, text is UTF-8."""
    return bytes(name).decode(errors="backslashreplace")
