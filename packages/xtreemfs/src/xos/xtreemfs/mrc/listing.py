# SPDX-License-Identifier: BSD-3-Clause
"""Access control lists as the extended attributes ``system.posix_acl_*``, as text: functions of one connection."""

from __future__ import annotations

import errno
import os
import stat

import sqlalchemy as sa

from xos.xtreemfs.mrc import acl, rows
from xos.xtreemfs.mrc.access import denied, owns
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
NAMES = frozenset({ACCESS, DEFAULT})


def names(inode: Inode) -> list[bytes]:
    """Which of the two there are."""
    return [ACCESS] * bool(inode.acl) + [DEFAULT] * bool(inode.default_acl)


def get(connection: sa.Connection, number: int, name: bytes) -> Result[bytes]:
    """The whole list. ENODATA: the mode says all."""
    inode = rows.inode(connection, number)
    if inode is None:
        return Refusal(errno.ESTALE)
    if name not in names(inode):
        return Refusal(errno.ENODATA)
    text = acl.text(acl.join(inode.mode, inode.acl)) if name == ACCESS else inode.default_acl
    return text.encode()


def put(
    connection: sa.Connection, who: Who, number: int, name: bytes, value: bytes, flags: int, now: int
) -> Result[Inode]:
    """Set a list, and with the access list the mode; the inode as it is then. EINVAL: it is none."""
    inode = _mine(connection, who, number, name)
    if isinstance(inode, Refusal):
        return inode
    if name in names(inode):
        if flags & os.XATTR_CREATE:
            return Refusal(errno.EEXIST)
    elif flags & os.XATTR_REPLACE:
        return Refusal(errno.ENODATA)
    found = acl.parse(value.decode(errors="replace"))
    if found is None or not acl.is_whole(found):
        return Refusal(errno.EINVAL)
    if name == DEFAULT:
        rows.update_inode(connection, number, default_acl=acl.text(found), ctime=now)
    else:
        bits, kept = acl.split(found)
        mode = inode.mode & ~0o777 | bits
        if not who.superuser and inode.group not in who.groups and not inode.is_directory:
            mode &= ~stat.S_ISGID
        rows.update_inode(connection, number, mode=mode, acl=kept, ctime=now)
    return rows.inode(connection, number) or Refusal(errno.ESTALE)


def remove(connection: sa.Connection, who: Who, number: int, name: bytes, now: int) -> Result[Inode]:
    """Take a list away: the mode stays. ENODATA."""
    inode = _mine(connection, who, number, name)
    if isinstance(inode, Refusal):
        return inode
    if name not in names(inode):
        return Refusal(errno.ENODATA)
    values = {"default_acl": ""} if name == DEFAULT else {"acl": ""}
    rows.update_inode(connection, number, ctime=now, **values)
    return rows.inode(connection, number) or Refusal(errno.ESTALE)


def _mine(connection: sa.Connection, who: Who, number: int, name: bytes) -> Result[Inode]:
    inode = rows.inode(connection, number)
    if inode is None:
        return Refusal(errno.ESTALE)
    if inode.origin:
        return denied(inode)
    if stat.S_ISLNK(inode.mode):
        return Refusal(errno.EOPNOTSUPP)
    if name == DEFAULT and not inode.is_directory:
        return Refusal(errno.EACCES)
    return inode if owns(inode, who) else Refusal(errno.EPERM)
