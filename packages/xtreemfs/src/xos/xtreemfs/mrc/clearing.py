# SPDX-License-Identifier: BSD-3-Clause
"""Emptying a whole volume at once: a function of one connection."""

from __future__ import annotations

import sqlalchemy as sa

from xos.xtreemfs.mrc import contents
from xos.xtreemfs.mrc.schema import ENTRIES, HANDLES, INODES, LOCKS, XATTRS
from xos.xtreemfs.mrc.volumes import Volume

_I = INODES.c


def clear(connection: sa.Connection, volume: Volume) -> None:
    """Forget all that is in a volume, and have the bytes of its files deleted."""
    placed = sa.select(_I.id, _I.layout).where(_I.volume_id == volume.id, _I.layout.is_not(None))
    for number, layout in connection.execute(placed).all():
        contents.delete_at(connection, contents.decode_layout(layout), contents.file_id(volume, number))
    inside = sa.select(_I.id).where(_I.volume_id == volume.id)
    for table, column in (
        (ENTRIES, ENTRIES.c.parent),
        (XATTRS, XATTRS.c.inode),
        (HANDLES, HANDLES.c.inode),
        (LOCKS, LOCKS.c.inode),
    ):
        connection.execute(table.delete().where(column.in_(inside)))
    connection.execute(INODES.delete().where(_I.volume_id == volume.id, _I.id != volume.root))
