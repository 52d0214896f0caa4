# SPDX-License-Identifier: BSD-3-Clause
"""``xos-vo``: administer Virtual Organisations."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from xos.dixi.commands import Command, Session, add_json
from xos.vom.cli._secrets import add_password_file


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="xos-vo",
        description="Administer Virtual Organisations, from creation to dissolution: members, requests, groups, roles.",
        epilog="VOs are made with the core machine's own certificate (as root on the core), or by users who have the "
        "role VOCreator; a VO is ruled by its VOManagers and administered by its VOAdmins. xos-resource looks after "
        "machines, xos-node makes join tokens for them.",
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        for argument in arguments:
            one.add_argument(argument.lower(), metavar=argument)
        add_json(one)
        return one

    _vos(action)
    _members(action)
    _requests(action)
    _labels(action)
    return made


Adder = Callable[..., argparse.ArgumentParser]


def _vos(action: Adder) -> None:
    create = action("create", "make a VO", "VO")
    create.add_argument("-d", "--description", metavar="TEXT", default="", help="one line that says what it is for")
    action("list", "list the VOs that you may see")
    show = action("show", "show a VO, or one of its users", "VO")
    show.add_argument("user", metavar="USER", nargs="?", help="this user of the VO")
    change = action("change", "change a VO; what no option names stays as it is", "VO")
    change.add_argument("-d", "--description", metavar="TEXT", help="one line that says what it is for")
    change.add_argument("--attributes", metavar="NAME,…", type=_list, help="the attributes that members may have")
    change.add_argument("--capabilities", metavar="NAME,…", type=_list, help="the capabilities that members may have")
    change.add_argument("--registration", choices=("open", "closed"), help="whether anybody may ask to be a member")
    _add_version(change)
    dissolve = action("dissolve", "dissolve a VO for ever; its archive stays", "VO")
    dissolve.add_argument("--yes", action="store_true", help="do not ask")
    action("archives", "list the archives of dissolved VOs")
    archive = action("archive", "show the archive of a dissolved VO, its signature checked", "VO")
    archive.add_argument("-o", "--out", metavar="FILE", help="write the signed archive there")


def _members(action: Adder) -> None:
    add = action("add-user", "add a user to a VO", "VO", "USER")
    _add_place(add)
    add_password_file(add)
    users = action("list-users", "list the users of a VO", "VO")
    users.add_argument("-s", "--search", metavar="TEXT", default="", help="a part of name, full name or e-mail address")
    users.add_argument("-g", "--group", metavar="GROUP", default="", help="only those who have this group")
    users.add_argument("-r", "--role", metavar="ROLE", default="", help="only those who have this role")
    change = action("change-user", "change a user; what no option names stays as it is", "VO", "USER")
    change.add_argument("-g", "--group", metavar="GROUP", help="primary group")
    for name in ("groups", "roles", "capabilities"):
        change.add_argument(f"--{name}", metavar="NAME,…", type=_list, help=f"all {name} from now on ('' for none)")
    change.add_argument(
        "--attribute", metavar="NAME=VALUE", action="append", help="set an attribute (NAME= takes it away)"
    )
    change.add_argument("--expires", metavar="DATE", help="last day of the membership, 2027-09-30 ('' for none)")
    change.add_argument("--full-name", metavar="NAME")
    change.add_argument("--email", metavar="ADDRESS")
    _add_version(change)
    action("remove-user", "take a user out of a VO; certificates already issued are revoked", "VO", "USER")
    imported = action("import", "add many users from CSV or LDIF: all, or none with each bad line named", "VO", "FILE")
    imported.add_argument("--form", choices=("csv", "ldif"), help="(default: by the file's name, else csv)")
    imported.add_argument("-n", "--dry-run", action="store_true", help="only check")
    action("suspend", "suspend a user: no new certificates, and those there are revoked", "VO", "USER")
    action("resume", "let a suspended user act again", "VO", "USER")
    password = action("set-password", "change a user's password", "VO", "USER")
    add_password_file(password)
    add_password_file(password, "--current-password-file", "present password")
    for name, text in (("link", "let a user log in by an identity elsewhere"), ("unlink", "end that")):
        action(name, text, "VO", "USER", "BACKEND", "SUBJECT")
    action("identities", "list what a user is linked to", "VO", "USER")
    action("memberships", "list the VOs that you are a member of")


def _requests(action: Adder) -> None:
    action("open", "list the VOs that take requests for membership")
    ask = action("ask", "ask to become a member of a VO; needs no certificate", "VO", "USER")
    ask.add_argument("--full-name", metavar="NAME", default="")
    ask.add_argument("--email", metavar="ADDRESS", default="")
    ask.add_argument("--reason", metavar="TEXT", default="", help="why you want to be one")
    add_password_file(ask)
    action("status", "tell what became of a request", "REQUEST")
    requests = action("requests", "list the requests for membership that wait", "VO")
    requests.add_argument("-a", "--all", action="store_true", help="those that are decided too")
    approve = action("approve", "make the person who asked a member", "VO", "REQUEST")
    _add_place(approve)
    refuse = action("refuse", "refuse a request", "VO", "REQUEST")
    refuse.add_argument("--answer", metavar="TEXT", default="", help="what the person is told")
    invite = action("invite", "make a code by which a user chooses a (new) password, once", "VO", "USER")
    invite.add_argument(
        "-H", "--hours", metavar="N", type=float, default=168.0, help="how long it is good (default: 168)"
    )
    accept = action("accept", "choose a password by an invitation; needs no certificate", "VO", "USER")
    add_password_file(accept, "--code-file", "invitation's code")
    add_password_file(accept)


def _labels(action: Adder) -> None:
    for what in ("group", "role"):
        action(f"list-{what}s", f"list the {what}s of a VO", "VO")
        add = action(f"add-{what}", f"add a {what} to a VO, or change its description", "VO", what.upper())
        add.add_argument("-d", "--description", metavar="TEXT", default="")
        action(f"remove-{what}", f"remove a {what} that nobody has", "VO", what.upper())


def _add_place(one: argparse.ArgumentParser) -> None:
    one.add_argument("-g", "--group", metavar="GROUP", default="users", help="primary group (default: users)")
    one.add_argument("-G", "--groups", metavar="GROUP,…", type=_list, default=(), help="further groups")
    one.add_argument(
        "-r", "--roles", metavar="ROLE,…", type=_list, default=(), help="roles; VOAdmin administers the VO"
    )


def _add_version(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--version",
        metavar="N",
        type=int,
        default=0,
        help="refuse if it is no longer at this version (see show --json)",
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


async def run(args: argparse.Namespace, session: Session) -> int:
    """Do it."""
    from xos.vom.cli import _members, _requests, _vo

    actions = {**_vo.ACTIONS, **_members.ACTIONS, **_requests.ACTIONS}
    return await actions[args.action](args, session) or 0


COMMAND = Command(name="xos-vo", parser=parser, run=run)
