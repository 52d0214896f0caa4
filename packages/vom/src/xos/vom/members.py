# SPDX-License-Identifier: BSD-3-Clause
"""VOs and their members in the database: functions of one connection, for `Store.read` and `Store.write`.

What is refused is returned (None, a value), not raised: a raise would make the store repeat its neighbours' writes.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.vom.api import VO, Group, User, UserState
from xos.vom.store import GROUPS, ROLES, USER_GROUPS, USER_ROLES, USERS, VOS


class Member(msgspec.Struct, frozen=True):
    """A user as XVOMS and CDA need them."""

    id: int
    user: User
    password: str
    """Encoded argon2id hash."""
    version: int


def insert_vo(connection: sa.Connection, name: str, description: str, now: float) -> None:
    """Add a VO unless there is one of that name."""
    if find_vo(connection, name) is None:
        connection.execute(VOS.insert().values(name=name, description=description, created=now))


def find_vo(connection: sa.Connection, name: str) -> VO | None:
    """The VO of that name."""
    found = list_vos(connection, (name,))
    return found[0] if found else None


def list_vos(connection: sa.Connection, names: tuple[str, ...] | None) -> list[VO]:
    """The VOs of those names (None: all), by name."""
    query = _VOS if names is None else _VOS.where(VOS.c.name.in_(names))
    return [VO(*row) for row in connection.execute(query)]


_VOS = (
    sa.select(VOS.c.name, VOS.c.description, VOS.c.created, sa.func.count(USERS.c.id))
    .join_from(VOS, USERS, isouter=True)
    .group_by(VOS.c.id)
    .order_by(VOS.c.name)
)


def find_member(connection: sa.Connection, vo: str, name: str) -> Member | None:
    """The member *name* of *vo* with all groups and roles."""
    row = connection.execute(_MEMBER, {"vo": vo, "name": name}).one_or_none()
    if row is None:
        return None
    groups = connection.scalars(_GROUPS_OF, {"user_id": row.id})
    roles = connection.scalars(_ROLES_OF, {"user_id": row.id})
    state = UserState(row.state)
    user = User(vo, name, row.group_name, tuple(groups), tuple(roles), state, row.created)
    return Member(row.id, user, row.password, row.version)


_USER = sa.select(
    USERS.c.id,
    USERS.c.name,
    USERS.c.password,
    USERS.c.state,
    USERS.c.created,
    USERS.c.version,
    GROUPS.c.name.label("group_name"),
).select_from(USERS.join(VOS, USERS.c.vo_id == VOS.c.id).join(GROUPS, USERS.c.group_id == GROUPS.c.id))
_MEMBER = _USER.where(VOS.c.name == sa.bindparam("vo"), USERS.c.name == sa.bindparam("name"))
_GROUPS_OF = (
    sa.select(GROUPS.c.name)
    .join_from(USER_GROUPS, GROUPS)
    .where(USER_GROUPS.c.user_id == sa.bindparam("user_id"))
    .order_by(GROUPS.c.name)
)
_ROLES_OF = (
    sa.select(ROLES.c.name)
    .join_from(USER_ROLES, ROLES)
    .where(USER_ROLES.c.user_id == sa.bindparam("user_id"))
    .order_by(ROLES.c.name)
)


def list_members(connection: sa.Connection, vo: str, after: str, limit: int) -> list[User]:
    """Members of *vo* by name, those after *after*: three queries, however many they are."""
    page = _USER.where(VOS.c.name == vo, USERS.c.name > after).order_by(USERS.c.name).limit(limit)
    rows = connection.execute(page).all()
    ids = page.with_only_columns(USERS.c.id).subquery()
    groups = _by_user(connection, USER_GROUPS, GROUPS, ids)
    roles = _by_user(connection, USER_ROLES, ROLES, ids)
    return [
        User(
            vo,
            row.name,
            row.group_name,
            tuple(groups.get(row.id, ())),
            tuple(roles.get(row.id, ())),
            UserState(row.state),
            row.created,
        )
        for row in rows
    ]


def _by_user(connection: sa.Connection, link: sa.Table, named: sa.Table, ids: sa.Subquery) -> dict[int, list[str]]:
    query = (
        sa.select(link.c.user_id, named.c.name)
        .join_from(link, named)
        .where(link.c.user_id.in_(sa.select(ids.c.id)))
        .order_by(named.c.name)
    )
    found: dict[int, list[str]] = {}
    for user_id, name in connection.execute(query):
        found.setdefault(user_id, []).append(name)
    return found


def list_groups(connection: sa.Connection, vo: str) -> list[Group]:
    """The groups of *vo* by name, each with how many have it as primary or further group."""
    primary = sa.select(sa.func.count()).where(USERS.c.group_id == GROUPS.c.id).scalar_subquery()
    further = sa.select(sa.func.count()).where(USER_GROUPS.c.group_id == GROUPS.c.id).scalar_subquery()
    query = (
        sa.select(GROUPS.c.name, primary + further)
        .join_from(GROUPS, VOS)
        .where(VOS.c.name == vo)
        .order_by(GROUPS.c.name)
    )
    return [Group(vo, name, members) for name, members in connection.execute(query)]


def insert_member(connection: sa.Connection, user: User, password: str) -> bool:
    """Add *user* with the encoded hash *password*, and the groups and roles that are new.

    False: there is no such VO. A user of that name that is there already stays as they are.
    """
    vo_id = connection.scalar(_VO_ID, {"vo": user.vo})
    if vo_id is None:
        return False
    if find_member(connection, user.vo, user.name) is not None:
        return True
    row = {
        "vo_id": vo_id,
        "name": user.name,
        "password": password,
        "group_id": _label_id(connection, GROUPS, vo_id, user.group),
        "state": user.state.value,
        "created": user.created,
        "version": 1,
    }
    user_id = connection.execute(USERS.insert().returning(USERS.c.id), row).scalar_one()
    for link, column, table, names in (
        (USER_GROUPS, "group_id", GROUPS, user.groups),
        (USER_ROLES, "role_id", ROLES, user.roles),
    ):
        for name in names:
            label = _label_id(connection, table, vo_id, name)
            connection.execute(link.insert().values({"user_id": user_id, column: label}))
    return True


_VO_ID = sa.select(VOS.c.id).where(VOS.c.name == sa.bindparam("vo"))


def _label_id(connection: sa.Connection, table: sa.Table, vo_id: int, name: str) -> int:
    """The id of a group or role, which is made if it is new."""
    found = connection.scalar(sa.select(table.c.id).where(table.c.vo_id == vo_id, table.c.name == name))
    if found is not None:
        return int(found)
    made = table.insert().values(vo_id=vo_id, name=name).returning(table.c.id)
    return int(connection.execute(made).scalar_one())


def update_state(connection: sa.Connection, user_id: int, state: UserState) -> None:
    """Suspend a user or let them act; a certificate being issued meanwhile notices by the version."""
    change = USERS.update().where(USERS.c.id == user_id, USERS.c.state != state.value)
    connection.execute(change.values(state=state.value, version=USERS.c.version + 1))


def update_password(connection: sa.Connection, user_id: int, password: str) -> None:
    """Keep another encoded hash."""
    change = USERS.update().where(USERS.c.id == user_id)
    connection.execute(change.values(password=password, version=USERS.c.version + 1))
