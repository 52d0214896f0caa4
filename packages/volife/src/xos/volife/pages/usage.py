# SPDX-License-Identifier: BSD-3-Clause
"""What was used, by whom, and how much is left; who changed what."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterable

import msgspec
from aiohttp import web

from xos.volife.download import Rows, csv_file
from xos.volife.visit import Page, Visit
from xos.vom.api import By, Entry, Period, Quota, Usage

DAY = 86_400.0
SPANS = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year"}
ON_A_PAGE = 100
AT_ONCE = 1000
"""Rows fetched at once for a file."""
HOUR = 3600.0
SHOWN = 12
"""Bars in a chart; the table has all."""


async def usage(visit: Visit) -> web.StreamResponse:
    """Charts and sums of a time, and the quotas."""
    span, by = _asked(visit)
    until = visit.now()
    since = until - float(span) * DAY
    accounting = visit.grid.accounting
    start = visit.number("from")
    lines, daily, quotas = await asyncio.gather(
        accounting.report(visit.vo, by, since, start=start, limit=ON_A_PAGE, largest=True),
        accounting.report(visit.vo, By.VO, since, period=Period.DAY),
        accounting.quotas(visit.vo),
    )
    return visit.show(
        "usage.html",
        lines=lines,
        bars=[] if start else [(line.subject, line.cpu_seconds) for line in lines][:SHOWN],
        jobs=per_day(daily, since, until),
        all=daily,
        start=start,
        next=start + ON_A_PAGE if len(lines) == ON_A_PAGE else 0,
        spans=SPANS,
        span=span,
        by=by,
        quotas=quotas,
    )


def _asked(visit: Visit) -> tuple[str, By]:
    """Of how many days, and by what."""
    span = visit.query("days") if visit.query("days") in SPANS else "30"
    by = By(visit.query("by")) if visit.query("by") in (By.USER, By.GROUP, By.RESOURCE) else By.USER
    return span, by


def per_day(lines: Iterable[Usage], since: float, until: float) -> list[tuple[str, float]]:
    """Units that ended on each day from *since* to *until* (Unix seconds), days without any among them; in weeks when
    there are more than 60."""
    found = {line.period: float(line.units) for line in lines}
    first = datetime.datetime.fromtimestamp(since, datetime.UTC).date()
    last = datetime.datetime.fromtimestamp(until, datetime.UTC).date()
    days = [first + datetime.timedelta(i) for i in range((last - first).days + 1)]
    points = [(f"{day:%d %b}", found.get(day.isoformat(), 0.0)) for day in days]
    if len(points) <= 60:
        return points
    weeks = [points[i : i + 7] for i in range(0, len(points), 7)]
    return [(week[0][0], sum(value for _, value in week)) for week in weeks]


async def set_quota(visit: Visit) -> web.StreamResponse:
    """Set a quota; without any limit it is removed."""
    fields = visit.fields
    by = By(fields.choice("by", (By.USER, By.GROUP, By.VO)))
    cpu = fields.number("cpu_hours", least=0, most=1e9, default=-1.0)
    units = fields.number("jobs", least=0, most=1e12, default=-1.0)
    quota = await visit.grid.accounting.set_quota(
        Quota(
            visit.vo,
            by,
            visit.vo if by is By.VO else fields.line("subject"),
            Period(fields.choice("period", tuple(Period))),
            cpu_seconds=None if cpu < 0 else cpu * HOUR,
            units=None if units < 0 else int(units),
            version=int(fields.number("version", least=0, most=2**53, default=0)),
        )
    )
    visit.tell("The quota of {subject} is set.", subject=quota.subject)
    return visit.go(visit.request.path)


async def trail(visit: Visit) -> web.StreamResponse:
    """Administrative acts, the newest first."""
    before = visit.number("before")
    wanted = {name: visit.query(name) for name in ("who", "act", "target")}
    found = await visit.grid.audit.trail(visit.vo, before, ON_A_PAGE, *wanted.values())
    return visit.show("audit.html", entries=found, wanted=wanted, before=before, more=len(found) == ON_A_PAGE)


async def sums(visit: Visit) -> AsyncIterator[Rows]:
    """What the page shows, all of it, by day."""
    span, by = _asked(visit)
    since, start = visit.now() - float(span) * DAY, 0
    while page := await visit.grid.accounting.report(
        visit.vo, by, since, period=Period.DAY, start=start, limit=AT_ONCE
    ):
        yield [msgspec.structs.asdict(line) for line in page]
        start += len(page)
        if len(page) < AT_ONCE:
            return


async def records(visit: Visit) -> AsyncIterator[Rows]:
    """The records behind the sums, one line for each unit that ended."""
    since, after = visit.now() - float(_asked(visit)[0]) * DAY, 0
    while page := await visit.grid.accounting.records(visit.vo, since, after=after, limit=AT_ONCE):
        yield [{"number": number, **msgspec.structs.asdict(record)} for number, record in page]
        after = page[-1][0]
        if len(page) < AT_ONCE:
            return


async def acts(visit: Visit) -> AsyncIterator[Rows]:
    """The trail, as far as it fits what was searched for."""
    wanted, before = [visit.query(name) for name in ("who", "act", "target")], 0
    while page := await visit.grid.audit.trail(visit.vo, before, AT_ONCE, *wanted):
        yield [_row(entry) for entry in page]
        before = page[-1].number
        if len(page) < AT_ONCE:
            return


def _row(entry: Entry) -> dict[str, object]:
    """An act as CSV has it: the time as people read it, details in one cell."""
    at = datetime.datetime.fromtimestamp(entry.at, datetime.UTC).isoformat(timespec="seconds")
    detail = "; ".join(f"{name}={value}" for name, value in entry.detail.items() if value)
    return {**msgspec.structs.asdict(entry), "at": at, "detail": detail}


PAGES = (
    Page(path="/vo/{vo}/usage", get=usage, post=set_quota),
    Page(path="/vo/{vo}/usage.csv", get=csv_file("usage", sums), streams=True),
    Page(path="/vo/{vo}/usage-records.csv", get=csv_file("usage-records", records), streams=True),
    Page(path="/vo/{vo}/audit", get=trail),
    Page(path="/vo/{vo}/audit.csv", get=csv_file("audit", acts), streams=True),
)
