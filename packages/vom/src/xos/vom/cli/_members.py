# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-vo`` does to members, groups and roles."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from xos.dixi.commands import Session
from xos.vom.api import User, UserChange, UserState
from xos.vom.cli import _secrets, _show
from xos.vom.dates import last_moment
from xos.vom.errors import BadRequest, UnusableFile
from xos.vom.policy import ADMIN_ROLE
from xos.vom.xati import XVOMSAsync

PAGE = 1000
LARGEST_LIST = 8 * 1024 * 1024


async def add_user(args: argparse.Namespace, session: Session) -> None:
    """Add a user."""
    password = await _secrets.chosen(session, args.password_file, f"Password for {args.user}@{args.vo}")
    user = await XVOMSAsync(session.bus).add_user(args.vo, args.user, password, args.group, args.groups, args.roles)
    if session.json:
        _show.as_json(session, user)
    else:
        session.out(f"{user.name}@{user.vo} is a member; their certificate: get-xos-cert {user.vo} {user.name}")


async def list_users(args: argparse.Namespace, session: Session) -> None:
    """List the users of a VO, fetched in pages."""
    xvoms = XVOMSAsync(session.bus)
    users: list[User] = []
    while page := await xvoms.list_users(
        args.vo, users[-1].name if users else "", PAGE, args.search, args.group, args.role
    ):
        users += page
        if len(page) < PAGE:
            break
    if session.json:
        _show.as_json(session, users)
        return
    rows = [(u.name, _show.state(u), u.group, _show.names(u.groups), _show.names(u.roles)) for u in users]
    _show.print_table(session, ("USER", "STATE", "GROUP", "FURTHER GROUPS", "ROLES"), rows)


async def list_groups(args: argparse.Namespace, session: Session) -> None:
    """List the groups of a VO."""
    groups = await XVOMSAsync(session.bus).list_groups(args.vo)
    if session.json:
        _show.as_json(session, groups)
    else:
        rows = [(one.name, str(one.members), one.description) for one in groups]
        _show.print_table(session, ("GROUP", "MEMBERS", "DESCRIPTION"), rows, right=frozenset({1}))


async def suspend(args: argparse.Namespace, session: Session) -> None:
    """Suspend a user."""
    user = await XVOMSAsync(session.bus).set_user_state(args.vo, args.user, UserState.SUSPENDED)
    _print_change(session, user, "is suspended; certificates issued so far are revoked")


async def resume(args: argparse.Namespace, session: Session) -> None:
    """Let a user act again."""
    user = await XVOMSAsync(session.bus).set_user_state(args.vo, args.user, UserState.ACTIVE)
    _print_change(session, user, "may act again, with a new certificate")


async def set_password(args: argparse.Namespace, session: Session) -> None:
    """Change a password; the present one is asked for when it is one's own."""
    who = f"{args.user}@{args.vo}"
    identity = session.credential.identity
    current = None
    if args.current_password_file is not None or (
        (identity.vo, identity.name) == (args.vo, args.user) and ADMIN_ROLE not in identity.roles
    ):
        current = await _secrets.known(session, args.current_password_file, f"Present password of {who}")
    password = await _secrets.chosen(session, args.password_file, f"New password of {who}")
    await XVOMSAsync(session.bus).set_password(args.vo, args.user, password, current)
    if session.json:
        _show.as_json(session, {"vo": args.vo, "name": args.user})
    else:
        session.out(f"{who} has a new password")


def _print_change(session: Session, user: User, what: str) -> None:
    if session.json:
        _show.as_json(session, user)
    else:
        session.out(f"{user.name}@{user.vo} {what}")


async def change_user(args: argparse.Namespace, session: Session) -> None:
    """Change a user."""
    xvoms = XVOMSAsync(session.bus)
    attributes, version = None, args.version
    if args.attribute is not None:
        there = await xvoms.user_info(args.vo, args.user)
        attributes = _attributes(dict(there.attributes), args.attribute)
        version = version or there.version  # what was not named must still be as it was read
    change = UserChange(
        args.group,
        args.groups,
        args.roles,
        args.capabilities,
        attributes,
        None if args.expires is None else last_moment(args.expires),
        args.full_name,
        args.email,
    )
    _print_change(session, await xvoms.change_user(args.vo, args.user, change, version), "is changed")


def _attributes(there: dict[str, str], said: list[str]) -> tuple[tuple[str, str], ...]:
    for text in said:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(what="--attribute", detail="NAME=VALUE")
        there[name] = value
    return tuple((name, value) for name, value in sorted(there.items()) if value)


async def remove_user(args: argparse.Namespace, session: Session) -> None:
    """Remove a user."""
    await XVOMSAsync(session.bus).remove_user(args.vo, args.user)
    _print_change(session, User(args.vo, args.user), "is no longer a member; certificates issued so far are revoked")


