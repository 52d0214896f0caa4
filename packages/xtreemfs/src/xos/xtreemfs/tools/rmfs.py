# SPDX-License-Identifier: BSD-3-Clause
"""``rmfs.xtreemfs``: remove a volume."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="rmfs.xtreemfs", description="Remove a volume of XtreemFS that is empty.")
    made.add_argument("volume", metavar="VOLUME", help="its name, as lsfs.xtreemfs lists it, or VOLUME@SNAPSHOT")
    made.add_argument(
        "-f", "--force", action="store_true", help="with all that is in it, and its snapshots; no way back"
    )
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _volumes

    return await _volumes.remove(args, session)


COMMAND = Command(name="rmfs.xtreemfs", parser=parser, run=run)
