# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-vo`` does."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec

from xos.common.certificate import load_certificate
from xos.common.files import write_atomically
from xos.dixi.commands import Session
from xos.vom.api import VOChange
from xos.vom.archives import verify
from xos.vom.cli import _show
from xos.vom.errors import NotTheSame, UnusableFile
from xos.vom.policy import ADMIN_ROLE
from xos.vom.xati import CDAAsync, XVOMSAsync


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
    _show.print_table(session, ("VO", "USERS", "CREATED", "DESCRIPTION"), rows, right=frozenset({1}))


async def show(args: argparse.Namespace, session: Session) -> None:
    """Show a VO or a user."""
    xvoms = XVOMSAsync(session.bus)
    if args.user is not None:
        _show.print_user(session, await xvoms.user_info(args.vo, args.user))
        return
    vo = await xvoms.vo_info(args.vo)
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
            ("Created by", vo.creator or "-"),
            ("Users", str(vo.users)),
            ("Requests", f"{vo.requests} ({'open' if vo.registration else 'closed'})"),
            ("Resources", str(vo.resources)),
            ("Attributes", _show.names(vo.attributes)),
            ("Capabilities", _show.names(vo.capabilities)),
            ("Groups", _show.names(group.name for group in groups)),
        ],
    )


async def change(args: argparse.Namespace, session: Session) -> None:
    """Change a VO."""
    registration = None if args.registration is None else args.registration == "open"
    wanted = VOChange(args.description, registration, args.attributes, args.capabilities)
    vo = await XVOMSAsync(session.bus).change_vo(args.vo, wanted, args.version)
    if session.json:
        _show.as_json(session, vo)
    else:
        session.out(f"VO {vo.name} is changed (version {vo.version})")


async def dissolve(args: argparse.Namespace, session: Session) -> None:
    """Dissolve a VO, once its name has been typed again."""
    if not args.yes:
        session.err(f"This cannot be undone. Type {args.vo} to dissolve it:")
        typed = await session.stdin.read_line()
        if typed.strip() != args.vo.encode():
            raise NotTheSame(what="names")
    made = await XVOMSAsync(session.bus).dissolve_vo(args.vo)
    if session.json:
        _show.as_json(session, made)
    else:
        session.out(f"VO {made.vo} is dissolved, its certificates are revoked; what is left: xos-vo archive {made.vo}")


async def archives(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """List archives."""
    found = await XVOMSAsync(session.bus).list_archives()
    if session.json:
        _show.as_json(session, found)
        return
    rows = [(one.vo, _show.moment(one.dissolved), one.by, str(one.size), one.sha256) for one in found]
    _show.print_table(session, ("VO", "DISSOLVED", "BY", "BYTES", "SHA-256"), rows, right=frozenset({3}))


async def archive_(args: argparse.Namespace, session: Session) -> None:
    """Show an archive that the VO's manager has signed, or write it to a file."""
    content = await XVOMSAsync(session.bus).archive(args.vo)
    ca = load_certificate(await CDAAsync(session.bus).ca())
    said = verify(content, ca)
    if args.out is not None:
        path = session.path(args.out)
        try:
            write_atomically(path, content, 0o600)
        except OSError as error:
            raise UnusableFile(file=str(path), detail=error.strerror or str(error)) from error
        session.out(f"{path}: the archive of VO {args.vo}, signed by its manager")
        return
    session.out(msgspec.json.format(msgspec.json.encode(said), indent=0 if session.json else 2).decode())


Action = Callable[[argparse.Namespace, Session], Awaitable[int | None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "create": create,
        "list": list_,
        "show": show,
        "change": change,
        "dissolve": dissolve,
        "archives": archives,
        "archive": archive_,
    }
)
