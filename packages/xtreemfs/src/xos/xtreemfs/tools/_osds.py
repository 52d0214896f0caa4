# SPDX-License-Identifier: BSD-3-Clause
"""What ``xtfs_chstatus`` and ``xtfs_scrub`` do."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from xos.dixi.commands import Colour, Painted, Session
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import Health, Pair, ServiceRecord, ShareState, Status
from xos.xtreemfs.tools import _show, _where
from xos.xtreemfs.tools.errors import BadArgument, NoOsd
from xos.xtreemfs.xati import DIRAsync, OSDAsync

PAGE = 1000


async def status(args: argparse.Namespace, session: Session) -> int:
    """``xtfs_chstatus``."""
    registry = DIRAsync(session.bus)
    if args.backup is not None or args.no_backup:
        return await _backup(args, session, registry)
    if args.status is not None:
        changed = await registry.set_status(args.node, Status(args.status), deadline=_where.SECONDS)
        if session.json:
            _show.as_json(session, _show.named(changed))
        else:
            session.out(f"OSD {changed.node} is {changed.status.value}")
        return 0
    found = await registry.services("", deadline=_where.SECONDS)
    pairs = {
        node: pair for pair in await registry.pairs(deadline=_where.SECONDS) for node in (pair.primary, pair.backup)
    }
    if args.node is not None:
        found = [one for one in found if one.node == args.node]
        if not found:
            raise NoOsd(node=args.node)
    if session.json:
        _show.as_json(session, [_show.named(one) | _paired(one, pairs) for one in found])
        return 0
    _show.print_table(
        session,
        ("SERVICE", "NODE", "STATUS", "HEARD", "SIZE", "FREE", "LOAD", "ATTRIBUTES"),
        [_service(one, pairs) for one in found],
        right=frozenset({4, 5, 6}),
    )
    return 0


async def _backup(args: argparse.Namespace, session: Session, registry: DIRAsync) -> int:
    """Give an MRC a backup, or take it away."""
    if args.node is None or args.status is not None:
        raise BadArgument(option="--backup" if args.backup else "--no-backup", detail="goes with NODE and no STATUS")
    pair = await registry.set_backup(args.node, args.backup or "", deadline=_where.SECONDS)
    if session.json:
        _show.as_json(session, None if pair is None else _show.named(pair))
    elif args.backup:
        session.out(f"MRC {args.backup} is the backup of {args.node}; xtfs_chstatus shows when it is in step")
    else:
        session.out(f"MRC {args.node} goes on alone")
    return 0


def _paired(one: ServiceRecord, pairs: Mapping[str, Pair]) -> dict[str, object]:
    pair = pairs.get(one.node) if one.kind == "MRC" else None
    return {} if pair is None else {"pair": _show.named(pair)}


def _standing(node: str, pair: Pair) -> str | Painted:
    if pair.backup == node:
        return f"backup of {pair.primary}"
    if pair.backup:
        return "in step" if pair.synced else Painted("backup not in step", Colour.YELLOW)
    return "no backup"


def _service(one: ServiceRecord, pairs: Mapping[str, Pair]) -> Sequence[str | Painted]:
    ago = max(0.0, time.time() - one.heard / 1e9)
    osd = one.kind == "OSD"
    return (
        one.kind,
        one.node,
        _status(one, pairs),
        f"{ago:.0f} s ago",
        _show.human(one.total) if osd else "-",
        _show.human(one.free) if osd else "-",
        f"{one.load:.1f}" if osd else "-",
        ", ".join(f"{name}={value}" for name, value in one.attributes),
    )


def _status(one: ServiceRecord, pairs: Mapping[str, Pair]) -> str | Painted:
    if one.suspect:
        return Painted("suspect", Colour.RED)
    pair = pairs.get(one.node) if one.kind == "MRC" else None
    return one.status.value if pair is None else _standing(one.node, pair)


async def osds(bus: HasCallers, wanted: Sequence[str]) -> list[ServiceRecord]:
    """The OSDs that are registered; only those *wanted*, if any. Raises `NoOsd`."""
    found = await DIRAsync(bus).services("OSD", deadline=_where.SECONDS)
    names = {one.node for one in found}
    for name in wanted:
        if name not in names:
            raise NoOsd(node=name)
    return [one for one in found if not wanted or one.node in wanted]


async def shares(bus: HasCallers, node: str) -> AsyncIterator[ShareState]:
    """All shares of an OSD, fetched in pages."""
    after = ""
    while page := await OSDAsync(bus, node).shares(after, PAGE, deadline=_where.SECONDS):
        for share in page:
            yield share
        after = page[-1].file_id


async def scrub(args: argparse.Namespace, session: Session) -> int:
    """``xtfs_scrub``."""

    async def ask(record: ServiceRecord) -> tuple[str, Health]:
        osd = OSDAsync(session.bus, record.node)
        if args.start:
            await osd.scrub(deadline=_where.SECONDS)
        return record.node, await osd.health(deadline=_where.SECONDS)

    found, missing = await _where.each(session, await osds(session.bus, args.osds), ask)
    damaged: list[tuple[str, ShareState]] = []
    if args.files:
        for node, health in found:
            if health.damaged:
                damaged += [(node, share) async for share in shares(session.bus, node) if share.damaged]
    if session.json:
        told = {node: _show.named(health) for node, health in found}
        files = [{"osd": node} | _show.named(share) for node, share in damaged]
        _show.as_json(session, {"osds": told} | ({"damaged": files} if args.files else {}))
    else:
        headings = ("OSD", "SHARES", "READ", "DAMAGED", "SIZE", "FREE", "STATE")
        _show.print_table(session, headings, [_health(*one) for one in found], right=frozenset({1, 2, 3, 4, 5}))
        for node, share in damaged:
            session.out(f"{node}: file {share.file_id}: {share.damaged} damaged blocks")
    return int(missing or any(health.damaged for _, health in found))


def _health(node: str, health: Health) -> Sequence[str | Painted]:
    state = "read-only" if health.read_only else "full" if health.full else "ok"
    return (
        node,
        str(health.shares),
        str(health.scrubbed) if health.scrubbed >= 0 else "all" if health.rounds else "-",
        Painted(str(health.damaged), Colour.RED) if health.damaged else "0",
        _show.human(health.total),
        _show.human(health.free),
        state if state == "ok" else Painted(state, Colour.RED),
    )
