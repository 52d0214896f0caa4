# SPDX-License-Identifier: BSD-3-Clause
"""``xwait``: wait until jobs have ended."""

from __future__ import annotations

import argparse

from xos.aem.cli._exits import STATUSES
from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xwait",
        description="Wait until jobs have ended, and exit as they did. The Job Manager tells; nothing is polled.",
        epilog=f"{STATUSES}\nWith several jobs it is the status of the first in the command line that is not 0.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("jobs", metavar="JOB", nargs="+", help="id of a job; with several, all of them are waited for")
    made.add_argument("--timeout", metavar="TIME", help="give up after so long (30s, 10m, 1h30m); the jobs go on")
    made.add_argument("-q", "--quiet", action="store_true", help="print nothing about the jobs")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.aem.cli import _wait

    return await _wait.run(args, session)


COMMAND = Command(name="xwait", parser=parser, run=run)
