# SPDX-License-Identifier: BSD-3-Clause
"""``xsub``: submit a job."""

from __future__ import annotations

import argparse

from xos.aem.cli._exits import STATUSES
from xos.dixi.commands import Command, Session, add_json

USAGE = """xsub [OPTION …] JOB.jsdl|JOB.toml
       xsub [OPTION …] -f JOB
       xsub [OPTION …] [--] PROGRAM [ARGUMENT …]"""
EPILOG = f"""examples:
  xsub -n 2 hostname                            on two nodes
  xsub --wait -i data.txt ./simulate.sh -n 8    your script and its data; -n 8 is the script's
  xsub --watch hello.jsdl                       a job description; states are shown live

A PROGRAM given as a relative path (./run.sh) is a file of yours and travels with the job; a bare name
is looked for on the nodes.

The job's id is printed when the job is kept safely: it will run, even if this machine goes away.

{STATUSES}
  (without --wait and --watch: 0 once the job is kept, else what went wrong)"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xsub",
        usage=USAGE,
        description="Submit a job: a program with its arguments, or a job description (JSDL or TOML).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = made.add_argument_group("what to run")
    what.add_argument("-f", "--file", metavar="JOB", help="a job description, JSDL or TOML; - reads it from here")
    what.add_argument("command", metavar="PROGRAM …", nargs=argparse.REMAINDER, help="the program and its arguments")
    what.add_argument("--name", metavar="NAME", help="a name for people")
    what.add_argument("-E", "--env", metavar="NAME=VALUE", action="append", help="set an environment variable")
    what.add_argument("--directory", metavar="DIR", help="start in this directory below the unit's own")
    where = made.add_argument_group("where and how much")
    where.add_argument("-n", "--units", metavar="N", type=int, help="run on N nodes, one unit on each (default: 1)")
    where.add_argument("--cores", metavar="N", type=int, help="CPUs for each unit (default: 1)")
    where.add_argument("--memory", metavar="SIZE", help="memory for each unit, needed and allowed: 512M, 2G")
    where.add_argument("--time", metavar="TIME", help="kill units that run longer: 90s, 10m, 1h30m")
    where.add_argument("--host", metavar="NODE", action="append", help="only on these nodes")
    where.add_argument("--arch", metavar="MACHINE", help="only on nodes of this kind (uname -m)")
    files = made.add_argument_group("files")
    files.add_argument(
        "-i", "--stage-in", metavar="FILE[:NAME]", action="append", help="bring a small file to each unit, as NAME"
    )
    files.add_argument(
        "-o", "--stage-out", metavar="NAME", action="append", help="keep this file of each unit for `xout --file NAME`"
    )
    files.add_argument(
        "--reads",
        metavar="URI",
        action="append",
        help="it is going to read this file, xtreemfs://VOLUME/PATH: have it near (a hint)",
    )
    files.add_argument("--input", metavar="FILE", help="standard input of each unit; - takes it from here")
    files.add_argument("--output", metavar="NAME", help="standard output goes to this file of the unit, too")
    files.add_argument("--error", metavar="NAME", help="standard error goes to this file of the unit, too")
    then = made.add_argument_group("and then")
    then.add_argument("-w", "--wait", action="store_true", help="wait until the job has ended, exit as it did")
    then.add_argument("-W", "--watch", action="store_true", help="the same, and show its states live")
    then.add_argument("--dry-run", action="store_true", help="print the JSDL document, submit nothing")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.aem.cli import _submit

    return await _submit.run(args, session)


COMMAND = Command(name="xsub", parser=parser, run=run)
