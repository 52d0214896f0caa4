# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-map`` does."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import msgspec

from xos.dixi.commands import Colour, Painted, Session, clean, table
from xos.node import serving
from xos.node.api import Account, State
from xos.node.cli import _policy
from xos.node.client import ask
from xos.node.errors import BadRequest, UnknownAccount
from xos.node.sessions import Login


class Told(Account, frozen=True, kw_only=True):
    """An account as the daemon lists it."""

    home: str


async def question(args: argparse.Namespace, **fields: str) -> dict[str, str]:
    """The daemon's answer."""
    return await asyncio.to_thread(ask, fields, path=args.socket)


def as_json(session: Session, value: Any) -> None:
    """Print *value* as JSON."""
    session.out(msgspec.json.format(msgspec.json.encode(value)).decode())


async def every(args: argparse.Namespace) -> list[Told]:
    """All accounts, retired ones too, page by page."""
    found: list[Told] = []
    after = "0"
    while True:
        answer = await question(args, op="list", after=after)
        found += msgspec.json.decode(answer["accounts"], type=list[Told])
        if "next" not in answer:
            return found
        after = answer["next"]


async def list_(args: argparse.Namespace, session: Session) -> int:
    """``list``."""
    accounts = [each for each in await every(args) if args.vo in (None, each.vo)]
    _print(session, accounts)
    return 0


def _print(session: Session, accounts: Iterable[Told]) -> None:
    rows = list(accounts)
    if session.json:
        as_json(session, rows)
        return
    if not rows:
        session.err("There are no accounts.")
        return
    cells = [
        (str(each.uid), each.name, f"{each.owner}@{each.vo}", _state(each), _when(each.used), ", ".join(each.groups))
        for each in rows
    ]
    headings = ("UID", "NAME", "IDENTITY", "STATE", "LAST USED", "GROUPS")
    columns = session.columns if session.is_tty else None
    session.out(table(headings, cells, columns=columns, colour=session.colour, right={0}))


async def logins(args: argparse.Namespace, session: Session) -> int:
    """``logins``."""
    found = [login async for login in _logins(args)]
    if session.json:
        as_json(session, found)
        return 0
    if not found:
        session.err("Nobody is on record.")
        return 0
    cells = [
        (each.name, clean(each.service), clean(each.rhost or each.tty), _when(each.opened), _end(each))
        for each in found
    ]
    columns = session.columns if session.is_tty else None
    session.out(table(("NAME", "BY", "FROM", "BEGAN", "ENDED"), cells, columns=columns, colour=session.colour))
    return 0


async def _logins(args: argparse.Namespace) -> AsyncIterator[Login]:
    left, ask_for = max(args.most, 0), {"name": args.name}
    while left > 0:
        answer = await question(args, op="logins", **ask_for)
        for login in msgspec.json.decode(answer["logins"], type=list[Login])[:left]:
            left -= 1
            yield login
        if "next" not in answer:
            return
        ask_for["before"] = answer["next"]


def _end(login: Login) -> Painted:
    if login.open:
        return Painted("goes on", Colour.GREEN)
    return Painted(_when(login.closed) if login.closed is not None else "with the machine", None)


def _state(account: Account) -> Painted:
    return Painted(account.state.value, Colour.YELLOW if account.state is State.QUARANTINED else None)


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


async def show(args: argparse.Namespace, session: Session) -> int:
    """``show``."""
    found = [each for each in await every(args) if args.name in (each.name, str(each.uid), f"{each.owner}@{each.vo}")]
    if not found:
        raise UnknownAccount(name=args.name[:80])
    account = found[0]
    if session.json:
        as_json(session, account)
        return 0
    kind = "group" if account.shared else "user"
    pairs = {
        "Name": account.name,
        "Number": f"{account.uid} (user, and group {account.own_group})",
        "Identity": f"{kind} {account.owner} of VO {account.vo}",
        "VO groups": ", ".join(account.groups) or "-",
        "State": account.state.value,
        "Home": account.home,
        "Made": _when(account.made),
        "Last used": _when(account.used),
        "Authority": account.authority,
    }
    for name, value in pairs.items():
        session.out(f"{name:<10} {clean(value)}")
    return 0


async def retire(args: argparse.Namespace, session: Session) -> int:
    """``retire``."""
    if bool(args.names) == bool(args.vo):
        raise BadRequest(detail="name accounts, or a VO with --vo")
    fields = {"vo": args.vo} if args.vo else {"names": ",".join(args.names)}
    answer = await question(args, op="retire", **fields)
    gone = msgspec.json.decode(answer["accounts"], type=list[Told])
    if session.json:
        as_json(session, gone)
        return 0
    for account in gone:
        session.out(f"{clean(account.name)} is retired; {account.uid} stays taken while anything belongs to it.")
    for account in gone:
        session.err(f"  home: {clean(account.home)}; processes: pgrep -u {account.uid}")
    return 0


async def scan(args: argparse.Namespace, session: Session) -> int:
    """``scan``."""
    answer = await question(args, op="scan")
    if session.json:
        as_json(session, {"quarantined": int(answer["quarantined"])})
    else:
        session.out(
            f"Looking for what {answer['quarantined']} retired accounts own; the journal of xos-amsd tells more."
        )
    return 0


async def status(args: argparse.Namespace, session: Session) -> int:
    """``status``."""
    answer = await question(args, op="status")
    if session.json:
        as_json(session, {key: value for key, value in answer.items() if key != "ok"})
        return 0
    session.out(f"VOs         {answer['vos'].replace(',', ', ') or 'none: xos-map serve VO'}")
    if answer["withdrawn"]:
        session.out(f"Dissolved   {clean(answer['withdrawn']).replace(',', ', ')}: not served whatever node.toml says")
    session.out(f"Accounts    {answer['active']} active, {answer['quarantined']} retired")
    session.out(f"Policy      {clean(answer['policy'])}")
    if answer.get("not_looked_at"):
        session.out(f"No scan of  {clean(answer['not_looked_at'])}: files there may still belong to retired accounts")
    return 0


async def serve(args: argparse.Namespace, session: Session) -> int:
    """``serve``."""
    added = await asyncio.to_thread(serving.add, args.config, args.vo, args.trust, args.accounts)
    await question(args, op="reload")
    if session.json:
        as_json(session, added)
    else:
        session.out(
            f"Users of VO {args.vo} may use this machine, as USER.{args.vo}; numbers {added.uids.first} and up."
        )
    return 0


async def policy(args: argparse.Namespace, session: Session) -> int:
    """``policy``."""
    return await asyncio.to_thread(_policy.ACTIONS[args.policy], args, session)


ACTIONS: dict[str, Callable[[argparse.Namespace, Session], Awaitable[int]]] = {
    "list": list_,
    "show": show,
    "retire": retire,
    "scan": scan,
    "logins": logins,
    "status": status,
    "serve": serve,
    "policy": policy,
}
