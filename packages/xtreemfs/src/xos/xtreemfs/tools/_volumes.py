# SPDX-License-Identifier: BSD-3-Clause
"""What ``mkfs.xtreemfs``, ``rmfs.xtreemfs`` and ``lsfs.xtreemfs`` do."""

from __future__ import annotations

import argparse
from collections import Counter

from xos.dixi.commands import Session
from xos.xtreemfs.api import Ask, Policy, ServiceRecord, Volume
from xos.xtreemfs.tools import _show, _where
from xos.xtreemfs.xati import DIRAsync, MRCAsync

MAKE_SECONDS = 30.0
REMOVE_SECONDS = 600.0
"""A full volume is emptied."""


async def make(args: argparse.Namespace, session: Session) -> int:
    """``mkfs.xtreemfs``."""
    policy = _show.policy(args, Policy())
    found = await _where.mrcs(session.bus, args.mrc)
    node = await _least(session, found)
    mrc = MRCAsync(session.bus, node)
    name = _where.volume_name(args.volume)
    made = await mrc.make_volume(name, args.mode, policy, args.quota, Ask(), deadline=MAKE_SECONDS)
    if session.json:
        _show.as_json(session, _show.named(made))
    else:
        session.out(f"volume {made.name} is there, served by {node}; to mount it: mount.xtreemfs {made.name} DIRECTORY")
    return 0


async def _least(session: Session, found: list[ServiceRecord]) -> str:
    """The MRC that is heard and serves the fewest volumes."""
    served = Counter(volume.mrc[0] for volume in await DIRAsync(session.bus).volumes(deadline=_where.SECONDS))
    return min(found, key=lambda one: (one.suspect, served[one.node], one.node)).node


async def remove(args: argparse.Namespace, session: Session) -> int:
    """``rmfs.xtreemfs``."""
    name = _where.volume_name(args.volume)
    mrc = await _where.mrc_of(session.bus, name)
    await mrc.remove_volume(name, args.force, Ask(), deadline=REMOVE_SECONDS)
    if session.json:
        _show.as_json(session, {"removed": name})
    else:
        session.out(f"volume {name} is gone")
    return 0


async def list_(args: argparse.Namespace, session: Session) -> int:
    """``lsfs.xtreemfs``."""

    async def ask(record: ServiceRecord) -> list[tuple[str, Volume]]:
        found = await MRCAsync(session.bus, record.node).volumes(deadline=_where.SECONDS)
        return [(record.node, volume) for volume in found]

    answers, status = await _where.each(session, await _where.mrcs(session.bus, args.mrc), ask)
    volumes = {volume.id: (node, volume) for answer in answers for node, volume in answer}
    listed = sorted(volumes.values(), key=lambda one: one[1].name)
    if session.json:
        _show.as_json(session, [_show.named(volume) for _, volume in listed])
        return status
    rows = [
        (
            volume.name,
            volume.owner,
            _show.human(volume.used),
            _show.human(volume.quota) if volume.quota else "-",
            str(volume.files),
            _show.striping(volume.policy.striping),
            _show.replication(volume.policy.update, volume.policy.replicas),
            ", ".join(volume.mrc) or node,
        )
        for node, volume in listed
    ]
    if rows:
        headings = ("VOLUME", "OWNER", "USED", "QUOTA", "FILES", "STRIPING", "REPLICATION", "MRC")
        _show.print_table(session, headings, rows, right=frozenset({2, 3, 4}))
    elif not status:
        session.err("no volumes yet; make one: mkfs.xtreemfs VOLUME")
    return status
