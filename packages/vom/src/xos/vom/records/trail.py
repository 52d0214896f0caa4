# SPDX-License-Identifier: BSD-3-Clause
"""The trail of administrative acts: who did what, when, from where. An act and its entry are one transaction.

noted = acting(self.core.now(), "user-added", vo=vo, target=name, group=group)    # in the call: who and from where

def write(connection: sa.Connection) -> Member | None:
    members.insert_member(connection, user, kept)
    noted(connection)                                                               # in the same transaction
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from xos.dixi.api import current_call
from xos.vom.api import Entry, Log
from xos.vom.records import chain
from xos.vom.records.store import ACTS

LONGEST = 500
"""Characters of a value that are kept."""

Note = Callable[[sa.Connection], None]


def acting(now: float, act: str, *, vo: str = "", target: str = "", **detail: object) -> Note:
    """What writes down that the caller of the running call does *act* at *now*; to be called inside the transaction.

    Values of *detail* are kept as text. Never give a secret.
    """
    call = current_call()
    return noting(now, act, who=str(call.caller), origin=call.address, vo=vo, target=target, **detail)


def noting(
    now: float, act: str, *, who: str, origin: str = "", vo: str = "", target: str = "", **detail: object
) -> Note:
    """As `acting`, outside a call: *who* is told."""
    told = {name: str(value)[:LONGEST] for name, value in detail.items() if value is not None}
    entry = Entry(0, now, act[:64], who[:160], origin[:64], vo[:64], target[:200], told)

    def note(connection: sa.Connection) -> None:
        write(connection, entry)

    return note


def write(connection: sa.Connection, entry: Entry) -> int:
    """Add an entry; its number in the chain. The number in *entry* is of no account, and 0 in what is kept."""
    payload = msgspec.msgpack.encode(msgspec.structs.replace(entry, number=0))
    number = chain.append(connection, Log.AUDIT, [payload], entry.at).number
    connection.execute(ACTS.insert(), row_of(msgspec.structs.replace(entry, number=number)))
    return number


def row_of(entry: Entry) -> dict[str, object]:
    """The row of `ACTS` for an entry."""
    return {**msgspec.structs.asdict(entry), "detail": msgspec.msgpack.encode(entry.detail)}


def read(
    connection: sa.Connection, *, vo: str, before: int, limit: int, who: str = "", act: str = "", target: str = ""
) -> list[Entry]:
    """Entries, the newest first; empty filters let everything through."""
    query = sa.select(ACTS).order_by(ACTS.c.number.desc()).limit(limit)
    for column, value in ((ACTS.c.vo, vo), (ACTS.c.who, who), (ACTS.c.act, act), (ACTS.c.target, target)):
        if value:
            query = query.where(column == value)
    if before:
        query = query.where(ACTS.c.number < before)
    return [_entry(row) for row in connection.execute(query)]


def _entry(row: sa.Row[tuple[object, ...]]) -> Entry:
    fields = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for it
    fields["detail"] = msgspec.msgpack.decode(fields["detail"], type=dict[str, str])
    return Entry(**fields)
