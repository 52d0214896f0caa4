# SPDX-License-Identifier: BSD-3-Clause
"""``xtfsutil``: what XtreemFS knows of a file, directory or volume, and how that is changed."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from xos.xtreemfs.tools import _show

    made = argparse.ArgumentParser(
        prog="xtfsutil",
        description="Show where the bytes of a file are, and what a volume's limits are. With options, change that: of "
        "a file its copies, of a directory or volume how new files are laid out, of a volume its quota and snapshots.",
        epilog="TARGET is a file below a mount point, or xtreemfs://VOLUME/PATH. A snapshot is a volume VOLUME@NAME, "
        "which can be mounted and read, and rmfs.xtreemfs removes it too.",
    )
    made.add_argument("target", metavar="TARGET", help="a file, a directory, or the root of a volume")
    _show.add_policy(made)
    made.add_argument("--without", metavar="OSD", action="append", default=[], help="no copy on this OSD (file)")
    text = "the file will be read on this machine: have a copy near it (file; see --extra)"
    made.add_argument("--read-soon", metavar="NODE", action="append", default=[], help=text)
    made.add_argument("-q", "--quota", metavar="BYTES", type=_show.size, help="most that the volume may hold; 0: all")
    text = "most that a user may hold in the volume"
    made.add_argument("--user-quota", metavar="NAME=BYTES", type=_show.limit, action="append", default=[], help=text)
    text = "most that a group may hold in it"
    made.add_argument("--group-quota", metavar="NAME=BYTES", type=_show.limit, action="append", default=[], help=text)
    made.add_argument("--acl", action="store_true", help="show the access control lists, by global identities")
    made.add_argument(
        "--set-acl", metavar="LIST", help="as user::rwx,user:alice@demo:r-x,group::r-x,mask::r-x,other::---"
    )
    made.add_argument("--set-default-acl", metavar="LIST", help="what new files of a directory begin with")
    text = "say what changes in a directory, a line of JSON each, until it is ended"
    made.add_argument("--watch", action="store_true", help=text)
    snapshots = made.add_mutually_exclusive_group()
    text = "keep the directory TARGET as it is now as VOLUME@NAME"
    snapshots.add_argument("--create-snapshot", metavar="NAME", help=text)
    snapshots.add_argument("--delete-snapshot", metavar="NAME", help="remove VOLUME@NAME; there is no way back")
    snapshots.add_argument("--snapshots", action="store_true", help="list the snapshots of the volume")
    made.add_argument("--find", action="store_true", help="list the files below that the next options describe")
    made.add_argument("--owner", metavar="USER", default="", help="with --find: whose they are, alice@demo")
    made.add_argument("--name", metavar="PATTERN", default="", help="with --find: their name, with * and ?")
    made.add_argument("--least", metavar="BYTES", type=_show.size, default=-1, help="with --find: that large")
    made.add_argument("--most", metavar="BYTES", type=_show.size, default=-1, help="with --find: no larger")
    made.add_argument("--xattr", metavar="NAME[=VALUE]", default="", help="with --find: with that attribute")
    made.add_argument("--limit", metavar="N", type=int, default=1000, help="with --find: at most (default: 1000)")
    add_json(made)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.tools import _files

    return await _files.run(args, session)


COMMAND = Command(name="xtfsutil", parser=parser, run=run)
