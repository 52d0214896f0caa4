# SPDX-License-Identifier: BSD-3-Clause
"""``xos-vo``: administer Virtual Organisations."""

from __future__ import annotations

import argparse

from xos.dixi.commands import Command, Session, add_json
from xos.vom.cli._secrets import add_password_file


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-vo",
        description="Administer Virtual Organisations: make them, add users, suspend them.",
        epilog="VOs are made with the core machine's own certificate (as root on the core); a VO's users are "
        "administered with that, or by users who have the role VOAdmin in it. xos-node makes join tokens for machines.",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        for argument in arguments:
            one.add_argument(argument.lower(), metavar=argument)
        add_json(one)
        return one

    create = action("create", "make a VO", "VO")
    create.add_argument("-d", "--description", metavar="TEXT", default="", help="one line that says what it is for")
    action("list", "list the VOs that you may see")
    show = action("show", "show a VO, or one of its users", "VO")
    show.add_argument("user", metavar="USER", nargs="?", help="this user of the VO")
    add = action("add-user", "add a user to a VO", "VO", "USER")
    add.add_argument("-g", "--group", metavar="GROUP", default="users", help="primary group (default: users)")
    add.add_argument("-G", "--groups", metavar="GROUP,…", type=_list, default=(), help="further groups")
    add.add_argument(
        "-r", "--roles", metavar="ROLE,…", type=_list, default=(), help="roles; VOAdmin administers the VO"
    )
    add_password_file(add)
    action("list-users", "list the users of a VO", "VO")
    action("list-groups", "list the groups of a VO", "VO")
    action("suspend", "suspend a user: no new certificates, and those there are revoked", "VO", "USER")
    action("resume", "let a suspended user act again", "VO", "USER")
    password = action("set-password", "change a user's password", "VO", "USER")
    add_password_file(password)
    add_password_file(password, "--current-password-file", "present password")
    return made


def _list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _vo

    await _vo.ACTIONS[args.action](args, session)
    return 0


COMMAND = Command(name="xos-vo", parser=parser, run=run)
