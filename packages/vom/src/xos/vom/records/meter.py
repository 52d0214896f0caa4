# SPDX-License-Identifier: BSD-3-Clause
"""What has been used so far this day, this month and in all, in memory: policies and quotas ask at every decision."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec
import sqlalchemy as sa

from xos.common.policy import Used
from xos.common.storage import Store
from xos.vom.api import By, Period, Quota, UsageRecord
from xos.vom.records import quotas
from xos.vom.records.store import USAGE
from xos.vom.records.usage import day_of

STALE_SECONDS = 120.0
"""What a node said of its running units counts for so long."""

Key = tuple[str, By, str, str]
"""VO, kind of subject, its name, period (``2026-11-26``, ``2026-11``, or empty: all)."""


class _Sum:
    __slots__ = ("cpu", "units", "wall")

    def __init__(self) -> None:
        self.units, self.cpu, self.wall = 0, 0.0, 0.0

    def add(self, units: int, cpu: float, wall: float) -> None:
        self.units += units
        self.cpu += cpu
        self.wall += wall


class _Running(msgspec.Struct, frozen=True):
    heard: float
    units: tuple[UsageRecord, ...]


class Meter:
    """Belongs to the event loop; `load` reads the database once, `add` follows what is committed."""

    def __init__(self) -> None:
        self._sums: dict[Key, _Sum] = {}
        self._running: dict[str, _Running] = {}
        self.quotas: Mapping[tuple[str, By, str, Period], Quota] = {}

    @classmethod
    async def load(cls, store: Store) -> Meter:
        """What the database holds."""
        meter = cls()
        rows, meter.quotas = await store.read(lambda c: (_sums(c), quotas.read_all(c)))
        for vo, user, group, day, units, cpu, wall in rows:
            for key in _keys(vo, user, group, day):
                meter._sum(key).add(units, cpu, wall)
        return meter

    def add(self, records: Iterable[UsageRecord]) -> None:
        """Records that are on disk now."""
        for record in records:
            for key in _keys(record.vo, record.user, record.group, day_of(record.ended)):
                self._sum(key).add(1, record.cpu_seconds, record.wall_seconds)
            self._ended(record)

    def running(self, node: str, units: tuple[UsageRecord, ...], now: float) -> None:
        """What runs on *node*."""
        self._running[node] = _Running(now, units)

    def used(self, vo: str, by: By, subject: str, now: float, period: Period = Period.MONTH) -> Used:
        """What *subject* has used in the current period, what runs included."""
        when = {Period.DAY: day_of(now), Period.MONTH: day_of(now)[:7], Period.ALL: ""}[period]
        found = self._sums.get((vo, by, subject, when)) or _Sum()
        running = [unit for unit in self._fresh(now) if _is_of(unit, vo, by, subject)]
        return Used(
            found.units + len(running),
            len(running),
            found.cpu + sum(unit.cpu_seconds for unit in running),
            found.wall + sum(unit.wall_seconds for unit in running),
        )

    def exceeded(self, vo: str, user: str, group: str, now: float) -> bool:
        """Whether a quota that applies to *user* is used up."""
        return any(
            quotas.is_exceeded(quota, self.used(vo, quota.by, subject, now, quota.period))
            for quota, subject in quotas.applying(self.quotas, vo, user, group)
        )

    def subjects(self, vo: str, by: By) -> list[str]:
        """All that have ever used anything."""
        return sorted({key[2] for key in self._sums if key[0] == vo and key[1] is by})

    def _sum(self, key: Key) -> _Sum:
        return self._sums.setdefault(key, _Sum())

    def _fresh(self, now: float) -> Iterable[UsageRecord]:
        for node in self._running.values():
            if now - node.heard < STALE_SECONDS:
                yield from node.units

    def _ended(self, record: UsageRecord) -> None:
        known = self._running.get(record.node)
        if known is not None:
            rest = tuple(unit for unit in known.units if unit.record_id != record.record_id)
            self._running[record.node] = msgspec.structs.replace(known, units=rest)


def _keys(vo: str, user: str, group: str, day: str) -> Iterable[Key]:
    for by, subject in ((By.USER, user), (By.GROUP, group), (By.VO, vo)):
        for period in (day, day[:7], ""):
            yield vo, by, subject, period


def _is_of(unit: UsageRecord, vo: str, by: By, subject: str) -> bool:
    return unit.vo == vo and subject == {By.USER: unit.user, By.GROUP: unit.group, By.VO: unit.vo}[by]


def _sums(connection: sa.Connection) -> list[tuple[str, str, str, str, int, float, float]]:
    """By user, group and day: days before this month and last are added up to one line each."""
    recent = day_of(time.time() - 40 * 86400)
    day = sa.case((USAGE.c.day >= recent, USAGE.c.day), else_=sa.literal("0000-00-00")).label("when")
    query = sa.select(
        USAGE.c.vo,
        USAGE.c.user,
        USAGE.c.group,
        day,
        sa.func.count(),
        sa.func.sum(USAGE.c.cpu),
        sa.func.sum(USAGE.c.wall),
    ).group_by(USAGE.c.vo, USAGE.c.user, USAGE.c.group, day)
    return [tuple(row) for row in connection.execute(query)]
