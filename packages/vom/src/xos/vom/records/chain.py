# SPDX-License-Identifier: BSD-3-Clause
"""Chains in the database: functions of one connection. What makes a chain is in `xos.vom.chains`."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from xos.vom.api import Head, Link, Log
from xos.vom.chains import START, link_digest
from xos.vom.records.store import CHAIN


def head(connection: sa.Connection, log: Log, at: float) -> Head:
    """How far the chain has come."""
    row = connection.execute(_LAST, {"log": log.value}).one_or_none()
    return Head(log, 0, START, at) if row is None else Head(log, row.number, row.digest, at)


def append(connection: sa.Connection, log: Log, payloads: Sequence[bytes], at: float) -> Head:
    """Add entries at the end; the head after them, whose number is that of the last."""
    last = head(connection, log, at)
    number, digest, rows = last.number, last.digest, []
    for payload in payloads:
        number += 1
        digest = link_digest(digest, log, number, at, payload)
        rows.append({"log": log.value, "number": number, "at": at, "payload": payload, "digest": digest})
    if rows:
        connection.execute(CHAIN.insert(), rows)
    return Head(log, number, digest, at)


def links(connection: sa.Connection, log: Log, after: int, limit: int) -> list[Link]:
    """Entries by number, those above *after*."""
    rows = connection.execute(_PAGE, {"log": log.value, "after": after, "limit": limit})
    return [Link(row.number, row.at, row.payload, row.digest) for row in rows]


def digest_at(connection: sa.Connection, log: Log, number: int) -> bytes | None:
    """The digest of one entry; None if there is none of that number. 0 is where every chain begins."""
    if number == 0:
        return START
    found: bytes | None = connection.scalar(_ONE, {"log": log.value, "number": number})
    return found


_OF_LOG = CHAIN.c.log == sa.bindparam("log")
_LAST = sa.select(CHAIN.c.number, CHAIN.c.digest).where(_OF_LOG).order_by(CHAIN.c.number.desc()).limit(1)
_ONE = sa.select(CHAIN.c.digest).where(_OF_LOG, CHAIN.c.number == sa.bindparam("number"))
_PAGE = (
    sa.select(CHAIN.c.number, CHAIN.c.at, CHAIN.c.payload, CHAIN.c.digest)
    .where(_OF_LOG, CHAIN.c.number > sa.bindparam("after"))
    .order_by(CHAIN.c.number)
    .limit(sa.bindparam("limit"))
)
