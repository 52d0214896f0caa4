# SPDX-License-Identifier: BSD-3-Clause
"""Listing jobs."""

from __future__ import annotations

import argparse
import asyncio
import time

from xos.aem.api import JobInfo
from xos.aem.cli import _show as show
from xos.aem.cli._grid import job_info
from xos.aem.cli.errors import BadUsage
from xos.aem.xati import JobManagerAsync
from xos.common.errors import XosError
from xos.dixi.commands import Session, report

LIMIT_MAX = 100_000


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xps``."""
    if not 1 <= args.limit <= LIMIT_MAX:
        raise BadUsage(detail=f"--limit is between 1 and {LIMIT_MAX}")
    if args.jobs:
        jobs, status = await _these(args.jobs, session)
    else:
        jobs, status = await JobManagerAsync(session.bus).list_jobs(args.all, args.limit), 0
    if session.json:
        session.out(show.as_json(jobs))
    elif jobs:
        _print(jobs, session, units=args.units)
    if not args.jobs and session.is_tty and not session.json:
        _remark(jobs, args, session)
    return status


async def _these(job_ids: list[str], session: Session) -> tuple[list[JobInfo], int]:
    """Those that can be had; an error line for each other."""
    asked = (job_info(session.bus, job_id) for job_id in dict.fromkeys(job_ids))
    found = await asyncio.gather(*asked, return_exceptions=True)
    status = 0
    for result in found:
        if isinstance(result, XosError):
            report(result, session)
            status = status or result.exit_status
        elif isinstance(result, BaseException):
            raise result
    return [result for result in found if isinstance(result, JobInfo)], status


def _print(jobs: list[JobInfo], session: Session, *, units: bool) -> None:
    columns = session.columns if session.is_tty else None
    now = time.time()
    if units:
        every = [unit for job in jobs for unit in job.units]
        session.out(show.units_table(every, columns=columns, colour=session.colour, now=now))
    else:
        session.out(show.jobs_table(jobs, columns=columns, colour=session.colour, now=now))


def _remark(jobs: list[JobInfo], args: argparse.Namespace, session: Session) -> None:
    if not jobs:
        session.err("no jobs" if args.all else "no job waits or runs; xps --all lists those that have ended too")
    elif len(jobs) == args.limit:
        session.err(f"only the newest {args.limit}; --limit changes that")
