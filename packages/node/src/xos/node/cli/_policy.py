# SPDX-License-Identifier: BSD-3-Clause
"""``xos-map policy``: a file of rules checked, or asked, before it is in force."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from xos.common.identity import Identity, Kind
from xos.common.policy import Action, JobContext, LoginContext, Request, Time
from xos.dixi.commands import Session
from xos.node.config import load_node
from xos.node.errors import BadRequest
from xos.node.policy import read_rules, this_node


def check(args: argparse.Namespace, session: Session) -> int:
    """Whether the file is right. Raises `PolicyInvalid` when not."""
    path = _file(args, session)
    rules = read_rules(path).rules
    if session.json:
        session.out(msgspec.json.encode({"file": str(path), "rules": [rule.name for rule in rules]}).decode())
    else:
        session.out(f"{path} is right: {len(rules)} rules")
    return 0


def explain(args: argparse.Namespace, session: Session) -> int:
    """What the rules say: 0 if allowed, else 1."""
    user, at, vo = args.identity.partition("@")
    if not user or not at or not vo:
        raise BadRequest(detail=f"{args.identity[:80]!r} is not USER@VO")
    when = Time.at(_moment(args.at))
    who = Identity(Kind.USER, user, vo=vo, group=args.group, groups=args.groups, roles=args.roles)
    action = Action(args.what)
    context: LoginContext | JobContext = JobContext(time=when)
    if action is Action.LOGIN:
        context = LoginContext(service=args.service, remote_host=args.host, time=when)
    decision = read_rules(_file(args, session)).decide(Request(who, action, this_node(), context))
    if session.json:
        told = {"allowed": decision.allowed, "reasons": decision.reasons, "errors": decision.errors}
        session.out(msgspec.json.encode(told).decode())
    else:
        session.out(decision.explain())
        for error in decision.errors:
            session.err(error)
    return 0 if decision.allowed else 1


def _file(args: argparse.Namespace, session: Session) -> Path:
    return session.path(args.file) if args.file else load_node(args.config).policy


def _moment(text: str) -> float:
    if not text:
        return time.time()
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError as error:
        raise BadRequest(detail=f"{text[:80]!r} is no time") from error


ACTIONS: dict[str, Callable[[argparse.Namespace, Session], int]] = {"check": check, "explain": explain}
