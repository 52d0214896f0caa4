# SPDX-License-Identifier: BSD-3-Clause
"""rename(2) and renameat2(2): the one change of the name space that is several at once."""

from __future__ import annotations

import errno
import stat
from typing import NamedTuple

import sqlalchemy as sa

from xos.xtreemfs.mrc import rows
from xos.xtreemfs.mrc.access import EXECUTE, WRITE, may, may_name, may_remove
from xos.xtreemfs.mrc.namespace import bad_name
from xos.xtreemfs.mrc.values import LINK_MAX, Inode, Refusal, Result, Who

NOREPLACE, EXCHANGE = 1, 2
_DEEPEST = 4096
"""Levels above a directory; more is a damaged database."""


class Place(NamedTuple):
    """A name in a directory."""

    parent: int
    name: bytes


def rename(connection: sa.Connection, who: Who, old: Place, new: Place, flags: int, now: int) -> Result[Inode | None]:
    """Rename; what had the new name before, if that was its last one, else None."""
    if flags & ~(NOREPLACE | EXCHANGE) or flags == NOREPLACE | EXCHANGE:
        return Refusal(errno.EINVAL)
    found = _find(connection, who, old, new)
    if isinstance(found, Refusal):
        return found
    source, target, inode, there = found
    if there is not None and flags & NOREPLACE:
        return Refusal(errno.EEXIST)
    if there is None and flags & EXCHANGE:
        return Refusal(errno.ENOENT)
    if there is not None and there.id == inode.id:
        return None
    exchange = bool(flags & EXCHANGE)
    refusal = _forbidden(who, found, old, new, exchange=exchange) or _impossible(connection, found, exchange=exchange)
    if refusal is not None:
        return refusal
    if flags & EXCHANGE and there is not None:
        _exchange(connection, old, new, inode, there, now)
        return None
    gone = _replace(connection, new, inode, there, now)
    rows.leave(connection, old.parent, old.name)
    moved = inode.is_directory and source.id != target.id
    if moved:
        rows.update_inode(connection, inode.id, parent=target.id)
    rows.add_links(connection, inode.id, 0, now)
    rows.touch_directory(connection, source.id, now, links=-1 if moved else 0)
    replaced = there is not None and there.is_directory
    if source.id == target.id:
        rows.touch_directory(connection, target.id, now, links=-1 if replaced else 0)
    else:
        rows.touch_directory(connection, target.id, now, links=int(moved) - int(replaced))
    return gone


class _Found(NamedTuple):
    source: Inode
    target: Inode
    inode: Inode
    there: Inode | None


def _find(connection: sa.Connection, who: Who, old: Place, new: Place) -> Result[_Found]:
    for place in (old, new):
        if refusal := bad_name(place.name):
            return refusal
    source, target = rows.inode(connection, old.parent), rows.inode(connection, new.parent)
    if source is None or target is None:
        return Refusal(errno.ESTALE)
    if not source.is_directory or not target.is_directory:
        return Refusal(errno.ENOTDIR)
    if not may(source, who, EXECUTE) or not may(target, who, EXECUTE):
        return Refusal(errno.EACCES)
    inode = rows.child(connection, *old)
    if inode is None or target.nlink == 0:
        return Refusal(errno.ENOENT)
    if source.id != target.id and rows.volume_of(connection, source.id) != rows.volume_of(connection, target.id):
        return Refusal(errno.EXDEV)
    return _Found(source, target, inode, rows.child(connection, *new))


def _forbidden(who: Who, found: _Found, old: Place, new: Place, *, exchange: bool) -> Refusal | None:
    source, target, inode, there = found
    if refusal := may_remove(source, inode, who):
        return refusal
    named = may_name(target, new.name, who) and (not exchange or may_name(source, old.name, who))
    if not may(target, who, WRITE | EXECUTE) or not named:
        return Refusal(errno.EACCES)
    if there is not None and (refusal := may_remove(target, there, who)):
        return refusal
    # The ".." of what moves changes.
    for each in (inode, there) if exchange else (inode,):
        if each is not None and each.is_directory and source.id != target.id and not may(each, who, WRITE):
            return Refusal(errno.EACCES)
    return None


def _impossible(connection: sa.Connection, found: _Found, *, exchange: bool) -> Refusal | None:
    source, target, inode, there = found
    if inode.is_directory and _is_above(connection, inode.id, target):
        return Refusal(errno.EINVAL)
    if exchange:
        above = there is not None and there.is_directory and _is_above(connection, there.id, source)
        return Refusal(errno.EINVAL) if above else None
    if there is not None:
        if inode.is_directory and not there.is_directory:
            return Refusal(errno.ENOTDIR)
        if there.is_directory and not inode.is_directory:
            return Refusal(errno.EISDIR)
        if there.is_directory and not rows.is_empty(connection, there.id):
            return Refusal(errno.ENOTEMPTY)
    elif inode.is_directory and source.id != target.id and target.nlink >= LINK_MAX:
        return Refusal(errno.EMLINK)
    return None


def _is_above(connection: sa.Connection, number: int, directory: Inode) -> bool:
    """Whether *directory* is *number*, or somewhere below it."""
    at: Inode | None = directory
    for _ in range(_DEEPEST):
        if at is None or at.id == number:
            return at is not None
        if at.parent == at.id:
            return False
        at = rows.inode(connection, at.parent)
    return True


def _replace(connection: sa.Connection, new: Place, inode: Inode, there: Inode | None, now: int) -> Inode | None:
    if there is None:
        rows.enter(connection, new.parent, new.name, inode.id)
        return None
    rows.point(connection, new.parent, new.name, inode.id)
    rows.add_links(connection, there.id, -there.nlink if there.is_directory else -1, now)
    left = rows.inode(connection, there.id)
    return left if left is not None and left.nlink == 0 else None


def _exchange(connection: sa.Connection, old: Place, new: Place, inode: Inode, there: Inode, now: int) -> None:
    rows.point(connection, old.parent, old.name, there.id)
    rows.point(connection, new.parent, new.name, inode.id)
    for each, parent in ((inode, new.parent), (there, old.parent)):
        rows.add_links(connection, each.id, 0, now)
        if each.is_directory and old.parent != new.parent:
            rows.update_inode(connection, each.id, parent=parent)
    more = int(stat.S_ISDIR(inode.mode)) - int(stat.S_ISDIR(there.mode)) if old.parent != new.parent else 0
    rows.touch_directory(connection, old.parent, now, links=-more)
    rows.touch_directory(connection, new.parent, now, links=more)
