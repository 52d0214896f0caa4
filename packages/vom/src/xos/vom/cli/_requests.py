# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-vo`` does about requests for membership and invitations."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from xos.common.errors import XosError
from xos.dixi.client import load_client, make_bus
from xos.dixi.commands import Session
from xos.vom.api import MembershipRequest, RequestState
from xos.vom.cli import _secrets, _show
from xos.vom.xati import RegistrationAsync

PAGE = 1000


@contextmanager
def _front_door(session: Session) -> Iterator[RegistrationAsync]:
    """Registration, for who may have no certificate yet."""
    try:
        credential = session.credential
    except XosError:
        credential = None
    config, trust = load_client(session.home)
    bus = make_bus(config, trust, credential)
    try:
        yield RegistrationAsync(bus)
    finally:
        bus.close()


async def open_(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """List the VOs that take requests."""
    with _front_door(session) as registration:
        vos = await registration.open_vos()
    if session.json:
        _show.as_json(session, vos)
    else:
        _show.print_table(session, ("VO", "DESCRIPTION"), [(vo.name, vo.description) for vo in vos])


async def ask(args: argparse.Namespace, session: Session) -> None:
    """Ask to become a member."""
    password = await _secrets.chosen(session, args.password_file, f"Password that you will have in {args.vo}")
    with _front_door(session) as registration:
        asked = await registration.ask(args.vo, args.user, password, args.full_name, args.email, args.reason)
    if session.json:
        _show.as_json(session, asked)
    else:
        session.out(asked.id)
        session.err(f"An administrator of {args.vo} decides; look with: xos-vo status {asked.id}")


async def status(args: argparse.Namespace, session: Session) -> None:
    """Tell what became of a request."""
    with _front_door(session) as registration:
        asked = await registration.status(args.request)
    if session.json:
        _show.as_json(session, asked)
        return
    answer = f": {asked.answer}" if asked.answer else ""
    session.out(f"{asked.name}@{asked.vo}: {asked.state.value}{answer}")


async def requests(args: argparse.Namespace, session: Session) -> None:
    """List requests, fetched in pages."""
    registration = RegistrationAsync(session.bus)
    found: list[MembershipRequest] = []
    state = None if args.all else RequestState.PENDING
    while page := await registration.list_requests(args.vo, state, found[-1].id if found else "", PAGE):
        found += page
        if len(page) < PAGE:
            break
    if session.json:
        _show.as_json(session, found)
        return
    rows = [
        (one.id, one.name, one.state.value, _show.moment(one.created), one.full_name, one.email, one.reason)
        for one in found
    ]
    _show.print_table(session, ("REQUEST", "USER", "STATE", "ASKED", "NAME", "E-MAIL", "REASON"), rows)


async def approve(args: argparse.Namespace, session: Session) -> None:
    """Approve a request."""
    user = await RegistrationAsync(session.bus).approve(args.vo, args.request, args.group, args.groups, args.roles)
    if session.json:
        _show.as_json(session, user)
    else:
        session.out(f"{user.name}@{user.vo} is a member; their certificate: get-xos-cert {user.vo} {user.name}")


async def refuse(args: argparse.Namespace, session: Session) -> None:
    """Refuse a request."""
    refused = await RegistrationAsync(session.bus).refuse(args.vo, args.request, args.answer)
    if session.json:
        _show.as_json(session, refused)
    else:
        session.out(f"the request of {refused.name} is refused")


async def invite(args: argparse.Namespace, session: Session) -> None:
    """Invite; on standard output there is the code alone."""
    made = await RegistrationAsync(session.bus).invite(args.vo, args.user, args.hours)
    if session.json:
        _show.as_json(session, made)
        return
    session.out(made.code)
    session.err(
        f"For {made.name}@{made.vo}, once, until {_show.moment(made.expires)}: xos-vo accept {made.vo} {made.name}"
    )


async def accept(args: argparse.Namespace, session: Session) -> None:
    """Choose a password."""
    code = await _secrets.known(session, args.code_file, "Code of the invitation")
    password = await _secrets.chosen(session, args.password_file, f"Password of {args.user}@{args.vo}")
    with _front_door(session) as registration:
        await registration.accept(args.vo, args.user, code, password)
    if session.json:
        _show.as_json(session, {"vo": args.vo, "name": args.user})
    else:
        session.out(f"{args.user}@{args.vo} has a password; the certificate: get-xos-cert {args.vo} {args.user}")


Action = Callable[[argparse.Namespace, Session], Awaitable[int | None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "open": open_,
        "ask": ask,
        "status": status,
        "requests": requests,
        "approve": approve,
        "refuse": refuse,
        "invite": invite,
        "accept": accept,
    }
)
