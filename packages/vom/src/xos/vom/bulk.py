# SPDX-License-Identifier: BSD-3-Clause
"""Many members at once, in one transaction and a handful of statements."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.vom import accounts, members, vos
from xos.vom.api import BadLine, User
from xos.vom.importing import Row
from xos.vom.labels import label_id
from xos.vom.store import ACCOUNTS, GROUPS, IDENTITIES, INVITATIONS, ROLES, USER_GROUPS, USER_ROLES, USERS

EVERY = 1 << 30


class Code(msgspec.Struct, frozen=True):
    """An invitation as it is kept."""

    digest: str
    expires: int


def compare(connection: sa.Connection, vo: str, rows: list[Row]) -> tuple[list[Row], list[BadLine]]:
    """Those of *rows* that are new, and what is wrong with others; a member who is there just so is neither."""
    there = {user.name: user for user in members.list_members(connection, vo, "", EVERY)}
    new: list[Row] = []
    problems: list[BadLine] = []
    for row in rows:
        known = there.get(row.user.name)
        if known is None:
            new.append(row)
        elif differing := _differing(row.user, known):
            problems.append(BadLine(row.line, f"{row.user.name} is a member already, with another {differing}"))
        for identity in row.identities if known is None else ():
            if accounts.find_account(connection, identity) is not None:
                detail = f"{identity.backend} identity {identity.subject} belongs to somebody else"
                problems.append(BadLine(row.line, detail))
    problems += _taken_twice(new)
    return new, problems


def _taken_twice(rows: list[Row]) -> list[BadLine]:
    first: dict[tuple[str, str], int] = {}
    problems = []
    for row in rows:
        for identity in row.identities:
            key = (identity.backend, identity.subject)
            if first.setdefault(key, row.line) != row.line:
                problems.append(BadLine(row.line, f"its identity is that of line {first[key]} too"))
    return problems


def _differing(wanted: User, there: User) -> str:
    for field in ("group", "full_name", "email", "expires"):
        if getattr(wanted, field) != getattr(there, field):
            return field.replace("_", " ")
    for field in ("groups", "roles", "capabilities"):
        if set(getattr(wanted, field)) != set(getattr(there, field)):
            return f"set of {field}"
    return ""


def insert(connection: sa.Connection, vo: str, rows: list[Row], codes: dict[str, Code]) -> None:
    """Add members who are new; *codes* are the invitations by name."""
    number = vos.vo_id(connection, vo)
    if number is None or not rows:
        return
    groups = {name: label_id(connection, GROUPS, number, name) for name in _named(rows, "group", "groups")}
    roles = {name: label_id(connection, ROLES, number, name) for name in _named(rows, "", "roles")}
    persons = _insert(connection, ACCOUNTS, [{"password": row.password, "created": row.user.created} for row in rows])
    users = _insert(
        connection,
        USERS,
        [_user(row.user, number, person, groups) for row, person in zip(rows, persons, strict=True)],
    )
    _link(connection, rows, persons, users, groups, roles, codes)


def _named(rows: list[Row], one: str, many: str) -> list[str]:
    names = {name for row in rows for name in getattr(row.user, many)}
    return sorted(names | ({getattr(row.user, one) for row in rows} if one else set()))


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> list[int]:
    made = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return list(connection.scalars(made, rows))


def _user(user: User, vo: int, account: int, groups: dict[str, int]) -> dict[str, object]:
    return {
        "vo_id": vo,
        "name": user.name,
        "account_id": account,
        "group_id": groups[user.group],
        "state": user.state.value,
        "created": user.created,
        "version": 1,
        "capabilities": ",".join(user.capabilities),
        "attributes": "[]",
        "expires": user.expires,
        "full_name": user.full_name,
        "email": user.email,
    }


def _link(
    connection: sa.Connection,
    rows: list[Row],
    persons: list[int],
    users: list[int],
    groups: dict[str, int],
    roles: dict[str, int],
    codes: dict[str, Code],
) -> None:
    every = list(zip(rows, persons, users, strict=True))
    further = [{"user_id": user, "group_id": groups[name]} for row, _, user in every for name in row.user.groups]
    having = [{"user_id": user, "role_id": roles[name]} for row, _, user in every for name in row.user.roles]
    linked = [
        {"backend": one.backend, "subject": one.subject, "account_id": person}
        for row, person, _ in every
        for one in row.identities
    ]
    invited = [
        {"user_id": user, "digest": codes[row.user.name].digest, "expires": codes[row.user.name].expires}
        for row, _, user in every
        if row.user.name in codes
    ]
    for table, some in (
        (USER_GROUPS, further),
        (USER_ROLES, having),
        (IDENTITIES, linked),
        (INVITATIONS, invited),
    ):
        if some:
            connection.execute(table.insert(), some)
