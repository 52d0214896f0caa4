# SPDX-License-Identifier: BSD-3-Clause
"""``xkill``: cancel jobs."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xkill",
        description="Cancel jobs: those that wait never start, every process of those that run is killed. "
        "A job that has ended stays as it is, and that is no error.",
    )
    made.add_argument("jobs", metavar="JOB", nargs="+", help="id of a job")
    made.add_argument("-q", "--quiet", action="store_true", help="print only errors")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.aem.cli import _cancel

    return await _cancel.run(args, session)


COMMAND = Command(name="xkill", parser=parser, run=run)
