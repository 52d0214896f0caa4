# SPDX-License-Identifier: BSD-3-Clause
"""How much of a volume is used, and by whom: one row for each owner and group, so that a change costs one statement."""

from __future__ import annotations

import sqlalchemy as sa

from xos.xtreemfs.mrc.schema import QUOTAS, USAGE, VOLUMES
from xos.xtreemfs.mrc.statements import Statement

_U, _Q = USAGE.c, QUOTAS.c
_MORE = Statement(
    USAGE.update()
    .where(_U.volume_id == sa.bindparam("volume"), _U.owner == sa.bindparam("by"), _U.owner_group == sa.bindparam("of"))
    .values(bytes=_U.bytes + sa.bindparam("more"), files=_U.files + sa.bindparam("further"))
)
_FIRST = Statement(USAGE.insert(), "volume_id", "owner", "owner_group", "bytes", "files")
_OF = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(_U.bytes), 0), sa.func.coalesce(sa.func.sum(_U.files), 0)).where(
        _U.volume_id == sa.bindparam("volume")
    )
)
_KEPT = sa.select(sa.func.coalesce(sa.func.sum(_U.bytes), 0)).where(
    _U.volume_id.in_(sa.select(VOLUMES.c.id).where(VOLUMES.c.origin == sa.bindparam("uuid")))
)
_BYTES = {
    "user": sa.select(sa.func.coalesce(sa.func.sum(_U.bytes), 0)).where(
        _U.volume_id == sa.bindparam("volume"), _U.owner == sa.bindparam("name")
    ),
    "group": sa.select(sa.func.coalesce(sa.func.sum(_U.bytes), 0)).where(
        _U.volume_id == sa.bindparam("volume"), _U.owner_group == sa.bindparam("name")
    ),
}
_LIMITS = Statement(sa.select(_Q.kind, _Q.name, _Q.bytes).where(_Q.volume_id == sa.bindparam("volume")))


def charge(connection: sa.Connection, volume: int, owner: str, group: str, size: int, files: int = 0) -> None:
    """So many bytes and files more."""
    if not size and not files:
        return
    values = {"volume": volume, "by": owner, "of": group, "more": size, "further": files}
    if not _MORE.run(connection, values).rowcount:
        row = {"volume_id": volume, "owner": owner, "owner_group": group, "bytes": size, "files": files}
        _FIRST.run(connection, row)


def used(connection: sa.Connection, volume: int) -> tuple[int, int]:
    """Bytes and files of a volume."""
    size, files = _OF.run(connection, {"volume": volume}).fetchone()
    return int(size), int(files)


def kept(connection: sa.Connection, uuid: str) -> int:
    """Bytes of all snapshots of a volume, as if they shared nothing."""
    return int(connection.execute(_KEPT, {"uuid": uuid}).scalar_one())


def used_by(connection: sa.Connection, volume: int, kind: str, name: str) -> int:
    """Bytes of a user's or group's files."""
    return int(connection.execute(_BYTES[kind], {"volume": volume, "name": name}).scalar_one())


def limits(connection: sa.Connection, volume: int) -> dict[tuple[str, str], int]:
    """Bytes that ``("user", "alice@demo")`` or ``("group", …)`` may have; an empty name: each that has none."""
    return {(row[0], row[1]): row[2] for row in _LIMITS.run(connection, {"volume": volume}).fetchall()}


def set_limit(connection: sa.Connection, volume: int, kind: str, name: str, size: int) -> None:
    """Let them have so many bytes; 0: as many as they like."""
    connection.execute(QUOTAS.delete().where(_Q.volume_id == volume, _Q.kind == kind, _Q.name == name))
    if size:
        connection.execute(QUOTAS.insert().values(volume_id=volume, kind=kind, name=name, bytes=size))


def room(connection: sa.Connection, volume: int, quota: int, owner: str, group: str) -> int:
    """Bytes by which a file of theirs may grow; -1: no limit. *quota*: what snapshots leave of the volume's."""
    rooms = [quota - used(connection, volume)[0]] if quota else []
    set_ = limits(connection, volume)
    for kind, name in (("user", owner), ("group", group)):
        limit = set_.get((kind, name), set_.get((kind, "")))
        if limit is not None:
            rooms.append(limit - used_by(connection, volume, kind, name))
    return max(0, min(rooms)) if rooms else -1
