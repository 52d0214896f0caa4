# SPDX-License-Identifier: BSD-3-Clause
"""``mkfs.xtreemfs``: make a volume."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from xos.xtreemfs.tools import _show

    made = argparse.ArgumentParser(
        prog="mkfs.xtreemfs",
        description="Make a volume of XtreemFS. Its root directory is yours.",
        epilog="Then mount it: mount.xtreemfs VOLUME DIRECTORY",
    )
    made.add_argument("volume", metavar="VOLUME", help="its name: letters, digits, dots, dashes")
    made.add_argument(
        "--mrc", metavar="NODE", help="the MRC that is to serve it (default: that with the fewest volumes)"
    )
    made.add_argument(
        "-m", "--mode", metavar="OCTAL", type=_show.mode, default=0o755, help="permissions of its root (default: 755)"
    )
    made.add_argument("-q", "--quota", metavar="BYTES", type=_show.size, default=0, help="most that it may hold")
    _show.add_policy(made)
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _volumes

    return await _volumes.make(args, session)


COMMAND = Command(name="mkfs.xtreemfs", parser=parser, run=run)
