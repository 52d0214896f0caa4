# SPDX-License-Identifier: BSD-3-Clause
"""``xos-map``: VO users on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from xos.dixi.commands import Command, Session, add_json
from xos.node.api import CONFIG, SOCKET


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-map",
        description="VO users on this machine: which VOs it serves, the accounts that they have, its own policy.",
        epilog="As root. It asks xos-amsd; `policy` reads files itself.",
    )
    made.add_argument("--socket", type=Path, default=SOCKET, metavar="PATH", help=argparse.SUPPRESS)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        add_json(one)
        return one

    listed = action("list", "list the accounts of VO users")
    listed.add_argument("--vo", metavar="VO", help="those of one VO")
    action("show", "show an account").add_argument("name", metavar="NAME", help="such as alice.demo, or a number")
    logins = action("logins", "list who logged in, the latest first")
    logins.add_argument("name", metavar="NAME", nargs="?", default="", help="only of this account")
    logins.add_argument("-n", "--most", metavar="N", type=int, default=50, help="at most so many (default: 50)")
    retire = action(
        "retire", "retire accounts: nobody has them any more, their numbers stay taken while they own something"
    )
    retire.add_argument("names", metavar="NAME", nargs="*", help="such as alice.demo")
    retire.add_argument("--vo", metavar="VO", help="all accounts of a VO")
    action("scan", "look now whether retired accounts still own something")
    action("status", "show what is served and how many accounts there are")
    serve = action("serve", "let the users of a VO use this machine")
    serve.add_argument("vo", metavar="VO")
    serve.add_argument(
        "--trust",
        type=Path,
        default=Path("/var/lib/xos/resource/trust"),
        metavar="DIR",
        help="directory with ca.pem and crl.der (default: %(default)s, where the node's daemon keeps them)",
    )
    serve.add_argument(
        "--accounts", choices=("user", "pool", "group"), default="user",
        help="one for each user (default), the same but retired when idle, or one for each VO group",
    )  # fmt: skip
    serve.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="default: %(default)s")
    _add_policy(action("policy", "check this machine's policy, or explain what it says"))
    return made


def _add_policy(policy: argparse.ArgumentParser) -> None:
    actions = policy.add_subparsers(dest="policy", required=True, metavar="check|explain")
    check = actions.add_parser("check", help="check a file", description="Check a file of rules.")
    explain = actions.add_parser(
        "explain", help="say what the rules decide", description="Say what the rules decide, and which of them."
    )
    for one in (check, explain):
        one.add_argument("--file", metavar="FILE", help="a draft (default: the file in force)")
        one.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="default: %(default)s")
        add_json(one)
    explain.add_argument("identity", metavar="USER@VO")
    explain.add_argument("-a", "--action", dest="what", choices=("login", "runJob"), default="login")
    explain.add_argument("-g", "--group", metavar="GROUP", default="users", help="primary group (default: users)")
    explain.add_argument("-G", "--groups", metavar="GROUP,…", type=_list, default=(), help="further groups")
    explain.add_argument("-r", "--roles", metavar="ROLE,…", type=_list, default=(), help="roles")
    explain.add_argument("--service", metavar="NAME", default="sshd", help="PAM service (default: sshd)")
    explain.add_argument("--host", metavar="ADDRESS", default="", help="where the login comes from")
    explain.add_argument("--at", metavar="TIME", default="", help="when, as 2026-12-24T18:00 (UTC; default: now)")


def _list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.node.cli import _map

    return await _map.ACTIONS[args.action](args, session)


COMMAND = Command(name="xos-map", parser=parser, run=run)
