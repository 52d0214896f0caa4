# SPDX-License-Identifier: BSD-3-Clause
"""Cancelling jobs."""

from __future__ import annotations

import argparse
import asyncio

from xos.aem.api import JobInfo, State
from xos.aem.cli import _show as show
from xos.aem.cli._grid import at_manager
from xos.common.errors import XosError
from xos.dixi.commands import Session, report


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xkill``."""

    async def cancel(job_id: str) -> int:
        try:
            info = await at_manager(session.bus, job_id, lambda manager: manager.cancel_job(job_id))
        except XosError as error:
            report(error, session)
            return error.exit_status
        if not args.quiet:
            _tell(info, session)
        return 0

    return next((s for s in await asyncio.gather(*map(cancel, dict.fromkeys(args.jobs))) if s), 0)


def _tell(info: JobInfo, session: Session) -> None:
    if session.json:
        session.out(show.as_json(info))
    elif info.state is State.CANCELLED:
        session.out(f"{info.job_id} {info.state.value}")
    else:
        session.out(f"{info.job_id} {info.state.value} ({'it had ended' if info.state.ended else 'being killed'})")
