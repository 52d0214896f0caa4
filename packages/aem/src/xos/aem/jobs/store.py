# SPDX-License-Identifier: BSD-3-Clause
"""What a Job Manager keeps on disk, alike on SQLite and PostgreSQL. Times are Unix seconds.

Every function here is one of a connection and runs inside the store's transaction (`Store.write`, `Store.read`).
A job's order is written once and lies in a table of its own, so that changing a job's state stays small. A unit has
a row as soon as it is no longer PENDING, so that a job of any width is kept by two inserts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from xos.aem.api import Needs, State, Unit
from xos.aem.jobs.lifecycle import Job
from xos.common.signing import Signed

METADATA = sa.MetaData()
_ACTIVE = sa.text("state IN ('PENDING', 'SCHEDULED', 'RUNNING')")

JOBS = sa.Table(
    "jobs",
    METADATA,
    # Made from owner and request_id (see intake), so the primary key is what keeps a request from being two jobs.
    sa.Column("job_id", sa.String(96), primary_key=True),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("owner", sa.String(160), nullable=False),
    sa.Column("vo", sa.String(64), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("needs", sa.LargeBinary, nullable=False),  # msgpack of api.Needs
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("submitted", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("ending", sa.String(16)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("exit_code", sa.BigInteger),
    sa.Column("started", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("unit_count", sa.Integer, nullable=False),
    sa.Index("ix_jobs_owner_sequence", "owner", "sequence"),
    sa.Index("ix_jobs_vo_sequence", "vo", "sequence"),
    sa.Index("ix_jobs_active", "sequence", sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
)

UNITS = sa.Table(
    "units",
    METADATA,
    sa.Column("job_id", sa.String(96), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("node", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("exit_code", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started", sa.Double),
    sa.Column("ended", sa.Double),
    sa.Column("cpu_seconds", sa.Double, nullable=False),
    sa.Column("memory_peak", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("job_id", sa.String(96), primary_key=True),
    sa.Column("signed", sa.LargeBinary, nullable=False),  # msgpack of common.signing.Signed
)

STRAYS = sa.Table(
    "strays",
    METADATA,
    # Units that count as ended though their node may still run them: to be killed when it comes back.
    sa.Column("unit_id", sa.String(112), primary_key=True),
    sa.Column("node", sa.String(64), nullable=False),
)

_INSERT_JOB = sa.insert(JOBS)
_INSERT_UNIT = sa.insert(UNITS)
_INSERT_ORDER = sa.insert(ORDERS)
_UPDATE_JOB = (
    sa.update(JOBS)
    .where(JOBS.c.job_id == sa.bindparam("at_job"))
    .values({name: sa.bindparam(name) for name in ("state", "ending", "reason", "exit_code", "started", "ended")})
)
_UNIT_VALUES = ("node", "state", "exit_code", "reason", "started", "ended", "cpu_seconds", "memory_peak")
_UPDATE_UNIT = (
    sa.update(UNITS)
    .where(UNITS.c.job_id == sa.bindparam("at_job"), UNITS.c.number == sa.bindparam("at_number"))
    .values({name: sa.bindparam(name) for name in _UNIT_VALUES})
)
_INSERT_STRAY = sa.insert(STRAYS)
_DELETE_STRAY = sa.delete(STRAYS).where(STRAYS.c.unit_id == sa.bindparam("at_unit"))
_CHUNK = 500
"""Most ids in one IN clause."""


class NewJob(msgspec.Struct, frozen=True):
    """A job that is to be kept, with the order as it came."""

    job: Job
    signed: bytes
    """msgpack of `Signed`."""


class Change(msgspec.Struct, frozen=True):
    """What became of a job since it was last written."""

    base: Job
    """As the database has it."""
    job: Job


def insert_jobs(connection: sa.Connection, news: Sequence[NewJob]) -> None:
    """Keep new jobs. Raises `IntegrityError` when one of them is there already."""
    if news:
        connection.execute(_INSERT_JOB, [_job_row(new.job) for new in news])
        connection.execute(_INSERT_ORDER, [{"job_id": new.job.job_id, "signed": new.signed} for new in news])


def known_jobs(connection: sa.Connection, job_ids: list[str]) -> frozenset[str]:
    """Which of these jobs are there already."""
    known: set[str] = set()
    for ids in _chunks(job_ids):
        known.update(connection.scalars(sa.select(JOBS.c.job_id).where(JOBS.c.job_id.in_(ids))))
    return frozenset(known)


def update_jobs(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Write what has changed of jobs and of their units."""
    placed: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for change in changes:
        for number, (old, new) in enumerate(zip(change.base.units, change.job.units, strict=True)):
            if old.state is State.PENDING and new.state is not State.PENDING:
                placed.append(_unit_row(change.job, number))
            elif old is not new:
                moved.append(_changed_unit(change.job, number))
    if changes:
        connection.execute(_UPDATE_JOB, [_changed_job(change.job) for change in changes])
    if placed:
        connection.execute(_INSERT_UNIT, placed)
    if moved:
        connection.execute(_UPDATE_UNIT, moved)


def write_strays(connection: sa.Connection, strays: dict[str, str | None]) -> None:
    """Remember (node) or forget (None) units that a node may run though they count as ended."""
    if strays:
        connection.execute(_DELETE_STRAY, [{"at_unit": unit_id} for unit_id in strays])
    kept = [{"unit_id": unit_id, "node": node} for unit_id, node in strays.items() if node is not None]
    if kept:
        connection.execute(_INSERT_STRAY, kept)


def read_active(connection: sa.Connection) -> list[Job]:
    """Every job that has not ended, in the order of arrival."""
    return _with_units(connection, connection.execute(sa.select(JOBS).where(_ACTIVE).order_by(JOBS.c.sequence)).all())


