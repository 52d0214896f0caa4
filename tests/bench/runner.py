# SPDX-License-Identifier: BSD-3-Clause
"""Runs rows: ours and the peer in turn, repetition by repetition, saying what it is at."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bench.model import CannotRun, Measure, Result, Row, Sample, Side, summarise
from bench.report import figure
from bench.resources import Resources

Say = Callable[[str], None]


@dataclasses.dataclass(slots=True)
class _Turn:
    """One side's measurement under way."""

    who: str
    side: Side
    repetitions: int
    measure: Measure | None = None
    samples: list[Sample] = dataclasses.field(default_factory=list)
    why: str = ""


def run_row(row: Row, resources: Resources, say: Say, log: Path, *, repetitions: int | None = None) -> Result:
    """Measure one row. Never raises for what goes wrong on a side: the result says why a figure is missing."""
    turns = [_Turn(who, side, _times(row, side, repetitions)) for who, side in (("ours", row.ours), ("peer", row.peer))]
    for turn in turns:
        _attempt(turn, row, resources, log)
    for number in range(max(turn.repetitions for turn in turns)):
        for turn in turns:
            if turn.measure is not None and number < turn.repetitions:
                begin = time.monotonic()
                _attempt(turn, row, resources, log)
                if turn.why:
                    continue
                value, took = turn.samples[-1].value, time.monotonic() - begin
                shown = f"{figure(value)} {row.unit}"
                say(f"{number + 1}/{turn.repetitions} {turn.who:4} {shown:>20}  {turn.side.label} ({took:.1f} s)")
    for turn in turns:
        if turn.why:
            say(f"{turn.who} ({turn.side.label}): {turn.why}")
    why = "; ".join(f"{turn.side.label}: {turn.why}" for turn in turns if turn.why)
    return summarise(row, turns[0].samples, turns[1].samples, why)


def _times(row: Row, side: Side, asked: int | None) -> int:
    times = row.repetitions if side.repetitions is None else side.repetitions
    return times if asked is None else max(1, min(times, asked))


def _attempt(turn: _Turn, row: Row, resources: Resources, log: Path) -> None:
    """Open the side if it is not yet open, else measure once; what goes wrong ends the side, not the bench."""
    try:
        if turn.measure is None:
            turn.measure = turn.side.open(resources)
        else:
            turn.samples.append(turn.measure())
    except CannotRun as why:
        turn.measure, turn.why = None, str(why)
    except Exception as error:  # noqa: BLE001 -- a row that breaks must not take the others with it
        turn.measure, turn.why = None, f"{type(error).__name__}: {error} ({log})"
        with log.open("a") as file:
            file.write(f"{row.name}, {turn.side.label}:\n{traceback.format_exc()}\n")
