# SPDX-License-Identifier: BSD-3-Clause
"""Usage records: whether one is to be believed, and where it is kept. Pure, or functions of one connection."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from xos.common.errors import UNDECODABLE, XosError
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.vom.api import USAGE_PURPOSE, By, Head, Log, Period, Usage, UsageRecord
from xos.vom.errors import BadUsageRecord
from xos.vom.records import chain
from xos.vom.records.store import CHAIN, USAGE

MOST_AT_ONCE = 1000
LONGEST_RECORD = 16 * 1024
_MARGIN = 300.0
"""Seconds that a node's clock may be ahead of ours."""
_record = msgspec.msgpack.Decoder(UsageRecord)
_signed = msgspec.msgpack.Decoder(Signed)


class Kept(msgspec.Struct, frozen=True):
    """A record that was found good, with the bytes that go into the chain."""

    record: UsageRecord
    payload: bytes


def day_of(at: float) -> str:
    """``2026-11-26``, UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def examine(signed: Signed, trust: Trust, node: str, at: float) -> Kept:
    """The record in *signed*, once it is beyond doubt that *node* made it and that it makes sense.

    Raises `BadUsageRecord`. The signature was made when the unit ended; the certificate must hold now, when the record
    is handed in (later the entry in the chain vouches for the time).
    """
    name = "?"

    def bad(detail: str) -> BadUsageRecord:
        return BadUsageRecord(record=name[:300], detail=detail)

    if len(signed.payload) > LONGEST_RECORD:
        raise bad(f"longer than {LONGEST_RECORD} bytes")
    try:
        signer = verify_signed(signed, trust, purpose=USAGE_PURPOSE, at=at, kind=Kind.MACHINE)
        record = _record.decode(signed.payload)
    except (XosError, *UNDECODABLE) as error:
        raise bad(str(error)) from error
    name = record.record_id
    if signer.name != node:
        raise bad(f"signed by {signer.name}, handed in by {node}")
    if problem := foreign(record, signer) or nonsense(record, at):
        raise bad(problem)
    return Kept(record, msgspec.msgpack.encode(signed))


def foreign(record: UsageRecord, node: Identity) -> str:
    """Why *record* is not for *node* to tell; empty: it is."""
    if record.node != node.name:
        return f"it is of {record.node[:64]!r}, handed in by {node.name}"
    if node.vos and record.vo not in node.vos:
        return f"{node.name} is no resource of VO {record.vo[:64]}"
    return ""


def nonsense(record: UsageRecord, now: float) -> str:
    """What makes no sense about a record; empty: nothing."""
    if record.record_id != f"{record.node}:{record.unit_id}" or len(record.record_id) > 300:
        return "its id is not that of node and unit"
    for what in ("vo", "user", "group", "node", "job_id", "unit_id"):
        value = getattr(record, what)
        if not value or len(value) > (200 if what.endswith("_id") else 64) or not value.isprintable():
            return f"{what} is missing, too long or unprintable"
    for what in ("submitted", "started", "ended", "wall_seconds", "cpu_seconds", "created"):
        value = getattr(record, what)
        if not math.isfinite(value) or value < 0:
            return f"{what} is {value}"
    if record.ended > now + _MARGIN:
        return "it ends in the future"
    if not record.started <= record.ended or record.wall_seconds > record.ended - record.started + 1:
        return "its times contradict each other"
    if not 0 < record.processors < 2**31 or not 0 <= record.memory_peak < 2**63:
        return "processors or memory are beyond measure"
    return ""


def keep(connection: sa.Connection, records: Sequence[Kept], now: float) -> tuple[Head, list[UsageRecord]]:
    """Add those that are not kept yet; the chain's head, and what was new."""
    unique = {kept.record.record_id: kept for kept in records}
    ids = list(unique)
    known = set(connection.scalars(sa.select(USAGE.c.record_id).where(USAGE.c.record_id.in_(ids))))
    fresh = [kept for record_id, kept in unique.items() if record_id not in known]
    head = chain.append(connection, Log.USAGE, [kept.payload for kept in fresh], now)
    if fresh:
        first = head.number - len(fresh) + 1
        connection.execute(USAGE.insert(), [row_of(first + i, kept.record) for i, kept in enumerate(fresh)])
    return head, [kept.record for kept in fresh]


