# SPDX-License-Identifier: BSD-3-Clause
"""Chains of entries in which every change shows: each digest covers its entry and the digest before it.

A change of an entry breaks its digest; an entry taken out, put in or moved breaks those around it; a chain written
anew from some point on no longer leads to the heads that were signed later; and one whose end was cut off does not
reach them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from xos.vom.api import Head, Link, Log
from xos.vom.records.store import CHAIN

_START = bytes(32)


class Fault(msgspec.Struct, frozen=True):
    """A sign that a chain is not what was written."""

    number: int
    """Of the entry where it shows."""
    detail: str


def link_digest(before: bytes, log: Log, number: int, at: float, payload: bytes) -> bytes:
    """The digest of an entry: SHA-256 of the one before it (32 zero bytes: none) and msgpack of the rest."""
    return hashlib.sha256(before + msgspec.msgpack.encode((log.value, number, at, payload))).digest()


# --- in the database: functions of one connection --------------------------------------------------------------------


def head(connection: sa.Connection, log: Log, at: float) -> Head:
    """How far the chain has come."""
    row = connection.execute(_LAST, {"log": log.value}).one_or_none()
    return Head(log, 0, _START, at) if row is None else Head(log, row.number, row.digest, at)


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
        return _START
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


# --- pure ------------------------------------------------------------------------------------------------------------


def check(log: Log, entries: Iterable[Link], heads: Iterable[Head] = ()) -> Iterator[Fault]:
    """Everything that is wrong with a chain, from its beginning; *heads* are known from elsewhere.

    After a fault the check goes on from what is there, so that each place is told once.
    """
    wanted: dict[int, list[Head]] = {}
    for known in heads:
        if known.number:
            wanted.setdefault(known.number, []).append(known)
    number, digest = 0, _START
    for entry in entries:
        if entry.number != number + 1:
            yield _misplaced(number, entry.number)
        if link_digest(digest, log, entry.number, entry.at, entry.payload) != entry.digest:
            yield Fault(entry.number, "it was changed, moved, or what came before it was")
        if any(known.digest != entry.digest for known in wanted.pop(entry.number, ())):
            yield Fault(entry.number, "a head was signed here over another history: the chain was written anew")
        number, digest = entry.number, entry.digest
    for missing in sorted(wanted):
        if missing > number:
            yield Fault(number, f"the end is cut off: a head was signed over entry {missing}")
        else:
            yield Fault(missing, "a head was signed over it, and it is gone")


def _misplaced(before: int, number: int) -> Fault:
    if number <= before:
        return Fault(number, f"it stands behind entry {before}")
    gone = f"entry {before + 1} is" if number == before + 2 else f"entries {before + 1} to {number - 1} are"
    return Fault(number, f"{gone} gone")
