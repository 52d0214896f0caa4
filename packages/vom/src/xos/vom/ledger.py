# SPDX-License-Identifier: BSD-3-Clause
"""What the authority has signed and taken back: certificates, revocations, machines, join tokens.

Functions of one connection, for `Store.read` and `Store.write`. What is refused is returned, not raised.
"""

from __future__ import annotations

import enum

import msgspec
import sqlalchemy as sa

from xos.vom.store import CERTIFICATES, CRL_NUMBER, JOIN_TOKENS, MACHINES, REVOCATIONS, USERS

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


class Machine(msgspec.Struct, frozen=True):
    """A machine that has joined: what its certificates say."""

    node: str
    roles: tuple[str, ...]
    addresses: tuple[str, ...]


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


def record_user(connection: sa.Connection, user_id: int, version: int, signed: Signed, shown: int) -> Outcome:
    """Record a certificate for a user who is still as at *version*.

    *shown* is the serial of the certificate that was shown for it (0: none). All in one transaction, so a suspension
    comes before (and is noticed here) or after (and revokes this certificate): none slips through.
    """
    if connection.scalar(_LOCK_USER, {"id": user_id}) != version:
        return Outcome.CHANGED
    if shown and is_revoked(connection, shown):
        return Outcome.REVOKED
    _insert(connection, signed, user_id, None)
    return Outcome.RECORDED


_LOCK_USER = sa.select(USERS.c.version).where(USERS.c.id == sa.bindparam("id")).with_for_update(read=True)
_INSERT = CERTIFICATES.insert()


def _insert(connection: sa.Connection, signed: Signed, user_id: int | None, node: str | None) -> None:
    row = {
        "serial": signed.serial,
        "user_id": user_id,
        "node": node,
        "issued": signed.issued,
        "not_after": signed.not_after,
    }
    connection.execute(_INSERT, row)


def is_revoked(connection: sa.Connection, serial: int) -> bool:
    """Whether that certificate has been taken back."""
    return connection.scalar(_REVOKED, {"serial": serial}) is not None


_REVOKED = sa.select(REVOCATIONS.c.serial).where(REVOCATIONS.c.serial == sa.bindparam("serial"))


def revoke_user(connection: sa.Connection, user_id: int, now: int) -> int:
    """Take back every live certificate of a user; how many that were."""
    return _revoke(connection, CERTIFICATES.c.user_id == user_id, now)


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


def find_machine(connection: sa.Connection, node: str) -> Machine | None:
    """The machine of that name."""
    row = connection.execute(sa.select(MACHINES).where(MACHINES.c.node == node)).one_or_none()
    return None if row is None else Machine(row.node, _split(row.roles), _split(row.addresses))


def use_token(
    connection: sa.Connection, digest: str, csr: str, certificate: bytes, machine: Machine, signed: Signed
) -> int | None:
    """Let *machine* join: use the token up, take back what the node of that name had, record the certificate.

    How many certificates were taken back; None: somebody else was first, look again.
    """
    unused = JOIN_TOKENS.update().where(JOIN_TOKENS.c.digest == digest, JOIN_TOKENS.c.used.is_(None))
    used = connection.execute(unused.values(used=float(signed.issued), csr=csr, certificate=certificate))
    if used.rowcount != 1:
        return None
    revoked = revoke_machine(connection, machine.node, signed.issued)
    keep_machine(connection, machine, signed)
    return revoked


def keep_machine(connection: sa.Connection, machine: Machine, signed: Signed) -> None:
    """Enter a machine (or what is new about it) with a certificate of its own."""
    row = {"roles": ",".join(machine.roles), "addresses": ",".join(machine.addresses)}
    changed = connection.execute(MACHINES.update().where(MACHINES.c.node == machine.node).values(**row))
    if changed.rowcount == 0:
        connection.execute(MACHINES.insert().values(node=machine.node, joined=float(signed.issued), **row))
    _insert(connection, signed, None, machine.node)


def record_machine(connection: sa.Connection, node: str, signed: Signed, shown: int) -> Outcome:
    """Record a renewed machine certificate, unless the one *shown* for it (0: none) has been taken back."""
    if shown and is_revoked(connection, shown):
        return Outcome.REVOKED
    _insert(connection, signed, None, node)
    return Outcome.RECORDED


def _split(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()
