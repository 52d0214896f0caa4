# SPDX-License-Identifier: BSD-3-Clause
"""What the authority has signed and taken back: certificates, revocations, machines, join tokens.

Functions of one connection, for `Store.read` and `Store.write`. What is refused is returned, not raised.
"""

from __future__ import annotations

import enum

import msgspec
import sqlalchemy as sa

from xos.vom.api import UserState
from xos.vom.store import CERTIFICATES, CRL_NUMBER, INVITATIONS, JOIN_TOKENS, REVOCATIONS, USERS, VOS

KEPT_AFTER_EXPIRY = 86_400
"""Seconds that an expired certificate, its revocation, or a join token is remembered."""


class Outcome(enum.Enum):
    """What became of a wish to record a certificate."""

    RECORDED = enum.auto()
    CHANGED = enum.auto()
    """The holder is no longer as they were read: look again."""
    REVOKED = enum.auto()
    """The certificate that was shown for it has been taken back."""


class Signed(msgspec.Struct, frozen=True):
    """One certificate for the ledger."""

    serial: int
    issued: int
    not_after: int
    vos: tuple[str, ...] = ()
    """Further VOs that a user's certificate names."""


class Token(msgspec.Struct, frozen=True):
    """A join token as it is kept: by its hash."""

    digest: str
    node: str
    addresses: tuple[str, ...]
    made_by: str
    created: float
    expires: int
    used: float | None = None
    csr: str | None = None
    certificate: bytes | None = None
    vo: str = ""
    """The machine becomes a resource of that VO; empty: of all."""


def record_user(connection: sa.Connection, user_id: int, version: int, signed: Signed, shown: int) -> Outcome:
    """Record a certificate for a user who is still as at *version*.

    *shown* is the serial of the certificate that was shown for it (0: none). All in one transaction, so a suspension
    comes before (and is noticed here) or after (and revokes this certificate): none slips through.
    """
    if connection.scalar(_LOCK_USER, {"id": user_id}) != version:
        return Outcome.CHANGED
    if shown and is_revoked(connection, shown):
        return Outcome.REVOKED
    if signed.vos and not _is_in(connection, user_id, signed.vos, signed.issued):
        return Outcome.CHANGED
    _insert(connection, signed, user_id, None)
    return Outcome.RECORDED


def _is_in(connection: sa.Connection, user_id: int, vos: tuple[str, ...], now: int) -> bool:
    """Whether the person is an active member of all *vos*."""
    account = sa.select(USERS.c.account_id).where(USERS.c.id == user_id).scalar_subquery()
    found = connection.scalar(
        sa.select(sa.func.count())
        .select_from(USERS.join(VOS, USERS.c.vo_id == VOS.c.id))
        .where(
            USERS.c.account_id == account,
            VOS.c.name.in_(vos),
            USERS.c.state == UserState.ACTIVE.value,
            sa.or_(USERS.c.expires == 0, USERS.c.expires > now),
        )
    )
    return found == len(vos)


_LOCK_USER = sa.select(USERS.c.version).where(USERS.c.id == sa.bindparam("id")).with_for_update(read=True)
_INSERT = CERTIFICATES.insert()


def _insert(connection: sa.Connection, signed: Signed, user_id: int | None, node: str | None) -> None:
    row = {
        "serial": signed.serial,
        "user_id": user_id,
        "node": node,
        "issued": signed.issued,
        "not_after": signed.not_after,
        "vos": f",{','.join(signed.vos)}," if signed.vos else "",
    }
    connection.execute(_INSERT, row)


def is_revoked(connection: sa.Connection, serial: int) -> bool:
    """Whether that certificate has been taken back."""
    return connection.scalar(_REVOKED, {"serial": serial}) is not None


_REVOKED = sa.select(REVOCATIONS.c.serial).where(REVOCATIONS.c.serial == sa.bindparam("serial"))


def revoke_user(connection: sa.Connection, user_id: int, now: int) -> int:
    """Take back every live certificate of a user, those from other VOs that name this one too; how many that were."""
    row = connection.execute(
        sa.select(USERS.c.account_id, VOS.c.name).join_from(USERS, VOS).where(USERS.c.id == user_id)
    ).one()
    same = sa.select(USERS.c.id).where(USERS.c.account_id == row.account_id)
    elsewhere = sa.and_(CERTIFICATES.c.user_id.in_(same), _names(row.name))
    return _revoke(connection, sa.or_(CERTIFICATES.c.user_id == user_id, elsewhere), now)


