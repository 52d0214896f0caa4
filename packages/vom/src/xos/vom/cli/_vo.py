# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-vo`` does."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from xos.dixi.commands import Painted, Session, table
from xos.vom.api import User, UserState
from xos.vom.cli import _secrets, _show
from xos.vom.errors import UnknownVO
from xos.vom.policy import ADMIN_ROLE
from xos.vom.xati import XVOMSAsync

PAGE = 1000


async def create(args: argparse.Namespace, session: Session) -> None:
    """Make a VO."""
    vo = await XVOMSAsync(session.bus).create_vo(args.vo, args.description)
    if session.json:
        _show.as_json(session, vo)
    else:
        session.out(f"VO {vo.name} is there; add its first user: xos-vo add-user {vo.name} USER --roles {ADMIN_ROLE}")


async def list_(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """List VOs."""
    vos = await XVOMSAsync(session.bus).list_vos()
    if session.json:
        _show.as_json(session, vos)
        return
    rows = [(vo.name, str(vo.users), _show.moment(vo.created), vo.description) for vo in vos]
    _print_table(session, ("VO", "USERS", "CREATED", "DESCRIPTION"), rows, right=frozenset({1}))


async def show(args: argparse.Namespace, session: Session) -> None:
    """Show a VO or a user."""
    xvoms = XVOMSAsync(session.bus)
    if args.user is not None:
        _print_user(session, await xvoms.user_info(args.vo, args.user))
        return
    vo = next((vo for vo in await xvoms.list_vos() if vo.name == args.vo), None)
    if vo is None:
        raise UnknownVO(vo=args.vo)
    groups = await xvoms.list_groups(args.vo)
    if session.json:
        _show.as_json(session, {**_show.named(vo), "groups": groups})
        return
    _show.fields(
        session,
        [
            ("VO", vo.name),
            ("Description", vo.description or "-"),
            ("Created", _show.moment(vo.created)),
            ("Users", str(vo.users)),
            ("Groups", _show.names(group.name for group in groups)),
        ],
    )


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
    while page := await xvoms.list_users(args.vo, users[-1].name if users else "", PAGE):
        users += page
        if len(page) < PAGE:
            break
    if session.json:
        _show.as_json(session, users)
        return
    rows = [(u.name, _show.state(u), u.group, _show.names(u.groups), _show.names(u.roles)) for u in users]
    _print_table(session, ("USER", "STATE", "GROUP", "FURTHER GROUPS", "ROLES"), rows)


async def list_groups(args: argparse.Namespace, session: Session) -> None:
    """List the groups of a VO."""
    groups = await XVOMSAsync(session.bus).list_groups(args.vo)
    if session.json:
        _show.as_json(session, groups)
    else:
        _print_table(session, ("GROUP", "MEMBERS"), [(g.name, str(g.members)) for g in groups], right=frozenset({1}))


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


def _print_user(session: Session, user: User) -> None:
    if session.json:
        _show.as_json(session, user)
    else:
        _show.fields(session, _show.user_pairs(user))


def _print_table(
    session: Session,
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Painted]],
    right: frozenset[int] = frozenset(),
) -> None:
    columns = session.columns if session.is_tty else None
    session.out(table(headings, rows, columns=columns, colour=session.colour, right=right))


Action = Callable[[argparse.Namespace, Session], Awaitable[None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "create": create,
        "list": list_,
        "show": show,
        "add-user": add_user,
        "list-users": list_users,
        "list-groups": list_groups,
        "suspend": suspend,
        "resume": resume,
        "set-password": set_password,
    }
)
