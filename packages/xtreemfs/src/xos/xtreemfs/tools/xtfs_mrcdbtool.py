# SPDX-License-Identifier: BSD-3-Clause
"""``xtfs_mrcdbtool``: dump an MRC's database, restore it."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xtfs_mrcdbtool",
        description="Dump the database of an MRC into a file, or restore such a file into an empty database, of the "
        "same kind or another: so an MRC moves from SQLite to PostgreSQL. A dump may be made while the MRC runs.",
        epilog="DATABASE is a file (/var/lib/xos/core/MRC/mrc.sqlite) or a URL (postgresql://xos@/mrc). A dump has "
        "one JSON value a line; it holds the names and owners of all files, none of their bytes.",
    )
    made.add_argument("action", choices=("dump", "restore"), help="what to do")
    made.add_argument("database", metavar="DATABASE", help="the MRC's")
    made.add_argument("file", metavar="FILE", help="the dump")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _database

    return await _database.run(args, session)


COMMAND = Command(name="xtfs_mrcdbtool", parser=parser, run=run)
