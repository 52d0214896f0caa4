# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-resource`` does."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec

from xos.dixi.client import load_client
from xos.dixi.commands import Colour, Painted, Session
from xos.vom import word
from xos.vom.api import Resource, ResourceState
from xos.vom.cli import _show
from xos.vom.errors import BadRequest
from xos.vom.xati import RCAAsync

PAGE = 1000
COLOURS: Mapping[ResourceState, Colour] = MappingProxyType(
    {ResourceState.PENDING: Colour.YELLOW, ResourceState.WITHDRAWN: Colour.RED}
)


async def list_(args: argparse.Namespace, session: Session) -> None:
    """List machines, fetched in pages."""
    rca = RCAAsync(session.bus)
    state = None if args.state is None else ResourceState(args.state)
    found: list[Resource] = []
    while page := await rca.list_resources(args.vo, found[-1].node if found else "", PAGE, state):
        found += page
        if len(page) < PAGE:
            break
    if session.json:
        _show.as_json(session, found)
        return
    rows = [
        (
            one.node,
            _state(one),
            str(one.attributes.cores or "-"),
            _size(one.attributes.memory),
            one.attributes.architecture or "-",
            one.attributes.site or "-",
            _vos(one),
        )
        for one in found
    ]
    headings = ("NODE", "STATE", "CORES", "MEMORY", "ARCHITECTURE", "SITE", "VOS")
    _show.print_table(session, headings, rows, right=frozenset({2, 3}))


async def show(args: argparse.Namespace, session: Session) -> None:
    """Show a machine."""
    _print(session, await RCAAsync(session.bus).resource_info(args.node))


async def approve(args: argparse.Namespace, session: Session) -> None:
    """Approve a machine."""
    _say(session, await RCAAsync(session.bus).approve(args.node, args.fingerprint), "may join now")


async def withdraw(args: argparse.Namespace, session: Session) -> None:
    """Withdraw a machine."""
    _say(session, await RCAAsync(session.bus).withdraw(args.node), "is out of the grid; its certificates are revoked")


async def attributes(args: argparse.Namespace, session: Session) -> None:
    """Certify other attributes."""
    rca = RCAAsync(session.bus)
    there = await rca.resource_info(args.node)
    names = ("cores", "memory", "architecture", "site", "flavour")
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if not said:
        raise BadRequest(what="attributes", detail="name at least one, such as --site")
    told = msgspec.structs.replace(there.attributes, **said)
    _say(session, await rca.set_attributes(args.node, told, there.version), "fetches a new certificate by itself")


async def add(args: argparse.Namespace, session: Session) -> None:
    """Add a machine to a VO."""
    _say(session, await RCAAsync(session.bus).add_to_vo(args.node, args.vo), f"is a resource of {args.vo}")


async def remove(args: argparse.Namespace, session: Session) -> None:
    """Take a machine out of a VO."""
    _say(session, await RCAAsync(session.bus).remove_from_vo(args.node, args.vo), f"is no resource of {args.vo}")


async def token(args: argparse.Namespace, session: Session) -> None:
    """Make a join word; on standard output there is nothing else."""
    made = await RCAAsync(session.bus).create_token(args.node, args.minutes, tuple(args.address), args.vo)
    config, _ = load_client(session.home)
    core = config.directory
    one = word.of_token(made, front_door=core.front_door or core.address, directory=core.address)
    if session.json:
        _show.as_json(session, {**_show.named(made), "word": one})
        return
    session.out(one)
    session.err(f"For {made.node}, once, until {_show.moment(made.expires)}. It is not kept: copy it now.")
    session.err(f"On {made.node}, as root: xos-setup resource --token WORD")


def _say(session: Session, resource: Resource, what: str) -> None:
    if session.json:
        _show.as_json(session, resource)
    else:
        session.out(f"{resource.node} {what}")


def _print(session: Session, resource: Resource) -> None:
    if session.json:
        _show.as_json(session, resource)
        return
    told = resource.attributes
    _show.fields(
        session,
        [
            ("Node", resource.node),
            ("State", _state(resource)),
            ("Roles", _show.names(resource.roles)),
            ("Addresses", _show.names(resource.addresses)),
            ("VOs", _vos(resource)),
            ("Cores", str(told.cores or "-")),
            ("Memory", _size(told.memory)),
            ("Architecture", told.architecture or "-"),
            ("Site", told.site or "-"),
            ("Flavour", told.flavour or "-"),
            ("Since", _show.moment(resource.joined)),
            ("Certificate until", _show.moment(resource.not_after) if resource.not_after else "-"),
            ("Approved by", resource.approved_by or "-"),
        ],
    )


def _state(resource: Resource) -> Painted:
    return Painted(resource.state.value, COLOURS.get(resource.state))


def _vos(resource: Resource) -> str:
    return ", ".join(resource.vos) or ("all" if resource.state is ResourceState.ACTIVE else "-")


def _size(memory: int) -> str:
    return f"{memory / (1 << 30):.1f} GiB" if memory else "-"


Action = Callable[[argparse.Namespace, Session], Awaitable[None]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "list": list_,
        "show": show,
        "approve": approve,
        "withdraw": withdraw,
        "attributes": attributes,
        "add": add,
        "remove": remove,
        "token": token,
    }
)
