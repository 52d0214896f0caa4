# SPDX-License-Identifier: BSD-3-Clause
"""``xtfs_chstatus``: see how the services are, and say what is wanted of an OSD or an MRC."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xtfs_chstatus",
        description="List the services of XtreemFS and how they are; or say what is wanted of an OSD, or which MRC is "
        "the backup of another. Changes take the certificate of a core (root there); of an OSD, its own machine's too.",
    )
    made.add_argument("node", metavar="NODE", nargs="?", help="the node of the OSD or MRC")
    made.add_argument(
        "status",
        metavar="STATUS",
        nargs="?",
        choices=("online", "draining", "removed"),
        help="online; draining (no new files, and what is there moves away); removed (not used any more)",
    )
    backup = made.add_mutually_exclusive_group()
    backup.add_argument(
        "--backup", metavar="OTHER", help="the MRC of NODE gets that of OTHER, which is empty, as its backup"
    )
    backup.add_argument("--no-backup", action="store_true", help="the MRC of NODE goes on alone")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _osds

    return await _osds.status(args, session)


COMMAND = Command(name="xtfs_chstatus", parser=parser, run=run)
