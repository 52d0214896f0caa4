# SPDX-License-Identifier: BSD-3-Clause
"""``xout``: what a job has written."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xout",
        description="Print what a job has written. It comes straight from the nodes of its units; with several "
        "units each line has the unit's node before it.",
    )
    made.add_argument("job", metavar="JOB", help="id of a job")
    made.add_argument("-u", "--unit", metavar="N", type=int, help="only unit N, counted from 0; its bytes as they are")
    which = made.add_mutually_exclusive_group()
    which.add_argument("-e", "--error", action="store_true", help="standard error instead of standard output")
    which.add_argument("--file", metavar="NAME", help="a file that the job stages out")
    made.add_argument("-f", "--follow", action="store_true", help="wait for the job, and print as it writes")
    made.add_argument("--no-prefix", action="store_true", help="no nodes before the lines")
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.aem.cli import _output

    return await _output.run(args, session)


COMMAND = Command(name="xout", parser=parser, run=run)
