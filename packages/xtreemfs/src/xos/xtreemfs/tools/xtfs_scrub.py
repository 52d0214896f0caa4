# SPDX-License-Identifier: BSD-3-Clause
"""``xtfs_scrub``: look for damage on OSDs."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xtfs_scrub",
        description="Tell what the OSDs have found damaged: blocks whose checksum does not fit. Each OSD goes through "
        "all that it holds in the background, by itself or when told to, and repairs from another copy what has one.",
        epilog="Exit status: 0 nothing is damaged, 1 something is, or an OSD does not answer.",
    )
    made.add_argument("osds", metavar="NODE", nargs="*", help="only these OSDs")
    made.add_argument(
        "-f", "--files", action="store_true", help="list the damaged shares (takes a machine's certificate)"
    )
    made.add_argument(
        "-s", "--start", action="store_true", help="have them begin now (takes a machine's certificate); see later"
    )
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _osds

    return await _osds.scrub(args, session)


COMMAND = Command(name="xtfs_scrub", parser=parser, run=run)
