# SPDX-License-Identifier: BSD-3-Clause
"""Extended attributes (xattr(7)): ``user.*`` by the file's permissions, ``trusted.*`` the superuser's.

The ``system`` and ``security`` name spaces mean something to a kernel, which an attribute kept here would not.
"""

from __future__ import annotations

import errno
import os
import stat

import sqlalchemy as sa

from xos.xtreemfs.mrc import rows
from xos.xtreemfs.mrc.access import READ, WRITE, denied, may, owns
from xos.xtreemfs.mrc.schema import XATTRS
from xos.xtreemfs.mrc.values import XATTR_NAME_MAX, XATTR_VALUE_MAX, Inode, Refusal, Result, Who

MOST_NAMES = 32 << 10
"""Bytes of all names of one file: more than a listing can hold is refused, and so are more than that many in all."""


def get(connection: sa.Connection, who: Who, number: int, name: bytes) -> Result[bytes]:
    """The value. ENODATA."""
    inode = _open(connection, who, number, name, READ)
    if isinstance(inode, Refusal):
        return inode
    query = sa.select(XATTRS.c.value).where(XATTRS.c.inode == number, XATTRS.c.name == name)
    value = connection.execute(query).scalar_one_or_none()
    return Refusal(errno.ENODATA) if value is None else bytes(value)


def names(connection: sa.Connection, who: Who, number: int) -> Result[list[bytes]]:
    """The names that *who* may see, in order."""
    if rows.inode(connection, number) is None:
        return Refusal(errno.ESTALE)
    query = sa.select(XATTRS.c.name).where(XATTRS.c.inode == number).order_by(XATTRS.c.name)
    found = [bytes(name) for name in connection.scalars(query)]
    return [name for name in found if who.superuser or not name.startswith(b"trusted.")]


def put(
    connection: sa.Connection, who: Who, number: int, name: bytes, value: bytes, flags: int, now: int
) -> Result[None]:
    """Set one; *flags*: ``XATTR_CREATE``, ``XATTR_REPLACE``."""
    if len(value) > XATTR_VALUE_MAX:
        return Refusal(errno.E2BIG)
    inode = _open(connection, who, number, name, WRITE)
    if isinstance(inode, Refusal):
        return inode
    there = connection.execute(_ONE, {"inode": number, "name": name}).first() is not None
    if there and flags & os.XATTR_CREATE:
        return Refusal(errno.EEXIST)
    if not there and flags & os.XATTR_REPLACE:
        return Refusal(errno.ENODATA)
    if not there:
        used = connection.execute(_USED, {"inode": number}).scalar_one() or 0
        if used + len(name) + 1 > MOST_NAMES:
            return Refusal(errno.ENOSPC)
        connection.execute(XATTRS.insert().values(inode=number, name=name, value=value))
    else:
        connection.execute(XATTRS.update().where(XATTRS.c.inode == number, XATTRS.c.name == name).values(value=value))
    rows.add_links(connection, number, 0, now)
    return None


def remove(connection: sa.Connection, who: Who, number: int, name: bytes, now: int) -> Result[None]:
    """Remove one. ENODATA."""
    inode = _open(connection, who, number, name, WRITE)
    if isinstance(inode, Refusal):
        return inode
    gone = connection.execute(XATTRS.delete().where(XATTRS.c.inode == number, XATTRS.c.name == name)).rowcount
    if not gone:
        return Refusal(errno.ENODATA)
    rows.add_links(connection, number, 0, now)
    return None


_ONE = sa.select(XATTRS.c.inode).where(XATTRS.c.inode == sa.bindparam("inode"), XATTRS.c.name == sa.bindparam("name"))
_USED = sa.select(sa.func.sum(sa.func.length(XATTRS.c.name) + 1)).where(XATTRS.c.inode == sa.bindparam("inode"))


def _open(connection: sa.Connection, who: Who, number: int, name: bytes, wanted: int) -> Result[Inode]:
    """The inode, if *who* may do that with an attribute of that name."""
    inode = rows.inode(connection, number)
    if inode is None:
        return Refusal(errno.ESTALE)
    if inode.origin and wanted == WRITE:
        return denied(inode)
    space, dot, rest = name.partition(b".")
    if len(name) > XATTR_NAME_MAX:
        return Refusal(errno.ERANGE)
    if not dot or not rest or b"\0" in name or space not in (b"user", b"trusted"):
        return Refusal(errno.EOPNOTSUPP)
    if space == b"trusted":
        hidden = errno.ENODATA if wanted == READ else errno.EPERM
        return inode if who.superuser else Refusal(hidden)
    if not (stat.S_ISREG(inode.mode) or inode.is_directory):
        return Refusal(errno.ENODATA if wanted == READ else errno.EPERM)
    if inode.is_directory and inode.mode & stat.S_ISVTX and wanted == WRITE and not owns(inode, who):
        return Refusal(errno.EPERM)
    return inode if may(inode, who, wanted) else Refusal(errno.EACCES)
