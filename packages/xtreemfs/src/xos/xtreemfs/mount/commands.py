# SPDX-License-Identifier: BSD-3-Clause
"""``mount.xtreemfs`` and ``umount.xtreemfs``: called by people, and by mount(8) for lines of /etc/fstab."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from xos.dixi.commands import Command, Session

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = """\
options (-o, with commas between them):
  ro, nosuid, nodev, noexec, suid, dev   as mount(8) has them; suid and dev only when given
  config=FILE       mount for every account, by the certificate of the machine's daemon
                    (root's default: /etc/xos/resource.toml or core.toml)
  home=DIR          mount for yourself, by the certificate in DIR (default: $XOS_HOME or ~/.xos)
  allow_other       let other accounts in (default: as root)
  patience=SECONDS  after about so long without an answer a program gets EIO (default: 120); each call has 15 s
  foreground        do not go into the background
"""


def mount_parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="mount.xtreemfs",
        description="Mount a volume of XtreemFS. It returns when the mount works.",
        epilog=OPTIONS
        + "\nIn /etc/fstab:  demo/home /mnt xtreemfs nosuid,nodev,_netdev 0 0"
        + "\n(with x-systemd.automount: when somebody looks)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("volume", metavar="VOLUME", help="name of the volume; what is before a slash is only shown")
    made.add_argument("directory", metavar="DIR", help="where")
    made.add_argument("-o", dest="options", action="append", default=[], metavar="OPTIONS", help="see below")
    made.add_argument("-f", dest="fake", action="store_true", help="only check the options, as mount(8) has it")
    made.add_argument("-s", dest="sloppy", action="store_true", help="ignore options that are not known")
    made.add_argument("-n", dest="no_mtab", action="store_true", help="does nothing; mount(8) gives it")
    made.add_argument("-v", dest="verbose", action="store_true", help="say what was mounted")
    return made


async def mount(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.xtreemfs.mount.options import parse
    from xos.xtreemfs.mount.starting import Order, become, start

    wanted = parse(args.volume, ",".join(args.options), sloppy=args.sloppy)
    if args.fake:
        return 0
    path = session.path(args.directory)
    _check(path)
    credential = session.credential.pem() if session.agent is not None else None
    order = Order(wanted, str(path), str(session.home), credential)
    if wanted.foreground and session.agent is None:
        become(order)
    await start(order, session.env)
    if args.verbose:
        session.out(f"{args.volume} mounted on {path}")
    return 0


def _check(path: Path) -> None:
    from xos.xtreemfs.errors import NotMounted

    if not path.is_dir():
        raise NotMounted(path=str(path), detail="it is not a directory" if path.exists() else "it does not exist")


def umount_parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="umount.xtreemfs",
        description="Unmount a volume of XtreemFS. What was written is at the servers when it returns.",
    )
    made.add_argument("directory", metavar="DIR", help="where it is mounted")
    made.add_argument("-l", dest="lazy", action="store_true", help="even if it is in use: it goes when nobody uses it")
    for letter in "fnrv":
        made.add_argument(f"-{letter}", dest="ignored", action="store_true", help=argparse.SUPPRESS)
    return made


async def umount(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    import asyncio

    from xos.xtreemfs.fuse.mounting import unmount

    path = session.path(args.directory)
    await asyncio.to_thread(unmount, path, lazy=args.lazy)
    return 0


MOUNT = Command(name="mount.xtreemfs", parser=mount_parser, run=mount)
UMOUNT = Command(name="umount.xtreemfs", parser=umount_parser, run=umount)
