# SPDX-License-Identifier: BSD-3-Clause
"""The end of a VO: what goes into its archive, and how every entry goes.

What an archive is, `xos.vom.archives` says. Passwords and tokens are not in it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa

from xos.vom import accounts, labels, ledger, members, requests, resources, vos
from xos.vom.api import VO, Archive, User
from xos.vom.archives import Sealed
from xos.vom.managers import Manager
from xos.vom.records import quotas
from xos.vom.records.store import POLICIES, QUOTAS
from xos.vom.records.store import REQUESTS as POLICY_REQUESTS
from xos.vom.store import (
    ARCHIVES,
    CERTIFICATES,
    GROUPS,
    JOIN_TOKENS,
    MACHINE_VOS,
    REQUESTS,
    REVOCATIONS,
    ROLES,
    USERS,
    VOS,
)
from xos.vom.vops import documents

FORMAT = "xos-vo-archive-1"
EVERY = 1 << 30


def dissolve(connection: sa.Connection, vo: VO, manager: Manager, now: float, by: str) -> Archive:
    """Archive *vo* and take out every entry: all in the one transaction of *connection*."""
    number = vos.vo_id(connection, vo.name)
    if number is None:
        raise LookupError(vo.name)
    content = _seal(_payload(connection, vo, number, now, by), manager)
    row = {"vo": vo.name, "dissolved": now, "dissolved_by": by, "content": content}
    ledger.revoke_vo(connection, number, vo.name, int(now))
    _forget(connection, number, vo.name, now)
    connection.execute(ARCHIVES.insert().values(**row))
    return Archive(vo.name, now, by, hashlib.sha256(content).hexdigest(), len(content))


def among(connection: sa.Connection, names: tuple[str, ...]) -> list[str]:
    """Those of *names* of which there is an archive."""
    return list(connection.scalars(sa.select(ARCHIVES.c.vo).where(ARCHIVES.c.vo.in_(names)).order_by(ARCHIVES.c.vo)))


def list_archives(connection: sa.Connection) -> list[Archive]:
    """All, by name."""
    rows = connection.execute(sa.select(ARCHIVES).order_by(ARCHIVES.c.vo))
    return [
        Archive(row.vo, row.dissolved, row.dissolved_by, hashlib.sha256(row.content).hexdigest(), len(row.content))
        for row in rows
    ]


def find(connection: sa.Connection, vo: str) -> bytes | None:
    """The archive of *vo*."""
    return connection.scalar(sa.select(ARCHIVES.c.content).where(ARCHIVES.c.vo == vo))


def _seal(payload: dict[str, Any], manager: Manager) -> bytes:
    text = msgspec.json.encode(payload)
    signature = base64.b64encode(manager.sign(text)).decode()
    return msgspec.json.encode(Sealed(text.decode(), signature, manager.certificate_pem))


def _payload(connection: sa.Connection, vo: VO, number: int, now: float, by: str) -> dict[str, Any]:
    users = members.list_members(connection, vo.name, "", EVERY)
    identities = {
        user.name: [f"{one.backend}:{one.subject}" for one in accounts.list_identities(connection, account)]
        for user, account in zip(users, _accounts(connection, number), strict=True)
    }
    machines = sa.select(MACHINE_VOS.c.node).where(MACHINE_VOS.c.vo_id == number).order_by(MACHINE_VOS.c.node)
    return {
        "format": FORMAT,
        "dissolved": now,
        "by": by,
        "vo": {**_fields(vo), "manager": hashlib.sha256(vo.manager).hexdigest()},
        "groups": [_fields(group) for group in labels.list_groups(connection, vo.name)],
        "roles": [_fields(role) for role in labels.list_roles(connection, vo.name)],
        "users": [_person(user, identities[user.name]) for user in users],
        "requests": [_fields(one) for one in requests.list_(connection, vo.name, None, "", EVERY)],
        "resources": list(connection.scalars(machines)),
        "certificates": _certificates(connection, number),
        "policies": [_fields(one) for one in reversed(documents.history(connection, vo.name, "", 0.0, EVERY))],
        "quotas": [_fields(one) for one in quotas.read_all(connection).values() if one.vo == vo.name],
    }


def _person(user: User, identities: list[str]) -> dict[str, Any]:
    return {**_fields(user), "attributes": dict(user.attributes), "identities": identities}


def _accounts(connection: sa.Connection, number: int) -> list[int]:
    return list(connection.scalars(sa.select(USERS.c.account_id).where(USERS.c.vo_id == number).order_by(USERS.c.name)))


def _certificates(connection: sa.Connection, number: int) -> list[dict[str, Any]]:
    """Those of which something is known still."""
    query = (
        sa.select(USERS.c.name, CERTIFICATES.c.serial, CERTIFICATES.c.issued, CERTIFICATES.c.not_after)
        .add_columns(REVOCATIONS.c.revoked)
        .select_from(
            CERTIFICATES.join(USERS, CERTIFICATES.c.user_id == USERS.c.id).join(
                REVOCATIONS, REVOCATIONS.c.serial == CERTIFICATES.c.serial, isouter=True
            )
        )
        .where(USERS.c.vo_id == number)
        .order_by(CERTIFICATES.c.issued, CERTIFICATES.c.serial)
    )
    return [
        {"user": row.name, "serial": f"{row.serial:x}", "issued": row.issued, "not_after": row.not_after}
        | ({} if row.revoked is None else {"revoked": row.revoked})
        for row in connection.execute(query)
    ]


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(value)


def _forget(connection: sa.Connection, number: int, vo: str, now: float) -> None:
    connection.execute(REQUESTS.delete().where(REQUESTS.c.vo_id == number))
    members.delete_members(connection, list(connection.scalars(sa.select(USERS.c.id).where(USERS.c.vo_id == number))))
    for table in (GROUPS, ROLES):
        connection.execute(table.delete().where(table.c.vo_id == number))
    for node in list(connection.scalars(sa.select(MACHINE_VOS.c.node).where(MACHINE_VOS.c.vo_id == number))):
        resources.remove_from_vo(connection, node, number, now)
    # Usage records and acts stay: they are links of chains.
    for table in (POLICIES, QUOTAS, POLICY_REQUESTS):
        connection.execute(table.delete().where(table.c.vo == vo))
    connection.execute(JOIN_TOKENS.delete().where(JOIN_TOKENS.c.vo == vo))
    connection.execute(VOS.delete().where(VOS.c.id == number))
