# SPDX-License-Identifier: BSD-3-Clause
"""Volumes: each a tree of its own, from a root directory down."""

from __future__ import annotations

import errno
import stat

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.mrc import rows
from xos.xtreemfs.mrc.schema import VOLUMES
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who


class Volume(msgspec.Struct, array_like=True, frozen=True):
    """A volume."""

    id: int
    name: str
    root: int
    """The inode of its root directory."""


def make_volume(connection: sa.Connection, who: Who, name: str, mode: int, now: int) -> Result[Volume]:
    """A new volume, whose root belongs to *who*. EEXIST."""
    if find_volume(connection, name) is not None:
        return Refusal(errno.EEXIST)
    number = connection.execute(VOLUMES.insert().values(name=name, root=0).returning(VOLUMES.c.id)).scalar_one()
    directory = stat.S_IFDIR | mode & 0o7777
    root = rows.add_inode(connection, number, Inode(0, directory, 2, who.user, who.group, 0, now, now, now, 0, 0))
    rows.update_inode(connection, root.id, parent=root.id)
    connection.execute(VOLUMES.update().where(VOLUMES.c.id == number).values(root=root.id))
    return Volume(number, name, root.id)


def find_volume(connection: sa.Connection, name: str) -> Volume | None:
    """The volume of that name."""
    row = connection.execute(_VOLUME.where(VOLUMES.c.name == name)).one_or_none()
    return None if row is None else Volume(*row)


def list_volumes(connection: sa.Connection) -> list[Volume]:
    """All volumes, by name."""
    return [Volume(*row) for row in connection.execute(_VOLUME.order_by(VOLUMES.c.name))]


def remove_volume(connection: sa.Connection, name: str) -> Result[None]:
    """Remove an empty volume. ENOENT, ENOTEMPTY."""
    volume = find_volume(connection, name)
    if volume is None:
        return Refusal(errno.ENOENT)
    if not rows.is_empty(connection, volume.root):
        return Refusal(errno.ENOTEMPTY)
    connection.execute(VOLUMES.delete().where(VOLUMES.c.id == volume.id))
    rows.remove_inode(connection, volume.root)
    return None


_VOLUME = sa.select(VOLUMES.c.id, VOLUMES.c.name, VOLUMES.c.root)
