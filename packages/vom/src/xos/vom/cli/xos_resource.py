# SPDX-License-Identifier: BSD-3-Clause
"""``xos-resource``: look after the machines of the grid and of a VO."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-resource",
        description="Look after the machines of the grid: approve, describe and withdraw them, and say whose they are.",
        epilog="Most needs the core machine's own certificate (as root on the core). A VO's ResourceAdmins list its "
        "resources, make join words for new ones, and take them out.",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        for argument in arguments:
            one.add_argument(argument.lower(), metavar=argument)
        add_json(one)
        return one

    listed = action("list", "list machines, with what is certified of them")
    listed.add_argument("vo", metavar="VO", nargs="?", default="", help="those that serve this VO (default: all)")
    listed.add_argument("-s", "--state", choices=("pending", "active", "withdrawn"), help="only these")
    action("show", "show a machine", "NODE")
    approve = action("approve", "let a machine that asked into the grid", "NODE")
    approve.add_argument("-f", "--fingerprint", metavar="SHA256", default="", help="only if it asked with that key")
    action("withdraw", "take a machine out of the grid, or refuse it; its certificates are revoked", "NODE")
    attributes = action("attributes", "certify other attributes of a machine; others stay as they are", "NODE")
    attributes.add_argument("--cores", metavar="N", type=int, help="processor cores")
    attributes.add_argument("--memory", metavar="BYTES", type=int, help="bytes of memory")
    for name in ("architecture", "site", "flavour"):
        attributes.add_argument(f"--{name}", metavar="NAME", help=f"the {name}")
    action("add", "make a machine a resource of a VO (and of no others than its VOs)", "NODE", "VO")
    action("remove", "take a machine out of a VO; one that has no VO left is withdrawn", "NODE", "VO")
    token = action("token", "make a join word for a new resource of a VO", "NODE", "VO")
    token.add_argument("-a", "--address", metavar="IP", action="append", default=[], help="certify this address too")
    text = "how long it is good (default: 60)"
    token.add_argument("-m", "--minutes", metavar="N", type=float, default=60.0, help=text)
    return made


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _resource

    await _resource.ACTIONS[args.action](args, session)
    return 0


COMMAND = Command(name="xos-resource", parser=parser, run=run)
