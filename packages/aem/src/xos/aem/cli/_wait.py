# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for jobs: what `xwait` and `xsub --wait` do."""

from __future__ import annotations

import argparse
import asyncio

from xos.aem.api import JobInfo
from xos.aem.cli import _show as show
from xos.aem.cli._board import Board
from xos.aem.cli._exits import TIMED_OUT, TROUBLE, status_of
from xos.aem.cli._grid import Trouble, ended, watched
from xos.aem.cli._options import option
from xos.aem.jsdl.quantities import duration
from xos.common.errors import XosError
from xos.dixi.commands import Session, report
from xos.dixi.tables import clean


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xwait``."""
    seconds = None if args.timeout is None else option("--timeout", duration, args.timeout)
    jobs = list(dict.fromkeys(args.jobs))
    trouble = Trouble(lambda text: session.err(f"{session.name}: {text}"))

    async def one(job_id: str) -> JobInfo | XosError:
        try:
            info = await ended(session.bus, job_id, trouble)
        except XosError as error:
            report(error, session)
            return error
        tell(info, session, quiet=args.quiet)
        return info

    try:
        async with asyncio.timeout(seconds):
            results = await asyncio.gather(*map(one, jobs))
    except TimeoutError:
        session.err(f"{session.name}: not ended within {args.timeout}; the jobs go on")
        return TIMED_OUT
    return next((s for s in map(_status, results) if s), 0)


async def wait(session: Session, job_id: str) -> int:
    """``xsub --wait``: the status of the job's end."""
    trouble = Trouble(lambda text: session.err(f"{session.name}: {text}"))
    try:
        info = await ended(session.bus, job_id, trouble)
    except XosError as error:
        report(error, session)
        return TROUBLE
    if session.json:
        session.out(show.as_json(info))
    else:
        _say_why(info, session)
    return status_of(info)


async def watch(session: Session, job_id: str) -> int:
    """``xsub --watch``: the same, and the states live."""
    board = Board(session)
    trouble = Trouble(lambda text: session.err(f"{session.name}: {text}"))
    status = TROUBLE
    clock = asyncio.create_task(board.clock())
    try:
        async for info in watched(session.bus, job_id, trouble):
            board.update(info)
            await session.drain()
            status = status_of(info)
    except XosError as error:
        report(error, session)
        return TROUBLE
    finally:
        clock.cancel()
    return status


def tell(info: JobInfo, session: Session, *, quiet: bool) -> None:
    """One line for a job that has ended."""
    if quiet:
        return
    if session.json:
        session.out(show.as_json(info))
        return
    reason = show.reason(info)
    session.out(f"{info.job_id} {info.state.value}" + (f" {clean(reason)}" if reason else ""))


def _say_why(info: JobInfo, session: Session) -> None:
    if status_of(info):
        reason = show.reason(info)
        session.err(f"{session.name}: {info.job_id} {info.state.value}" + (f": {clean(reason)}" if reason else ""))


def _status(result: JobInfo | XosError) -> int:
    return TROUBLE if isinstance(result, XosError) else status_of(result)
