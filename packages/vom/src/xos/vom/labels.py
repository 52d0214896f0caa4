# SPDX-License-Identifier: BSD-3-Clause
"""Groups and roles in the database: alike but for their tables."""

from __future__ import annotations

import enum

import msgspec
import sqlalchemy as sa

from xos.vom.api import Group, Role
from xos.vom.store import GROUPS, ROLES, USER_GROUPS, USER_ROLES, USERS, VOS


class Removal(enum.Enum):
    """What became of the wish to remove a group or role."""

    DONE = enum.auto()
    """Or it was not there."""
    HAS_MEMBERS = enum.auto()
    HAS_PARTS = enum.auto()


class Kind(msgspec.Struct, frozen=True):
    """Groups, or roles."""

    table: sa.Table
    link: sa.Table
    column: str
    """Of *link*, for *table*'s id."""


GROUP = Kind(GROUPS, USER_GROUPS, "group_id")
ROLE = Kind(ROLES, USER_ROLES, "role_id")


def label_id(connection: sa.Connection, table: sa.Table, vo_id: int, name: str) -> int:
    """The id of a group or role, which is made if it is new."""
    found = connection.scalar(sa.select(table.c.id).where(table.c.vo_id == vo_id, table.c.name == name))
    if found is not None:
        return int(found)
    made = table.insert().values(vo_id=vo_id, name=name).returning(table.c.id)
    return int(connection.execute(made).scalar_one())


def describe(connection: sa.Connection, kind: Kind, vo_id: int, name: str, description: str) -> None:
    """Make a group or role if it is new, and keep its description."""
    label = label_id(connection, kind.table, vo_id, name)
    connection.execute(kind.table.update().where(kind.table.c.id == label).values(description=description))


def remove(connection: sa.Connection, kind: Kind, vo_id: int, name: str) -> Removal:
    """Remove a group or role, if nobody has it and (for groups) it has no parts."""
    table = kind.table
    label = connection.scalar(sa.select(table.c.id).where(table.c.vo_id == vo_id, table.c.name == name))
    if label is None:
        return Removal.DONE
    used = [sa.select(kind.link.c.user_id).where(kind.link.c[kind.column] == label)]
    if kind is GROUP:
        used.append(sa.select(USERS.c.id).where(USERS.c.group_id == label))
    if any(connection.execute(query.limit(1)).first() is not None for query in used):
        return Removal.HAS_MEMBERS
    part = sa.select(table.c.id).where(table.c.vo_id == vo_id, table.c.name.startswith(f"{name}.", autoescape=True))
    if kind is GROUP and connection.execute(part.limit(1)).first() is not None:
        return Removal.HAS_PARTS
    connection.execute(table.delete().where(table.c.id == label))
    return Removal.DONE


def list_groups(connection: sa.Connection, vo: str) -> list[Group]:
    """The groups of *vo* by name, each with how many have it as primary or further group."""
    primary = sa.select(sa.func.count()).where(USERS.c.group_id == GROUPS.c.id).scalar_subquery()
    further = sa.select(sa.func.count()).where(USER_GROUPS.c.group_id == GROUPS.c.id).scalar_subquery()
    query = (
        sa.select(GROUPS.c.name, primary + further, GROUPS.c.description)
        .join_from(GROUPS, VOS)
        .where(VOS.c.name == vo)
        .order_by(GROUPS.c.name)
    )
    return [Group(vo, *row) for row in connection.execute(query)]


def list_roles(connection: sa.Connection, vo: str) -> list[Role]:
    """The roles of *vo* by name, each with how many have it."""
    members = sa.select(sa.func.count()).where(USER_ROLES.c.role_id == ROLES.c.id).scalar_subquery()
    query = (
        sa.select(ROLES.c.name, members, ROLES.c.description)
        .join_from(ROLES, VOS)
        .where(VOS.c.name == vo)
        .order_by(ROLES.c.name)
    )
    return [Role(vo, *row) for row in connection.execute(query)]
