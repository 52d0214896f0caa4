# SPDX-License-Identifier: BSD-3-Clause
"""``xtfs_cleanup``: find what OSDs hold of files that do not exist any more."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xtfs_cleanup",
        description="Find orphans: what OSDs hold of files that no MRC knows. Deletes nothing unless told to. Takes "
        "the certificate of a machine that is an MRC (root on the core).",
    )
    made.add_argument("osds", metavar="NODE", nargs="*", help="only these OSDs")
    made.add_argument("--delete", action="store_true", help="delete the orphans of volumes that are there")
    made.add_argument(
        "--unknown-volumes",
        action="store_true",
        help="with --delete: also what belongs to volumes that the Directory Service does not know",
    )
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _orphans

    return await _orphans.run(args, session)


COMMAND = Command(name="xtfs_cleanup", parser=parser, run=run)
