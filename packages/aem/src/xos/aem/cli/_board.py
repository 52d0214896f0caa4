# SPDX-License-Identifier: BSD-3-Clause
"""A job's states, live: in place on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import time

from xos.aem.api import JobInfo, Unit
from xos.aem.cli import _show as show
from xos.dixi.session import Session
from xos.dixi.tables import Painted, clean, paint

UNITS_SHOWN = 16
TICK_SECONDS = 1.0


class Board:
    """Shows one job."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._in_place = session.is_tty and not session.json and session.env.get("TERM", "dumb") != "dumb"
        self._job: JobInfo | None = None
        self._drawn = 0
        """Lines on the terminal that the next drawing replaces."""
        self._shown: dict[str, tuple[str, ...]] = {}

    def update(self, job: JobInfo) -> None:
        """The job has changed."""
        self._job = job
        if self._session.json:
            self._session.out(show.as_json(job))
        elif self._in_place:
            self._draw(job)
        else:
            self._log(job)

    async def clock(self) -> None:
        """Let the times on a terminal go on, until cancelled."""
        while self._in_place:
            await asyncio.sleep(TICK_SECONDS)
            if self._job is not None and self._job.started is not None:
                try:
                    self._draw(self._job)
                except BrokenPipeError:
                    return  # the next update meets it too, and ends the command

    def _draw(self, job: JobInfo) -> None:
        session, now = self._session, time.time()
        up = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        text = self._headline(job, now) + "\n"
        busiest = sorted(job.units, key=lambda unit: unit.state.ended)[:UNITS_SHOWN]
        text += show.units_table(busiest, columns=session.columns, colour=session.colour, now=now)
        if len(job.units) > len(busiest):
            text += f"… and {len(job.units) - len(busiest)} more units\n"
        session.out(up + text)
        self._drawn = text.count("\n")

    def _headline(self, job: JobInfo, now: float) -> str:
        state = show.state(job.state)
        reason = show.reason(job)
        text = f"{clean(job.name) or job.job_id}  {state.text}  {show.ran(job.started, job.ended, now)}"
        text += f"  {clean(reason)}" if reason else ""
        text = text[: self._session.columns]
        return text.replace(state.text, _painted(state, wanted=self._session.colour), 1)

    def _log(self, job: JobInfo) -> None:
        self._change(job.job_id, job.state.value, show.reason(job))
        for unit in job.units:
            if unit.node:
                self._change(unit.unit_id, unit.state.value, unit.node, _ending(unit))

    def _change(self, name: str, *words: str) -> None:
        if self._shown.get(name) != words:
            self._shown[name] = words
            self._session.out(" ".join(filter(None, (time.strftime("%H:%M:%S"), name, *map(clean, words)))))


def _painted(cell: Painted, *, wanted: bool) -> str:
    return cell.text if cell.colour is None else paint(cell.text, cell.colour, wanted=wanted)


def _ending(unit: Unit) -> str:
    if unit.reason:
        return unit.reason
    return "" if unit.exit_code is None else f"exit status {unit.exit_code}"
