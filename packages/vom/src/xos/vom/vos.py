# SPDX-License-Identifier: BSD-3-Clause
"""VOs in the database: functions of one connection, for `Store.read` and `Store.write`."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.vom.api import VO
from xos.vom.store import ARCHIVES, MACHINE_VOS, REQUESTS, USERS, VOS

PENDING = "pending"


class NewVO(msgspec.Struct, frozen=True):
    """A VO that is to be made."""

    name: str
    description: str
    created: float
    creator: str
    manager: bytes
    """Certificate, DER."""
    manager_key: bytes
    """PEM, encrypted."""


def insert_vo(connection: sa.Connection, vo: NewVO) -> None:
    """Add a VO; there is none of that name."""
    connection.execute(VOS.insert().values(**msgspec.structs.asdict(vo)))


def find_vo(connection: sa.Connection, name: str) -> VO | None:
    """The VO of that name."""
    found = list_vos(connection, (name,))
    return found[0] if found else None


def list_vos(connection: sa.Connection, names: tuple[str, ...] | None) -> list[VO]:
    """The VOs of those names (None: all), by name."""
    query = _VOS if names is None else _VOS.where(VOS.c.name.in_(names))
    return [_vo(row) for row in connection.execute(query.order_by(VOS.c.name)).mappings()]


_VOS = sa.select(
    VOS,
    sa.select(sa.func.count()).where(USERS.c.vo_id == VOS.c.id).scalar_subquery().label("users"),
    sa.select(sa.func.count())
    .where(REQUESTS.c.vo_id == VOS.c.id, REQUESTS.c.state == PENDING)
    .scalar_subquery()
    .label("requests"),
    sa.select(sa.func.count()).where(MACHINE_VOS.c.vo_id == VOS.c.id).scalar_subquery().label("resources"),
)


def _vo(row: sa.RowMapping) -> VO:
    return VO(
        name=row["name"],
        description=row["description"],
        created=row["created"],
        users=row["users"],
        version=row["version"],
        creator=row["creator"],
        registration=bool(row["registration"]),
        attributes=split(row["attributes"]),
        capabilities=split(row["capabilities"]),
        requests=row["requests"],
        resources=row["resources"],
        manager=row["manager"] or b"",
    )


def vo_id(connection: sa.Connection, name: str) -> int | None:
    """The number of the VO of that name."""
    found = connection.scalar(_VO_ID, {"vo": name})
    return None if found is None else int(found)


_VO_ID = sa.select(VOS.c.id).where(VOS.c.name == sa.bindparam("vo"))


def manager_key(connection: sa.Connection, name: str) -> bytes | None:
    """The VO manager's key (PEM, encrypted); None for VOs that were made before VOs had one."""
    return connection.scalar(sa.select(VOS.c.manager_key).where(VOS.c.name == name))


def keep_manager(connection: sa.Connection, name: str, certificate: bytes, key: bytes) -> None:
    """Give a VO that has none its manager's key pair."""
    change = VOS.update().where(VOS.c.name == name, VOS.c.manager_key.is_(None))
    connection.execute(change.values(manager=certificate, manager_key=key))


def update_vo(connection: sa.Connection, vo: VO) -> None:
    """Keep what may change about a VO; its version grows."""
    change = VOS.update().where(VOS.c.name == vo.name)
    connection.execute(
        change.values(
            description=vo.description,
            registration=vo.registration,
            attributes=",".join(vo.attributes),
            capabilities=",".join(vo.capabilities),
            version=VOS.c.version + 1,
        )
    )


def was_dissolved(connection: sa.Connection, name: str) -> bool:
    """Whether a VO of that name was there once: no other gets its name, since users' names come from it."""
    return connection.scalar(sa.select(ARCHIVES.c.vo).where(ARCHIVES.c.vo == name)) is not None


def split(joined: str) -> tuple[str, ...]:
    """Names from a comma separated column."""
    return tuple(joined.split(",")) if joined else ()
