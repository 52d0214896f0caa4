# SPDX-License-Identifier: BSD-3-Clause
"""Fetching what the units of a job have written."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from xos.aem.api import JobInfo, State, Unit
from xos.aem.cli._grid import PASSING, Trouble, job_info, watched
from xos.aem.cli._lines import Lines, Raw
from xos.aem.cli.errors import NoOutputYet, NoSuchUnit
from xos.aem.xati import ExecutionManagerAsync
from xos.common.errors import XosError
from xos.dixi.channel import Backoff
from xos.dixi.commands import Session, report
from xos.dixi.stubs import HasCallers
from xos.dixi.tables import Colour, clean, paint

TRIES = 5
"""Times that a node is asked in vain before its output is given up (following a job: only once it has ended)."""


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xout``."""
    info = await job_info(session.bus, args.job)
    wanted = _wanted(info, args.unit)
    names = frozenset(unit.unit_id for unit in wanted)
    raw = args.no_prefix or len(wanted) == 1
    fetch = _Fetch(session, args.file or ("error" if args.error else "output"), raw=raw)
    if args.follow:
        return await _follow(fetch, args.job, names)
    if not any(map(_started, wanted)):
        raise NoOutputYet(job_id=info.job_id, reason=info.reason or info.state.value)
    status = 0
    for unit in wanted:
        if _started(unit):
            status = await fetch.one(unit, follow=False) or status
        else:
            session.err(f"{session.name}: {unit.unit_id} has not started")
    return status


async def _follow(fetch: _Fetch, job_id: str, wanted: frozenset[str]) -> int:
    """Each unit from the moment it runs until it has ended, all at once."""
    session = fetch.session
    trouble = Trouble(lambda text: session.err(f"{session.name}: {text}"))
    tasks: dict[str, asyncio.Task[int]] = {}
    try:
        async for info in watched(session.bus, job_id, trouble):
            for unit in info.units:
                if unit.unit_id in wanted and unit.unit_id not in tasks and _started(unit):
                    tasks[unit.unit_id] = asyncio.create_task(fetch.one(unit, follow=True))
        fetch.over = True
        results = await asyncio.gather(*tasks.values())
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    return next((s for s in results if s), 0)


class _Fetch:
    def __init__(self, session: Session, stream: str, *, raw: bool) -> None:
        self.session = session
        self.stream = stream
        self.raw = raw
        self.over = False
        """The job has ended: a node that is away now may never come back."""

    async def one(self, unit: Unit, *, follow: bool) -> int:
        """Print a unit's output; its trouble is told, and does not keep others from being printed."""
        session = self.session
        printer = Raw() if self.raw else Lines(_label(unit, session))
        try:
            async for data in pieces(session.bus, unit, self.stream, follow=follow, last=lambda: self.over):
                if text := printer.feed(data):
                    await session.write(text)
        except XosError as error:
            report(error, session)
            return error.exit_status
        finally:
            if text := printer.end():
                await session.write(text)
        return 0


async def pieces(
    bus: HasCallers, unit: Unit, stream: str, *, follow: bool, last: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What the unit has written, each byte once, though the connection may break and be made anew.

    Gives up, with the error, after `TRIES` breaks without a new byte; a unit that is followed, only when *last* says
    that nothing new is to come.
    """
    manager = ExecutionManagerAsync(bus, unit.node)
    seen, vain, backoff = 0, 0, Backoff()
    while True:
        skip = seen
        try:
            async for chunk in manager.output(unit.unit_id, stream, follow):
                data = chunk.content[skip:]
                skip -= len(chunk.content) - len(data)
                seen += len(data)
                if data:
                    vain, backoff = 0, Backoff()
                    yield data
            return
        except PASSING as error:
            vain += 1
            if vain >= TRIES and (not follow or last()):
                raise
            await asyncio.sleep(backoff.next(error))


def _started(unit: Unit) -> bool:
    return bool(unit.node) and (unit.state is State.RUNNING or unit.started is not None)


def _wanted(info: JobInfo, number: int | None) -> Sequence[Unit]:
    if number is None:
        return info.units
    if not 0 <= number < len(info.units):
        raise NoSuchUnit(job_id=info.job_id, count=len(info.units), unit=number)
    return (info.units[number],)


def _label(unit: Unit, session: Session) -> bytes:
    """A job has one unit on a node, so its name is enough."""
    return (paint(f"{clean(unit.node)}:", Colour.CYAN, wanted=session.colour) + " ").encode()
