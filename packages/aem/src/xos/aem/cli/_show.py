# SPDX-License-Identifier: BSD-3-Clause
"""Jobs and units as people and programs read them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from xos.aem.api import JobInfo, State, Unit
from xos.dixi.tables import Colour, Painted, table

COLOURS = {
    State.PENDING: Colour.YELLOW,
    State.SCHEDULED: Colour.CYAN,
    State.RUNNING: Colour.BLUE,
    State.DONE: Colour.GREEN,
    State.FAILED: Colour.RED,
    State.CANCELLED: Colour.DIM,
}
NODES_SHOWN = 3
JOB_HEADINGS = ("JOB", "NAME", "STATE", "UNITS", "SUBMITTED", "TIME", "NODES", "REASON")
UNIT_HEADINGS = ("UNIT", "NODE", "STATE", "EXIT", "TIME", "CPU", "MEMORY", "REASON")


def state(value: State) -> Painted:
    """A state in its colour."""
    return Painted(value.value, COLOURS[value])


def duration(seconds: float) -> str:
    """``0:05``, ``1:02:03``, ``3d 4:05:06``."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours}:{minutes:02}:{rest:02}" if hours or days else f"{minutes}:{rest:02}"
    return f"{days}d {text}" if days else text


def ran(started: float | None, ended: float | None, now: float) -> str:
    """How long something has run, or ran."""
    return "-" if started is None else duration((now if ended is None else ended) - started)


def when(at: float, now: float) -> str:
    """A time of today, or a day."""
    if not at:
        return "-"
    day = time.localtime(at)
    same = time.localtime(now)[:3] == day[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d", day)


def size(value: int) -> str:
    """Bytes in powers of 1,024, three digits at most."""
    if not value:
        return "-"
    amount = float(value)
    for unit in "BKMGTP":
        if amount < 1000 or unit == "P":
            return f"{amount:.0f}{unit}" if unit == "B" or amount >= 10 else f"{amount:.1f}{unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def nodes(units: Iterable[Unit]) -> str:
    """The first few nodes, and how many more there are."""
    names = [name for name in dict.fromkeys(unit.node for unit in units) if name]
    more = len(names) - NODES_SHOWN
    return ",".join(names[:NODES_SHOWN]) + (f" +{more}" if more > 0 else "") or "-"


def reason(job: JobInfo) -> str:
    """Why it waits or failed; of a failed job without one, its exit status."""
    if job.reason or job.state is not State.FAILED or job.exit_code is None:
        return job.reason
    return f"exit status {job.exit_code}"


def job_row(job: JobInfo, now: float) -> Sequence[str | Painted]:
    """A row under `JOB_HEADINGS`."""
    return (
        job.job_id,
        job.name or "-",
        state(job.state),
        str(len(job.units)),
        when(job.submitted, now),
        ran(job.started, job.ended, now),
        nodes(job.units),
        reason(job),
    )


def unit_row(unit: Unit, now: float) -> Sequence[str | Painted]:
    """A row under `UNIT_HEADINGS`."""
    return (
        unit.unit_id,
        unit.node or "-",
        state(unit.state),
        "-" if unit.exit_code is None else str(unit.exit_code),
        ran(unit.started, unit.ended, now),
        f"{unit.cpu_seconds:.1f}s" if unit.cpu_seconds else "-",
        size(unit.memory_peak),
        unit.reason,
    )


def jobs_table(jobs: Iterable[JobInfo], *, columns: int | None, colour: bool, now: float) -> str:
    """A line per job."""
    return table(JOB_HEADINGS, [job_row(job, now) for job in jobs], columns=columns, colour=colour, right={3, 5})


def units_table(units: Iterable[Unit], *, columns: int | None, colour: bool, now: float) -> str:
    """A line per unit."""
    rows = [unit_row(unit, now) for unit in units]
    return table(UNIT_HEADINGS, rows, columns=columns, colour=colour, right={3, 4, 5, 6})


def plain(value: object) -> Any:
    """Structs as objects with named fields (on the wire they are arrays), for JSON."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def as_json(value: object) -> str:
    """One line of JSON."""
    return msgspec.json.encode(plain(value)).decode()
