# SPDX-License-Identifier: BSD-3-Clause
"""``xps``: list jobs."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xps", description="List your jobs, newest first: states, nodes, and why a job waits or failed."
    )
    made.add_argument("jobs", metavar="JOB", nargs="*", help="only these jobs, ended or not")
    made.add_argument("-a", "--all", action="store_true", help="jobs that have ended too")
    made.add_argument("-u", "--units", action="store_true", help="a line per job unit, with its node")
    made.add_argument("-l", "--limit", metavar="N", type=int, default=100, help="at most so many jobs (default: 100)")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.aem.cli import _list

    return await _list.run(args, session)


COMMAND = Command(name="xps", parser=parser, run=run)