def row_of(number: int, record: UsageRecord) -> dict[str, object]:
    """The row of `USAGE` for a record."""
    return {
        "number": number,
        "record_id": record.record_id,
        "vo": record.vo,
        "user": record.user,
        "group": record.group,
        "node": record.node,
        "ended": record.ended,
        "day": day_of(record.ended),
        "failed": int(record.exit_code != 0),
        "wall": record.wall_seconds,
        "cpu": record.cpu_seconds,
        "processors": record.processors,
        "memory": record.memory_peak,
    }


def record_in(payload: bytes) -> UsageRecord:
    """The record in an entry of the chain. Raises `msgspec.MsgspecError`."""
    return _record.decode(_signed.decode(payload).payload)


def unit_in(signed: Signed) -> str:
    """The unit that a record, not verified, is of; empty when it cannot be read."""
    try:
        return _record.decode(signed.payload).unit_id
    except UNDECODABLE:
        return ""


def read(
    connection: sa.Connection, *, vo: str, user: str, since: float, until: float, after: int, limit: int
) -> list[tuple[int, UsageRecord]]:
    """Records with their numbers."""
    query = (
        sa.select(USAGE.c.number, CHAIN.c.payload)
        .join(CHAIN, sa.and_(CHAIN.c.log == Log.USAGE.value, CHAIN.c.number == USAGE.c.number))
        .where(USAGE.c.number > after, *_between(vo, since, until))
        .order_by(USAGE.c.number)
        .limit(limit)
    )
    if user:
        query = query.where(USAGE.c.user == user)
    return [(row.number, record_in(row.payload)) for row in connection.execute(query)]


def _between(vo: str, since: float, until: float) -> Iterable[sa.ColumnElement[bool]]:
    yield USAGE.c.vo == vo
    if since:
        yield USAGE.c.ended >= since
    if until:
        yield USAGE.c.ended < until


_SUBJECT = {By.USER: USAGE.c.user, By.GROUP: USAGE.c.group, By.VO: USAGE.c.vo, By.RESOURCE: USAGE.c.node}
_PERIOD = {Period.DAY: USAGE.c.day, Period.MONTH: sa.func.substr(USAGE.c.day, 1, 7)}


class Wanted(msgspec.Struct, frozen=True):
    """Which sums; see `Accounting.report`."""

    vo: str
    by: By
    since: float
    until: float
    period: Period
    user: str
    start: int
    limit: int
    largest: bool


def report(connection: sa.Connection, wanted: Wanted) -> list[Usage]:
    """Sums by subject and period."""
    vo, user = wanted.vo, wanted.user
    when = _PERIOD.get(wanted.period, sa.literal(""))
    subject = _SUBJECT[wanted.by]
    query = (
        sa.select(
            subject.label("subject"),
            when.label("period"),
            sa.func.count().label("units"),
            sa.func.sum(USAGE.c.failed).label("failed"),
            sa.func.sum(USAGE.c.cpu).label("cpu"),
            sa.func.sum(USAGE.c.wall).label("wall"),
            sa.func.sum(USAGE.c.wall * USAGE.c.processors).label("held"),
            sa.func.max(USAGE.c.memory).label("memory"),
        )
        .where(*_between(vo, wanted.since, wanted.until))
        .group_by(sa.text("subject"), sa.text("period"))
        .order_by(*([sa.text("cpu desc")] if wanted.largest else []), sa.text("period"), sa.text("subject"))
        .offset(wanted.start)
        .limit(wanted.limit)
    )
    if user:
        query = query.where(USAGE.c.user == user)
    return [
        Usage(vo, row.subject, row.period, row.units, int(row.failed), row.cpu, row.wall, row.held, row.memory)
        for row in connection.execute(query)
    ]
