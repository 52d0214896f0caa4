# SPDX-License-Identifier: BSD-3-Clause
"""Members of VOs in the database: functions of one connection, for `Store.read` and `Store.write`.

They keep and find; who may do what is decided before (`xos.vom.policy`), names are checked before (`xos.vom.names`).
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.vom.accounts import insert_account
from xos.vom.api import User, UserState
from xos.vom.labels import label_id
from xos.vom.store import (
    ACCOUNTS,
    CERTIFICATES,
    GROUPS,
    IDENTITIES,
    INVITATIONS,
    REQUESTS,
    ROLES,
    USER_GROUPS,
    USER_ROLES,
    USERS,
    VOS,
)
from xos.vom.vos import split, vo_id


class Member(msgspec.Struct, frozen=True):
    """A user as XVOMS and CDA need them."""

    id: int
    user: User
    password: str
    """Encoded argon2id hash; empty: none."""
    version: int
    account: int
    """The person's number: the same in all their VOs."""

    def is_active(self, now: float) -> bool:
        """Whether the user may act at *now* (Unix seconds)."""
        user = self.user
        return user.state is UserState.ACTIVE and not 0 < user.expires <= now


class Filter(msgspec.Struct, frozen=True):
    """Which members; empty: all."""

    search: str = ""
    """A part of name, full name or e-mail address."""
    group: str = ""
    role: str = ""


ALL = Filter()


def find_member(connection: sa.Connection, vo: str, name: str) -> Member | None:
    """The member *name* of *vo* with all groups and roles."""
    row = connection.execute(_MEMBER, {"vo": vo, "name": name}).mappings().one_or_none()
    if row is None:
        return None
    groups = connection.scalars(_GROUPS_OF, {"user_id": row["id"]})
    roles = connection.scalars(_ROLES_OF, {"user_id": row["id"]})
    return Member(row["id"], _user(row, groups, roles), row["password"], row["version"], row["account_id"])


_USER = sa.select(
    USERS, ACCOUNTS.c.password, GROUPS.c.name.label("group_name"), VOS.c.name.label("vo_name")
).select_from(
    USERS.join(VOS, USERS.c.vo_id == VOS.c.id)
    .join(GROUPS, USERS.c.group_id == GROUPS.c.id)
    .join(ACCOUNTS, USERS.c.account_id == ACCOUNTS.c.id)
)
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
_PAIRS = msgspec.json.Decoder(tuple[tuple[str, str], ...])


def _user(
    row: sa.RowMapping, groups: sa.ScalarResult[str] | list[str], roles: sa.ScalarResult[str] | list[str]
) -> User:
    return User(
        vo=row["vo_name"],
        name=row["name"],
        group=row["group_name"],
        groups=tuple(groups),
        roles=tuple(roles),
        state=UserState(row["state"]),
        created=row["created"],
        capabilities=split(row["capabilities"]),
        attributes=_PAIRS.decode(row["attributes"]),
        expires=row["expires"],
        full_name=row["full_name"],
        email=row["email"],
        version=row["version"],
    )


def list_members(connection: sa.Connection, vo: str, after: str, limit: int, wanted: Filter = ALL) -> list[User]:
    """Members of *vo* by name, those after *after*: three queries, however many they are."""
    page = _USER.where(VOS.c.name == vo, USERS.c.name > after).order_by(USERS.c.name).limit(limit)
    if wanted.search:
        part = wanted.search.lower()
        page = page.where(sa.or_(*(sa.func.lower(USERS.c[name]).contains(part, autoescape=True) for name in _SEARCHED)))
    if wanted.group:
        further = sa.select(USER_GROUPS.c.user_id).join_from(USER_GROUPS, GROUPS).where(GROUPS.c.name == wanted.group)
        page = page.where(sa.or_(GROUPS.c.name == wanted.group, USERS.c.id.in_(further)))
    if wanted.role:
        having = sa.select(USER_ROLES.c.user_id).join_from(USER_ROLES, ROLES).where(ROLES.c.name == wanted.role)
        page = page.where(USERS.c.id.in_(having))
    return _users(connection, page)


_SEARCHED = ("name", "full_name", "email")


def memberships(connection: sa.Connection, account: int) -> list[User]:
    """A person in each of their VOs, by the VO's name."""
    return _users(connection, _USER.where(USERS.c.account_id == account).order_by(VOS.c.name))


