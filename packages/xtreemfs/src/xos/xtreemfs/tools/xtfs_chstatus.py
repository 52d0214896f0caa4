# SPDX-License-Identifier: BSD-3-Clause
"""``xtfs_chstatus``: see how the services are, and say what is wanted of an OSD."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xtfs_chstatus",
        description="List the services of XtreemFS and how they are; or say what is wanted of an OSD. Changes take the "
        "certificate of a core, or of the OSD's own machine (root there).",
    )
    made.add_argument("node", metavar="NODE", nargs="?", help="the OSD's node")
    made.add_argument(
        "status",
        metavar="STATUS",
        nargs="?",
        choices=("online", "draining", "removed"),
        help="online; draining (no new files, and what is there moves away); removed (not used any more)",
    )
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _osds

    return await _osds.status(args, session)


COMMAND = Command(name="xtfs_chstatus", parser=parser, run=run)
