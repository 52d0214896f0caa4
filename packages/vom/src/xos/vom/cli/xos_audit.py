# SPDX-License-Identifier: BSD-3-Clause
"""``xos-audit``: who did what, and whether the records are what was written."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-audit",
        description="Show the trail of administrative acts of a VO, certify the chains of records, and verify them.",
        epilog="The core machine signs the head of each chain beside the database. A VO's manager certifies it "
        "besides, and the certified head stays in ~/.xos/heads: whatever is changed later in what came before, shows.",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        add_json(one)
        return one

    trail = action("trail", "show who did what, when and from where")
    trail.add_argument("vo", metavar="VO", nargs="?", default="", help="(default: all, for the core machine)")
    trail.add_argument("--who", metavar="NAME", default="", help="by this user (alice@demo) or machine only")
    trail.add_argument("--act", metavar="ACT", default="", help="this act only (policy-put, quota-set, …)")
    trail.add_argument("--target", metavar="NAME", default="", help="done to this only")
    trail.add_argument("-n", "--limit", metavar="N", type=int, default=50, help="at most so many (default: 50)")
    action("heads", "show where the chains stand, and who has certified that")
    action("certify", "sign the heads of the chains, once what was certified before is still in them")
    verify = action("verify", "look for entries that were changed, removed, moved or cut off")
    verify.add_argument("--log", choices=("audit", "usage"), help="this chain only")
    verify.add_argument(
        "--directory",
        metavar="DIR",
        help="the VO core's own directory: its database is read as it lies there (default: ask the service)",
    )
    verify.add_argument(
        "--trust", metavar="FILE", help="with --directory: the VO CA's certificate (default: DIR/ca/ca.pem)"
    )
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _audit

    await _audit.ACTIONS[args.action](args, session)
    return 0


COMMAND = Command(name="xos-audit", parser=parser, run=run)