async def import_(args: argparse.Namespace, session: Session) -> int:
    """Import a list: checked first, so that every bad line is named."""
    text = await _read(session, args.file)
    form = args.form or ("ldif" if args.file.lower().endswith((".ldif", ".ldf")) else "csv")
    xvoms = XVOMSAsync(session.bus)
    checked = await xvoms.import_users(args.vo, text, form, dry_run=True, deadline=120.0)
    if checked.problems:
        if session.json:
            _show.as_json(session, checked)
        for one in () if session.json else checked.problems:
            session.err(f"{args.file}:{one.line}: {one.detail}")
        session.err(f"xos-vo: nothing was imported; {len(checked.problems)} lines are to be corrected")
        return 2
    done = checked if args.dry_run else await xvoms.import_users(args.vo, text, form, deadline=120.0)
    if session.json:
        _show.as_json(session, done)
        return 0
    word = "would be" if args.dry_run else "are"
    session.out(f"{done.added} users {word} new in {args.vo}, {done.unchanged} were there already")
    rows = [(one.name, one.code, _show.moment(one.expires)) for one in done.invitations]
    if rows:
        _show.print_table(session, ("USER", "CODE", "GOOD UNTIL"), rows)
        session.err(
            "Each chooses a password by their code: xos-vo accept VO USER. The codes are not kept: copy them now."
        )
    return 0


async def _read(session: Session, name: str) -> str:
    if name == "-":
        lines = []
        while line := await session.stdin.read_line():
            lines.append(line)
        data = b"".join(lines)
    else:
        path = session.path(name)
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_LIST + 1)
        except OSError as error:
            raise UnusableFile(file=str(path), detail=error.strerror or str(error)) from error
    if len(data) > LARGEST_LIST:
        raise BadRequest(what=name, detail=f"at most {LARGEST_LIST} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(what=name, detail=f"it is not UTF-8 (byte {error.start})") from error


async def link(args: argparse.Namespace, session: Session) -> None:
    """Link an identity."""
    await XVOMSAsync(session.bus).link_identity(args.vo, args.user, args.backend, args.subject)
    _print_change(session, User(args.vo, args.user), f"may log in as {args.subject} by {args.backend}")


async def unlink(args: argparse.Namespace, session: Session) -> None:
    """Unlink an identity."""
    await XVOMSAsync(session.bus).unlink_identity(args.vo, args.user, args.backend, args.subject)
    _print_change(session, User(args.vo, args.user), f"is no longer {args.subject} by {args.backend}")


async def identities(args: argparse.Namespace, session: Session) -> None:
    """List identities."""
    found = await XVOMSAsync(session.bus).list_identities(args.vo, args.user)
    if session.json:
        _show.as_json(session, found)
    else:
        _show.print_table(session, ("BACKEND", "SUBJECT"), [(one.backend, one.subject) for one in found])


async def memberships(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """List one's VOs."""
    found = await XVOMSAsync(session.bus).memberships()
    if session.json:
        _show.as_json(session, found)
        return
    rows = [(one.vo, one.name, _show.state(one), one.group, _show.names(one.roles)) for one in found]
    _show.print_table(session, ("VO", "USER", "STATE", "GROUP", "ROLES"), rows)


async def list_roles(args: argparse.Namespace, session: Session) -> None:
    """List the roles of a VO."""
    roles = await XVOMSAsync(session.bus).list_roles(args.vo)
    if session.json:
        _show.as_json(session, roles)
    else:
        rows = [(one.name, str(one.members), one.description) for one in roles]
        _show.print_table(session, ("ROLE", "MEMBERS", "DESCRIPTION"), rows, right=frozenset({1}))


async def add_group(args: argparse.Namespace, session: Session) -> None:
    """Add a group."""
    made = await XVOMSAsync(session.bus).add_group(args.vo, args.group, args.description)
    _print_label(session, made.name, made, "is there")


async def add_role(args: argparse.Namespace, session: Session) -> None:
    """Add a role."""
    made = await XVOMSAsync(session.bus).add_role(args.vo, args.role, args.description)
    _print_label(session, made.name, made, "is there")


async def remove_group(args: argparse.Namespace, session: Session) -> None:
    """Remove a group."""
    await XVOMSAsync(session.bus).remove_group(args.vo, args.group)
    _print_label(session, args.group, {"vo": args.vo, "name": args.group}, "is gone")


async def remove_role(args: argparse.Namespace, session: Session) -> None:
    """Remove a role."""
    await XVOMSAsync(session.bus).remove_role(args.vo, args.role)
    _print_label(session, args.role, {"vo": args.vo, "name": args.role}, "is gone")


def _print_label(session: Session, name: str, made: object, what: str) -> None:
    if session.json:
        _show.as_json(session, made)
    else:
        session.out(f"{name} {what}")


Action = Callable[[argparse.Namespace, Session], Awaitable[int | None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "add-user": add_user,
        "list-users": list_users,
        "change-user": change_user,
        "remove-user": remove_user,
        "import": import_,
        "suspend": suspend,
        "resume": resume,
        "set-password": set_password,
        "link": link,
        "unlink": unlink,
        "identities": identities,
        "memberships": memberships,
        "list-groups": list_groups,
        "add-group": add_group,
        "remove-group": remove_group,
        "list-roles": list_roles,
        "add-role": add_role,
        "remove-role": remove_role,
    }
)
