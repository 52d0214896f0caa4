# SPDX-License-Identifier: BSD-3-Clause
"""Quotas: which apply to whom, and whether one is used up. Pure, but for reading and writing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import sqlalchemy as sa

from xos.common.policy import Used
from xos.vom.api import By, Period, Quota
from xos.vom.records.store import QUOTAS

EACH = "*"
Key = tuple[str, By, str, Period]


def applying(known: Mapping[Key, Quota], vo: str, user: str, group: str) -> Iterator[tuple[Quota, str]]:
    """The quotas that apply to *user* and whom each is counted for; one's own goes before that for each (``*``)."""
    for by, subject in ((By.USER, user), (By.GROUP, group), (By.VO, vo)):
        for period in Period:
            quota = known.get((vo, by, subject, period)) or known.get((vo, by, EACH, period))
            if quota is not None:
                yield quota, subject


def is_exceeded(quota: Quota, used: Used) -> bool:
    """Whether nothing of *quota* is left."""
    return (
        (quota.cpu_seconds is not None and used.cpu_seconds >= quota.cpu_seconds)
        or (quota.wall_seconds is not None and used.wall_seconds >= quota.wall_seconds)
        or (quota.units is not None and used.jobs >= quota.units)
    )


def is_empty(quota: Quota) -> bool:
    """Whether *quota* limits nothing."""
    return quota.cpu_seconds is None and quota.wall_seconds is None and quota.units is None


def read_all(connection: sa.Connection) -> dict[Key, Quota]:
    """Every quota that limits something."""
    return {key_of(quota): quota for quota in map(_quota, connection.execute(sa.select(QUOTAS))) if not is_empty(quota)}


def count(connection: sa.Connection, vo: str) -> int:
    """How many quotas of *vo* limit something."""
    limits = sa.or_(*(QUOTAS.c[name].is_not(None) for name in ("cpu_seconds", "wall_seconds", "units")))
    return int(connection.scalar(sa.select(sa.func.count()).where(QUOTAS.c.vo == vo, limits)) or 0)


def find(connection: sa.Connection, wanted: Quota) -> Quota | None:
    """What is kept for the same subject and period, even when it limits nothing any more."""
    row = connection.execute(sa.select(QUOTAS).where(*_same(wanted))).one_or_none()
    return None if row is None else _quota(row)


def write(connection: sa.Connection, quota: Quota) -> None:
    """Keep *quota* in place of the one before."""
    connection.execute(QUOTAS.delete().where(*_same(quota)))
    row = msgspec.structs.asdict(quota)
    connection.execute(QUOTAS.insert(), {**row, "by": quota.by.value, "period": quota.period.value})


def key_of(quota: Quota) -> Key:
    """What there is one quota for."""
    return quota.vo, quota.by, quota.subject, quota.period


def _same(quota: Quota) -> Iterator[sa.ColumnElement[bool]]:
    for column, value in zip(
        (QUOTAS.c.vo, QUOTAS.c.by, QUOTAS.c.subject, QUOTAS.c.period),
        (quota.vo, quota.by.value, quota.subject, quota.period.value),
        strict=True,
    ):
        yield column == value


def _quota(row: sa.Row[tuple[object, ...]]) -> Quota:
    fields = dict(row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for it
    return Quota(**{**fields, "by": By(fields["by"]), "period": Period(fields["period"])})