def revoke_vo(connection: sa.Connection, vo_id: int, vo: str, now: int) -> int:
    """Take back every live certificate that names *vo*; how many that were."""
    members = sa.select(USERS.c.id).where(USERS.c.vo_id == vo_id)
    return _revoke(connection, sa.or_(CERTIFICATES.c.user_id.in_(members), _names(vo)), now)


def _names(vo: str) -> sa.ColumnElement[bool]:
    return CERTIFICATES.c.vos.contains(f",{vo},", autoescape=True)


def revoke_machine(connection: sa.Connection, node: str, now: int) -> int:
    """Take back every live certificate of a machine; how many that were."""
    return _revoke(connection, CERTIFICATES.c.node == node, now)


def _revoke(connection: sa.Connection, whose: sa.ColumnElement[bool], now: int) -> int:
    already = sa.select(REVOCATIONS.c.serial).where(REVOCATIONS.c.serial == CERTIFICATES.c.serial)
    live = sa.select(CERTIFICATES.c.serial, sa.literal(now), CERTIFICATES.c.not_after).where(
        whose, CERTIFICATES.c.not_after >= now, ~already.exists()
    )
    return connection.execute(REVOCATIONS.insert().from_select(["serial", "revoked", "not_after"], live)).rowcount


def has_crl(connection: sa.Connection) -> bool:
    """Whether a CA has ever signed anything for this database."""
    return connection.scalar(sa.select(CRL_NUMBER.c.number)) is not None


def next_crl(connection: sa.Connection, now: float) -> tuple[int, list[tuple[int, float]]]:
    """A new CRL number, and (serial, when) of all that the CRL must name, those expired of late too.

    The number is the time in milliseconds, or one more than the last: it grows even when an old database is restored.
    """
    last = connection.scalar(sa.select(CRL_NUMBER.c.number).with_for_update())
    number = max(int(now * 1000), (last or 0) + 1)
    if last is None:
        connection.execute(CRL_NUMBER.insert().values(id=1, number=number))
    else:
        connection.execute(CRL_NUMBER.update().values(number=number))
    rows = connection.execute(
        sa.select(REVOCATIONS.c.serial, REVOCATIONS.c.revoked).where(REVOCATIONS.c.not_after >= now - KEPT_AFTER_EXPIRY)
    )
    return number, [(serial, float(revoked)) for serial, revoked in rows]


def forget_expired(connection: sa.Connection, now: int) -> None:
    """Drop what nobody can use any more, so that the database does not grow with time alone."""
    before = now - KEPT_AFTER_EXPIRY
    connection.execute(CERTIFICATES.delete().where(CERTIFICATES.c.not_after < before))
    connection.execute(REVOCATIONS.delete().where(REVOCATIONS.c.not_after < before))
    connection.execute(JOIN_TOKENS.delete().where(JOIN_TOKENS.c.expires < before))
    connection.execute(INVITATIONS.delete().where(INVITATIONS.c.expires < before))


# --- machines --------------------------------------------------------------------------------------------------------


def insert_token(connection: sa.Connection, token: Token) -> None:
    """Keep a new join token."""
    connection.execute(JOIN_TOKENS.insert().values(**_row(token)))


def _row(token: Token) -> dict[str, object]:
    return {**msgspec.structs.asdict(token), "addresses": ",".join(token.addresses)}


def find_token(connection: sa.Connection, digest: str) -> Token | None:
    """The token with that hash."""
    row = connection.execute(sa.select(JOIN_TOKENS).where(JOIN_TOKENS.c.digest == digest)).mappings().one_or_none()
    return None if row is None else Token(**{**row, "addresses": _split(row["addresses"])})


def use_token(connection: sa.Connection, digest: str, csr: str, certificate: bytes, now: int) -> bool:
    """Use a join token up; False: somebody else was first, look again."""
    unused = JOIN_TOKENS.update().where(JOIN_TOKENS.c.digest == digest, JOIN_TOKENS.c.used.is_(None))
    return connection.execute(unused.values(used=float(now), csr=csr, certificate=certificate)).rowcount == 1


def record_machine(connection: sa.Connection, node: str, signed: Signed, shown: int) -> Outcome:
    """Record a machine's certificate, unless the one *shown* for it (0: none) has been taken back."""
    if shown and is_revoked(connection, shown):
        return Outcome.REVOKED
    _insert(connection, signed, None, node)
    return Outcome.RECORDED


def _split(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()
