# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-usage`` does."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from xos.dixi.commands import Colour, Painted, Session
from xos.vom import ur2
from xos.vom.api import By, Period, Quota, QuotaState, Usage, UsageRecord
from xos.vom.cli import _show
from xos.vom.csv import csv_of
from xos.vom.errors import BadRequest
from xos.vom.xati import AccountingAsync

PAGE = 1000


async def report(args: argparse.Namespace, session: Session) -> None:
    """Add up."""
    since, until = _moment(args.since), _moment(args.until)
    period = Period(args.period) if args.period else Period.ALL
    accounting, by = AccountingAsync(session.bus), By(args.by)
    lines: list[Usage] = []
    while page := await accounting.report(args.vo, by, since, until, period, args.user, len(lines), PAGE):
        lines += page
        if len(page) < PAGE:
            break
    if session.json:
        _show.as_json(session, lines)
    elif args.csv:
        session.out(csv_of(msgspec.structs.asdict(line) for line in lines))
    else:
        rows = [
            (
                line.period,
                line.subject,
                str(line.units),
                str(line.failed),
                _hours(line.cpu_seconds),
                _hours(line.wall_seconds),
                _hours(line.processor_seconds),
                _size(line.memory_peak),
            )
            for line in lines
        ]
        headings = ("PERIOD", args.by.upper(), "UNITS", "FAILED", "CPU H", "WALL H", "CORE H", "MEMORY PEAK")
        start = 0 if args.period else 1
        right = frozenset(range(2 - start, 8 - start))
        _show.print_table(session, headings[start:], [row[start:] for row in rows], right=right)


async def records(args: argparse.Namespace, session: Session) -> None:
    """List records, fetched in pages."""
    accounting = AccountingAsync(session.bus)
    since, until = _moment(args.since), _moment(args.until)
    found: list[tuple[int, UsageRecord]] = []
    while page := await accounting.records(args.vo, since, until, args.user, found[-1][0] if found else 0, PAGE):
        found += page
        if len(page) < PAGE:
            break
    told = [{"number": number, **msgspec.structs.asdict(record)} for number, record in found]
    if session.json:
        _show.as_json(session, told)
    elif args.csv:
        session.out(csv_of(told))
    elif args.ur2:
        for line in ur2.document(record for _, record in found):
            session.out(line)
    else:
        rows = [
            (
                _show.moment(r.ended),
                r.user,
                r.node,
                r.unit_id,
                Painted(r.status, None if r.status == "completed" else Colour.RED),
                f"{r.wall_seconds:.1f}",
                f"{r.cpu_seconds:.1f}",
            )
            for _, r in found
        ]
        headings = ("ENDED", "USER", "NODE", "UNIT", "STATUS", "WALL S", "CPU S")
        _show.print_table(session, headings, rows, right=frozenset({5, 6}))


async def fetch(args: argparse.Namespace, session: Session) -> None:
    """Have Accounting fetch records from nodes."""
    accounting, since = AccountingAsync(session.bus), _moment(args.since)
    done = [await accounting.fetch(node, since, deadline=args.timeout) for node in args.node]
    if session.json:
        _show.as_json(session, done)
        return
    rows = [(one.node, str(one.seen), str(one.new), str(one.refused)) for one in done]
    _show.print_table(session, ("NODE", "RECORDS", "NEW", "REFUSED"), rows, right=frozenset({1, 2, 3}))


async def quotas(args: argparse.Namespace, session: Session) -> None:
    """List quotas."""
    states = await AccountingAsync(session.bus).quotas(args.vo)
    if session.json:
        _show.as_json(session, states)
        return
    rows = [
        (
            state.quota.by.value,
            state.subject,
            state.quota.period.value,
            _of(_hours(state.used.cpu_seconds), state.quota.cpu_seconds, 3600),
            _of(_hours(state.used.wall_seconds), state.quota.wall_seconds, 3600),
            _of(str(state.used.jobs), state.quota.units, 1),
            _state(state),
        )
        for state in states
    ]
    headings = ("FOR", "NAME", "PERIOD", "CPU H", "WALL H", "UNITS", "STATE")
    _show.print_table(session, headings, rows, right=frozenset({3, 4, 5}))


async def set_quota(args: argparse.Namespace, session: Session) -> None:
    """Set a quota in place of the one that is there."""
    accounting, by = AccountingAsync(session.bus), By(args.by)
    subject = args.vo if by is By.VO else args.subject or "*"
    period = Period(args.period)
    there = [
        state.quota.version
        for state in await accounting.quotas(args.vo)
        if (state.quota.by, state.quota.subject, state.quota.period) == (by, subject, period)
    ]
    cpu = None if args.cpu_hours is None else args.cpu_hours * 3600
    wall = None if args.wall_hours is None else args.wall_hours * 3600
    wanted = Quota(args.vo, by, subject, period, cpu, wall, args.units, there[0] if there else 0)
    done = await accounting.set_quota(wanted)
    if session.json:
        _show.as_json(session, done)
    elif cpu is wall is args.units is None:
        session.out(f"there is no quota for {by.value} {subject} any more")
    else:
        session.out(f"quota for {by.value} {subject} is set; `xos-usage quotas {args.vo}` shows what is left")


def _moment(text: str) -> float:
    """Unix seconds of a day or month, UTC; 0 for none. Raises `BadRequest`."""
    if not text:
        return 0.0
    for form in ("%Y-%m-%d", "%Y-%m"):
        try:
            return datetime.datetime.strptime(text, form).replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            continue
    raise BadRequest(what="date", detail=f"{text[:40]!r} is not YYYY-MM-DD or YYYY-MM")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _of(used: str, limit: float | None, scale: int) -> str:
    return "-" if limit is None else f"{used} of {limit / scale:g}"


def _state(state: QuotaState) -> Painted:
    if state.subject == "*":
        return Painted("-")
    return Painted("used up", Colour.RED) if state.exceeded else Painted("ok")


def _size(count: int) -> str:
    scale = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    value, unit = float(count), 0
    while value >= 1024 and unit < len(scale) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.4g} {scale[unit]}"


Action = Callable[[argparse.Namespace, Session], Awaitable[None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {"report": report, "records": records, "fetch": fetch, "quotas": quotas, "set-quota": set_quota}
)
Row = Sequence[str | Painted]
