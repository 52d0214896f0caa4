# SPDX-License-Identifier: BSD-3-Clause
"""Persons in the database: one, however many VOs they are in, with one password and their identities elsewhere."""

from __future__ import annotations

import sqlalchemy as sa

from xos.vom.api import LinkedIdentity
from xos.vom.store import ACCOUNTS, IDENTITIES, INVITATIONS, USERS, VOS


def insert_account(connection: sa.Connection, password: str, now: float) -> int:
    """A new person with that encoded hash (empty: none); their number."""
    made = ACCOUNTS.insert().values(password=password, created=now).returning(ACCOUNTS.c.id)
    return int(connection.execute(made).scalar_one())


def update_password(connection: sa.Connection, account: int, password: str) -> None:
    """Keep another encoded hash; certificates being issued meanwhile notice by the version of the user."""
    connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.id == account).values(password=password))
    connection.execute(USERS.update().where(USERS.c.account_id == account).values(version=USERS.c.version + 1))


def is_in_one_vo(connection: sa.Connection, account: int) -> bool:
    """Whether the person is in one VO only: else no single VO's administrator may decide how they log in."""
    found = connection.scalar(sa.select(sa.func.count()).where(USERS.c.account_id == account))
    return found == 1


def link(connection: sa.Connection, account: int, identity: LinkedIdentity) -> bool:
    """Link an identity to a person; False: it is somebody else's."""
    found = find_account(connection, identity)
    if found is None:
        row = {"backend": identity.backend, "subject": identity.subject, "account_id": account}
        connection.execute(IDENTITIES.insert().values(**row))
    return found in (None, account)


def unlink(connection: sa.Connection, account: int, identity: LinkedIdentity) -> None:
    """End that."""
    connection.execute(
        IDENTITIES.delete().where(
            IDENTITIES.c.account_id == account,
            IDENTITIES.c.backend == identity.backend,
            IDENTITIES.c.subject == identity.subject,
        )
    )


def find_account(connection: sa.Connection, identity: LinkedIdentity) -> int | None:
    """Whose that identity is."""
    query = sa.select(IDENTITIES.c.account_id).where(
        IDENTITIES.c.backend == identity.backend, IDENTITIES.c.subject == identity.subject
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def list_identities(connection: sa.Connection, account: int) -> list[LinkedIdentity]:
    """A person's identities."""
    query = (
        sa.select(IDENTITIES.c.backend, IDENTITIES.c.subject)
        .where(IDENTITIES.c.account_id == account)
        .order_by(IDENTITIES.c.backend, IDENTITIES.c.subject)
    )
    return [LinkedIdentity(*row) for row in connection.execute(query)]


def name_in(connection: sa.Connection, vo: str, account: int) -> str | None:
    """What the person is called in *vo*."""
    query = (
        sa.select(USERS.c.name)
        .join_from(USERS, VOS, USERS.c.vo_id == VOS.c.id)
        .where(VOS.c.name == vo, USERS.c.account_id == account)
    )
    return connection.scalars(query).first()


# --- invitations -----------------------------------------------------------------------------------------------------


def invite(connection: sa.Connection, user_id: int, digest: str, expires: int) -> None:
    """Keep the one invitation of a user."""
    connection.execute(INVITATIONS.delete().where(INVITATIONS.c.user_id == user_id))
    connection.execute(INVITATIONS.insert().values(user_id=user_id, digest=digest, expires=expires))


def is_invited(connection: sa.Connection, user_id: int, digest: str, now: float) -> bool:
    """Whether that is the user's invitation and holds still."""
    query = sa.select(INVITATIONS.c.user_id).where(
        INVITATIONS.c.user_id == user_id, INVITATIONS.c.digest == digest, INVITATIONS.c.expires >= now
    )
    return connection.scalar(query) is not None


def uninvite(connection: sa.Connection, user_id: int) -> None:
    """The invitation is used, or void."""
    connection.execute(INVITATIONS.delete().where(INVITATIONS.c.user_id == user_id))