def read_strays(connection: sa.Connection) -> dict[str, str]:
    """Units that may still run though they count as ended, with their nodes."""
    return {row.unit_id: row.node for row in connection.execute(sa.select(STRAYS))}


def read_last_sequence(connection: sa.Connection) -> int:
    """The highest sequence number given out, 0 if none."""
    return connection.scalar(sa.select(sa.func.max(JOBS.c.sequence))) or 0


def read_job(connection: sa.Connection, job_id: str) -> Job | None:
    """One job."""
    row = connection.execute(sa.select(JOBS).where(JOBS.c.job_id == job_id)).one_or_none()
    return None if row is None else _with_units(connection, [row])[0]


def read_order(connection: sa.Connection, job_id: str) -> Signed | None:
    """A job's order, as its user signed it."""
    signed = connection.scalar(sa.select(ORDERS.c.signed).where(ORDERS.c.job_id == job_id))
    return None if signed is None else msgspec.msgpack.decode(signed, type=Signed)


def read_newest(connection: sa.Connection, owner: str, limit: int) -> list[Job]:
    """The newest jobs of one owner, newest first."""
    query = sa.select(JOBS).where(JOBS.c.owner == owner).order_by(JOBS.c.sequence.desc()).limit(limit)
    return _with_units(connection, connection.execute(query).all())


def read_newest_of_vo(connection: sa.Connection, vo: str, limit: int, *, ended: bool) -> list[Job]:
    """The newest jobs of one VO, newest first; *ended*: those that have ended too."""
    query = sa.select(JOBS).where(JOBS.c.vo == vo).order_by(JOBS.c.sequence.desc()).limit(limit)
    if not ended:
        query = query.where(JOBS.c.ended.is_(None))
    return _with_units(connection, connection.execute(query).all())


def read_recent(connection: sa.Connection, limit: int) -> list[Job]:
    """The newest jobs of everybody, oldest first, without their units."""
    query = sa.select(JOBS).order_by(JOBS.c.sequence.desc()).limit(limit)
    return [_job(row, ()) for row in reversed(connection.execute(query).all())]


def forget_ended(connection: sa.Connection, before: float, limit: int) -> int:
    """Remove up to *limit* jobs that ended before that time, the oldest first; how many it were."""
    query = sa.select(JOBS.c.job_id).where(JOBS.c.ended < before).order_by(JOBS.c.sequence)
    gone = list(connection.scalars(query.limit(limit)))
    for ids in _chunks(gone):
        for table in (UNITS, ORDERS, JOBS):
            connection.execute(sa.delete(table).where(table.c.job_id.in_(ids)))
    return len(gone)


# --- rows ------------------------------------------------------------------------------------------------------------


def _job_row(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "request_id": job.request_id,
        "owner": job.owner,
        "vo": job.vo,
        "name": job.name,
        "needs": msgspec.msgpack.encode(job.needs),
        "sequence": job.sequence,
        "submitted": job.submitted,
        "unit_count": len(job.units),
        **_job_values(job),
    }


def _changed_job(job: Job) -> dict[str, Any]:
    return {"at_job": job.job_id, **_job_values(job)}


def _job_values(job: Job) -> dict[str, Any]:
    return {
        "state": job.state.value,
        "ending": job.ending and job.ending.value,
        "reason": job.reason,
        "exit_code": job.exit_code,
        "started": job.started,
        "ended": job.ended,
    }


def _unit_values(unit: Unit) -> dict[str, Any]:
    return {
        "node": unit.node,
        "state": unit.state.value,
        "exit_code": unit.exit_code,
        "reason": unit.reason,
        "started": unit.started,
        "ended": unit.ended,
        "cpu_seconds": unit.cpu_seconds,
        "memory_peak": unit.memory_peak,
    }


def _unit_row(job: Job, number: int) -> dict[str, Any]:
    return {"job_id": job.job_id, "number": number, **_unit_values(job.units[number])}


def _changed_unit(job: Job, number: int) -> dict[str, Any]:
    return {"at_job": job.job_id, "at_number": number, **_unit_values(job.units[number])}


def _job(row: Any, units: tuple[Unit, ...]) -> Job:
    return Job(
        job_id=row.job_id,
        request_id=row.request_id,
        owner=row.owner,
        vo=row.vo,
        name=row.name,
        needs=msgspec.msgpack.decode(row.needs, type=Needs),
        sequence=row.sequence,
        submitted=row.submitted,
        units=units,
        state=State(row.state),
        ending=None if row.ending is None else State(row.ending),
        reason=row.reason,
        exit_code=row.exit_code,
        started=row.started,
        ended=row.ended,
    )


def _unit(row: Any) -> Unit:
    return Unit(
        f"{row.job_id}.{row.number}",
        row.node,
        State(row.state),
        row.exit_code,
        row.reason,
        row.started,
        row.ended,
        row.cpu_seconds,
        row.memory_peak,
    )


def _with_units(connection: sa.Connection, rows: Sequence[Any]) -> list[Job]:
    units: dict[str, dict[int, Unit]] = {row.job_id: {} for row in rows}
    placed = [row.job_id for row in rows if row.state != State.PENDING.value]
    for ids in _chunks(placed):
        for row in connection.execute(sa.select(UNITS).where(UNITS.c.job_id.in_(ids))):
            units[row.job_id][row.number] = _unit(row)
    return [_job(row, _filled(row, units[row.job_id])) for row in rows]


def _filled(row: Any, known: dict[int, Unit]) -> tuple[Unit, ...]:
    return tuple(known.get(number) or Unit(f"{row.job_id}.{number}") for number in range(row.unit_count))


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
