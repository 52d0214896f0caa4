# SPDX-License-Identifier: BSD-3-Clause
"""``lsfs.xtreemfs``: list volumes."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="lsfs.xtreemfs", description="List the volumes of XtreemFS, with what they hold and how it is laid out."
    )
    made.add_argument("--mrc", metavar="NODE", help="only those that this MRC serves")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _volumes

    return await _volumes.list_(args, session)


COMMAND = Command(name="lsfs.xtreemfs", parser=parser, run=run)
