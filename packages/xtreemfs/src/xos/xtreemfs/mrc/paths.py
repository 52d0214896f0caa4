# SPDX-License-Identifier: BSD-3-Clause
"""Paths: functions of one connection."""

from __future__ import annotations

import errno
from collections.abc import Callable

import sqlalchemy as sa

from xos.xtreemfs.mrc import namespace, rows
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who

PATH_MAX = 4096
MOST_LINKS = 40
"""Symbolic links followed on one way, as Linux has it."""


def resolve(
    connection: sa.Connection, who: Who, root: int, path: bytes, leased: Callable[[int], bool] = lambda _: False
) -> Result[Inode]:
    """The inode at a path from the root, following links on the way but not at its end. The root is above itself.

    *leased*: whether others have leased a directory.
    """
    if len(path) >= PATH_MAX:
        return Refusal(errno.ENAMETOOLONG)
    at: Result[Inode] = rows.inode(connection, root) or Refusal(errno.ESTALE)
    todo, links = _parts(path), 0
    while todo and isinstance(at, Inode):
        name = todo.pop(0)
        if leased(at.id):
            return Refusal(errno.EAGAIN, (at.id,))
        found = _step(connection, who, root, at, name)
        if isinstance(found, Inode) and found.target is not None and todo:
            links += 1
            if links > MOST_LINKS:
                return Refusal(errno.ELOOP)
            todo = _parts(found.target) + todo
            if found.target.startswith(b"/"):
                at = rows.inode(connection, root) or Refusal(errno.ESTALE)
            continue
        at = found
    return Refusal(errno.EAGAIN, (at.id,)) if isinstance(at, Inode) and leased(at.id) else at


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def _step(connection: sa.Connection, who: Who, root: int, at: Inode, name: bytes) -> Result[Inode]:
    if name != b"..":
        return namespace.lookup(connection, who, at.id, name)
    if not at.is_directory:
        return Refusal(errno.ENOTDIR)
    return rows.inode(connection, root if at.id == root else at.parent) or Refusal(errno.ESTALE)
