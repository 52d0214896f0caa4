# SPDX-License-Identifier: BSD-3-Clause
"""What the DIR keeps: services and volumes. Functions of one database connection, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import ServiceRecord, Status, VolumeRecord
from xos.xtreemfs.dir import pairs
from xos.xtreemfs.dir.schema import SERVICES, VOLUMES

_pack = msgspec.msgpack.Encoder().encode
_pairs = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...]).decode
_nodes = msgspec.msgpack.Decoder(tuple[str, ...]).decode


def enter(db: sa.Connection, record: ServiceRecord, volumes: Sequence[VolumeRecord]) -> VolumeRecord | None:
    """Keep what a service says of itself; its status stays as it was set. The volume that another MRC has, if any.

    An MRC's volumes are those that it names, no others: what it names no longer is forgotten.
    """
    at = sa.and_(SERVICES.c.kind == record.kind, SERVICES.c.node == record.node)
    row = {
        "total": record.total,
        "free": record.free,
        "load": record.load,
        "attributes": _pack(record.attributes),
        "heard": record.heard,
    }
    if not db.execute(sa.update(SERVICES).where(at).values(row)).rowcount:
        fresh = {"kind": record.kind, "node": record.node, "status": Status.ONLINE.value}
        db.execute(sa.insert(SERVICES).values(row | fresh))
    pair = pairs.of(db, record.node)
    serves = record.kind == "MRC" and (pair is None or pair.primary == record.node)
    return _enter_volumes(db, record.node, volumes) if serves else None


def _enter_volumes(db: sa.Connection, node: str, volumes: Sequence[VolumeRecord]) -> VolumeRecord | None:
    known = {row.name: _volume(row, {}) for row in db.execute(sa.select(VOLUMES))}
    told = {volume.name: volume for volume in volumes}
    gone = [name for name, volume in known.items() if node in volume.mrc and name not in told]
    for name in gone:
        db.execute(sa.delete(VOLUMES).where(VOLUMES.c.name == name))
    taken = None
    for name, volume in told.items():
        before = known.get(name)
        if before is not None and before.id != volume.id and node not in before.mrc:
            taken = taken or before
        elif before is None:
            db.execute(sa.insert(VOLUMES).values(name=name, id=volume.id, mrc=_pack(volume.mrc)))
        elif before != volume:
            values = {"id": volume.id, "mrc": _pack(volume.mrc)}
            db.execute(sa.update(VOLUMES).where(VOLUMES.c.name == name).values(values))
    return taken


def set_status(db: sa.Connection, node: str, status: Status) -> ServiceRecord | None:
    """What is wanted of an OSD from now on; None: there is no such OSD."""
    at = sa.and_(SERVICES.c.kind == "OSD", SERVICES.c.node == node)
    db.execute(sa.update(SERVICES).where(at).values(status=status.value))
    return next(iter(_services(db.execute(sa.select(SERVICES).where(at)))), None)


def services(db: sa.Connection, kind: str) -> list[ServiceRecord]:
    """All of a kind (empty: all), by node."""
    query = sa.select(SERVICES).order_by(SERVICES.c.node, SERVICES.c.kind)
    return _services(db.execute(query.where(SERVICES.c.kind == kind) if kind else query))


def all_volumes(db: sa.Connection) -> list[VolumeRecord]:
    """All volumes, by name; behind the MRC that serves one, its backup."""
    backups = _backups(db)
    return [_volume(row, backups) for row in db.execute(sa.select(VOLUMES).order_by(VOLUMES.c.name))]


def volume(db: sa.Connection, name: str) -> VolumeRecord | None:
    """The volume of that name."""
    row = db.execute(sa.select(VOLUMES).where(VOLUMES.c.name == name)).one_or_none()
    return None if row is None else _volume(row, _backups(db))


def hand_over(db: sa.Connection, old: str, new: str) -> None:
    """What one MRC served, another serves now."""
    at = VOLUMES.c.mrc == _pack((old,))
    db.execute(sa.update(VOLUMES).where(at).values(mrc=_pack((new,))))


def serves(db: sa.Connection, node: str) -> bool:
    """Whether an MRC has volumes."""
    return db.execute(sa.select(VOLUMES.c.name).where(VOLUMES.c.mrc == _pack((node,))).limit(1)).first() is not None


def _backups(db: sa.Connection) -> dict[str, str]:
    return {pair.primary: pair.backup for pair in pairs.all_(db) if pair.backup}


def _volume(row: Any, backups: Mapping[str, str]) -> VolumeRecord:
    mrc = _nodes(row.mrc)
    return VolumeRecord(row.name, row.id, mrc + tuple(backups[node] for node in mrc if node in backups))


def _services(rows: Iterable[Any]) -> list[ServiceRecord]:
    return [
        ServiceRecord(
            row.kind, row.node, row.total, row.free, row.load, _pairs(row.attributes), Status(row.status), row.heard
        )
        for row in rows
    ]