def _users(connection: sa.Connection, page: sa.Select[tuple[object, ...]]) -> list[User]:
    rows = connection.execute(page).mappings().all()
    ids = page.with_only_columns(USERS.c.id).subquery()
    groups = _by_user(connection, USER_GROUPS, GROUPS, ids)
    roles = _by_user(connection, USER_ROLES, ROLES, ids)
    return [_user(row, groups.get(row["id"], []), roles.get(row["id"], [])) for row in rows]


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


def insert_member(connection: sa.Connection, user: User, password: str, account: int | None = None) -> bool:
    """Add *user*, and the groups and roles that are new.

    They are the person *account*, or else a new one with the encoded hash *password*. False: there is no such VO.
    A user of that name that is there already stays as they are.
    """
    vo = vo_id(connection, user.vo)
    if vo is None:
        return False
    if find_member(connection, user.vo, user.name) is not None:
        return True
    row = {
        **_row(connection, vo, user),
        "vo_id": vo,
        "name": user.name,
        "account_id": insert_account(connection, password, user.created) if account is None else account,
        "state": user.state.value,
        "created": user.created,
        "version": 1,
    }
    user_id = connection.execute(USERS.insert().returning(USERS.c.id), row).scalar_one()
    _link(connection, vo, user_id, user)
    return True


def update_member(connection: sa.Connection, member: Member, user: User) -> None:
    """Keep *user* as what *member* is now; a certificate being issued meanwhile notices by the version."""
    vo = vo_id(connection, user.vo)
    if vo is None:
        return
    change = USERS.update().where(USERS.c.id == member.id)
    connection.execute(change.values(**_row(connection, vo, user), version=USERS.c.version + 1))
    for link in (USER_GROUPS, USER_ROLES):
        connection.execute(link.delete().where(link.c.user_id == member.id))
    _link(connection, vo, member.id, user)


def _row(connection: sa.Connection, vo: int, user: User) -> dict[str, object]:
    return {
        "group_id": label_id(connection, GROUPS, vo, user.group),
        "capabilities": ",".join(user.capabilities),
        "attributes": msgspec.json.encode(user.attributes).decode(),
        "expires": user.expires,
        "full_name": user.full_name,
        "email": user.email,
    }


def _link(connection: sa.Connection, vo: int, user_id: int, user: User) -> None:
    for link, column, table, names in (
        (USER_GROUPS, "group_id", GROUPS, user.groups),
        (USER_ROLES, "role_id", ROLES, user.roles),
    ):
        for name in names:
            label = label_id(connection, table, vo, name)
            connection.execute(link.insert().values({"user_id": user_id, column: label}))


def delete_members(connection: sa.Connection, users: list[int]) -> None:
    """Forget users, and persons who are nobody any more. Their certificates must have been revoked."""
    for start in range(0, len(users), _AT_ONCE):
        some = users[start : start + _AT_ONCE]
        accounts = list(connection.scalars(sa.select(USERS.c.account_id).where(USERS.c.id.in_(some))))
        for table in (USER_GROUPS, USER_ROLES, INVITATIONS, CERTIFICATES):
            connection.execute(table.delete().where(table.c.user_id.in_(some)))
        connection.execute(USERS.delete().where(USERS.c.id.in_(some)))
        nobody = sa.and_(
            ACCOUNTS.c.id.in_(accounts), ~sa.select(USERS.c.id).where(USERS.c.account_id == ACCOUNTS.c.id).exists()
        )
        gone = sa.select(ACCOUNTS.c.id).where(nobody)
        connection.execute(IDENTITIES.delete().where(IDENTITIES.c.account_id.in_(gone)))
        connection.execute(REQUESTS.update().where(REQUESTS.c.account_id.in_(gone)).values(account_id=None))
        connection.execute(ACCOUNTS.delete().where(nobody))


_AT_ONCE = 500


def update_state(connection: sa.Connection, user_id: int, state: UserState) -> None:
    """Suspend a user or let them act; a certificate being issued meanwhile notices by the version."""
    change = USERS.update().where(USERS.c.id == user_id, USERS.c.state != state.value)
    connection.execute(change.values(state=state.value, version=USERS.c.version + 1))
