# SPDX-License-Identifier: BSD-3-Clause
"""What a row of the bench is and what comes of it; decisions only, no I/O."""

from __future__ import annotations

import dataclasses
import enum
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from bench.resources import Resources


class CannotRun(Exception):
    """Raised when one side of a row cannot be measured here; the text says why, and the rest goes on."""


class Better(enum.Enum):
    """Which way is ahead."""

    MORE = "more"
    LESS = "less"


class Sample(msgspec.Struct, frozen=True):
    """One repetition of one side."""

    value: float
    """In the row's unit."""
    cpu: float | None = None
    """CPU seconds of client and server processes per unit of work; None where they cannot be counted."""


Measure = Callable[[], Sample]
"""Does the work of one repetition once more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """Ours or the peer's: how it is called in the table, and how it is set up."""

    label: str
    open: Callable[[Resources], Measure]
    """Starts what it needs (kept for later rows) and returns the measurement. Raises `CannotRun`."""
    repetitions: int | None = None
    """Fewer than the row's, for a side that takes minutes."""
    needs: str = ""
    """What ``install-peers`` must install for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    """``GROUP`` or ``GROUP-WHAT``; ``ROWS=GROUP`` selects all of a group."""
    title: str
    unit: str
    better: Better
    ours: Side
    peer: Side
    goal: float | None = None
    """The ratio to reach; more than 1 is ahead of the peer."""
    bound: float | None = None
    """Instead of `goal`: the value to reach, in the row's unit, whatever the peer does."""
    repetitions: int = 5
    work: str = "call"
    """What `Sample.cpu` is per."""
    note: str = ""
    """Printed under the table: what the reader must know to judge the figure."""


class Result(msgspec.Struct, frozen=True):
    """One row of ``results.json``."""

    name: str
    unit: str
    ours: float | None
    peer: str
    peer_value: float | None
    ratio: float | None
    """More than 1 when we are ahead."""
    goal: float | None
    """The ratio to reach."""
    cpu_ours: float | None
    """CPU seconds of client and server processes per unit of work."""
    cpu_peer: float | None
    title: str = ""
    work: str = ""
    bound: float | None = None
    """The value to reach, where the goal is one; `goal` is then worked out from the peer's value."""
    samples_ours: tuple[float, ...] = ()
    samples_peer: tuple[float, ...] = ()
    note: str = ""
    why: str = ""
    """Why a figure is missing."""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None when there is no goal or no ratio."""
        if self.ratio is None or self.goal is None:
            return None
        return self.ratio >= self.goal


def ratio(ours: float, peer: float, better: Better) -> float | None:
    """How many times we are ahead of the peer; None when a value makes no ratio."""
    if ours <= 0 or peer <= 0:
        return None
    return ours / peer if better is Better.MORE else peer / ours


def summarise(row: Row, ours: list[Sample], peer: list[Sample], why: str = "") -> Result:
    """The medians of both sides and how they stand to each other and to the goal."""
    own, other = _median([s.value for s in ours]), _median([s.value for s in peer])
    goal = row.goal
    if row.bound is not None and other is not None:
        goal = ratio(row.bound, other, row.better)
    return Result(
        name=row.name,
        unit=row.unit,
        ours=own,
        peer=row.peer.label,
        peer_value=other,
        ratio=None if own is None or other is None else ratio(own, other, row.better),
        goal=goal,
        cpu_ours=_median([s.cpu for s in ours if s.cpu is not None]),
        cpu_peer=_median([s.cpu for s in peer if s.cpu is not None]),
        title=row.title,
        work=row.work,
        bound=row.bound,
        samples_ours=tuple(s.value for s in ours),
        samples_peer=tuple(s.value for s in peer),
        note=row.note,
        why=why,
    )


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


class UnknownRow(Exception):
    """Raised when a name given as ``ROWS=`` selects nothing."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no row is called {name}; rows: {', '.join(known)}")


def select(rows: list[Row], wanted: str) -> list[Row]:
    """The rows that *wanted* names, comma separated: by full name or by group; empty means all. In table order."""
    names = [name for name in wanted.replace(" ", ",").split(",") if name]
    for name in names:
        if not any(_answers(row, name) for row in rows):
            raise UnknownRow(name, [row.name for row in rows])
    return [row for row in rows if not names or any(_answers(row, name) for name in names)]


def _answers(row: Row, name: str) -> bool:
    return row.name == name or row.name.startswith(name + "-")
