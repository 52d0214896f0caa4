# SPDX-License-Identifier: BSD-3-Clause
"""Volumes: each a tree of its own, from a root directory down."""

from __future__ import annotations

import errno
import stat

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.mrc import rows, usage
from xos.xtreemfs.mrc.schema import QUOTAS, USAGE, VOLUMES
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who


class Volume(msgspec.Struct, array_like=True, frozen=True):
    """A volume."""

    id: int
    name: str
    root: int
    """The inode of its root directory."""
    uuid: str = ""
    owner: str = ""
    policy: bytes = b""
    """Msgpack of a `Policy`."""
    quota: int = 0
    number: int = 0
    """See `xos.xtreemfs.mrc.snapshots`."""
    origin: str = ""
    """Of a snapshot: the uuid of the volume."""
    made: int = 0
    path: str = ""


def make_volume(
    connection: sa.Connection,
    who: Who,
    name: str,
    mode: int,
    now: int,
    *,
    uuid: str = "",
    policy: bytes = b"",
    quota: int = 0,
) -> Result[Volume]:
    """A new volume, whose root belongs to *who*. EEXIST."""
    if find_volume(connection, name) is not None:
        return Refusal(errno.EEXIST)
    values = {"name": name, "root": 0, "uuid": uuid, "owner": who.user, "policy": policy, "quota": quota}
    number = connection.execute(VOLUMES.insert().values(values).returning(VOLUMES.c.id)).scalar_one()
    directory = stat.S_IFDIR | mode & 0o7777
    root = rows.add_inode(connection, number, Inode(0, directory, 2, who.user, who.group, 0, now, now, now, 0, 0))
    usage.charge(connection, number, who.user, who.group, 0, 1)
    rows.update_inode(connection, root.id, parent=root.id)
    connection.execute(VOLUMES.update().where(VOLUMES.c.id == number).values(root=root.id))
    return Volume(number, name, root.id, uuid, who.user, policy, quota)


def find_volume(connection: sa.Connection, name: str) -> Volume | None:
    """The volume of that name."""
    row = connection.execute(_VOLUME.where(VOLUMES.c.name == name)).one_or_none()
    return None if row is None else Volume(*row)


def volume(connection: sa.Connection, number: int) -> Volume:
    """The volume of that number, which is there."""
    return Volume(*_BY_ID.run(connection, {"id": number}).fetchone())


def list_volumes(connection: sa.Connection) -> list[Volume]:
    """All volumes, by name."""
    return [Volume(*row) for row in connection.execute(_VOLUME.order_by(VOLUMES.c.name))]


def change_volume(connection: sa.Connection, name: str, policy: bytes, quota: int) -> Result[Volume]:
    """Another policy and quota. ENOENT."""
    there = VOLUMES.c.name == name
    if not connection.execute(VOLUMES.update().where(there).values(policy=policy, quota=quota)).rowcount:
        return Refusal(errno.ENOENT)
    return find_volume(connection, name) or Refusal(errno.ENOENT)


def remove_volume(connection: sa.Connection, name: str) -> Result[None]:
    """Remove an empty volume. ENOENT, ENOTEMPTY."""
    found = find_volume(connection, name)
    if found is None:
        return Refusal(errno.ENOENT)
    if not rows.is_empty(connection, found.root):
        return Refusal(errno.ENOTEMPTY)
    connection.execute(VOLUMES.delete().where(VOLUMES.c.id == found.id))
    connection.execute(USAGE.delete().where(USAGE.c.volume_id == found.id))
    connection.execute(QUOTAS.delete().where(QUOTAS.c.volume_id == found.id))
    rows.remove_inode(connection, found.root)
    return None


_C = VOLUMES.c
_VOLUME = sa.select(
    _C.id, _C.name, _C.root, _C.uuid, _C.owner, _C.policy, _C.quota, _C.number, _C.origin, _C.made, _C.path
)
_BY_ID = Statement(_VOLUME.where(_C.id == sa.bindparam("id")))
