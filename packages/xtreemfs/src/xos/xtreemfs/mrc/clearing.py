# SPDX-License-Identifier: BSD-3-Clause
"""Emptying a whole volume: a function of one connection."""

from __future__ import annotations

import sqlalchemy as sa

from xos.xtreemfs.mrc import contents
from xos.xtreemfs.mrc.schema import ENTRIES, HANDLES, INODES, LOCKS, XATTRS
from xos.xtreemfs.mrc.volumes import Volume

_I = INODES.c


PIECE = 2000


def clear(connection: sa.Connection, volume: Volume) -> bool:
    """Forget some of what is in a volume, and have the bytes of its files deleted; whether there may be more.

    One piece at a time, so that others are answered meanwhile.
    """
    some = sa.select(_I.id, _I.layout).where(_I.volume_id == volume.id, _I.id != volume.root).limit(PIECE)
    pieces = connection.execute(some).all()
    for number, encoded in pieces:
        layout = None if encoded is None else contents.decode_layout(encoded)
        # Of a snapshot's file OSDs have a share of its own only once its replicas have changed.
        if layout is not None and (layout.version or not volume.origin):
            contents.delete_at(connection, layout, contents.file_id(volume, number))
    numbers = [number for number, _ in pieces]
    for column in (ENTRIES.c.parent, ENTRIES.c.inode, XATTRS.c.inode, HANDLES.c.inode, LOCKS.c.inode, _I.id):
        connection.execute(sa.delete(column.table).where(column.in_(numbers)))
    return bool(numbers)
