# SPDX-License-Identifier: BSD-3-Clause
"""What ``xtfsutil`` does about snapshots."""

from __future__ import annotations

import argparse
import datetime

from xos.dixi.commands import Session
from xos.xtreemfs.api import Ask, Volume
from xos.xtreemfs.tools import _show, _where
from xos.xtreemfs.xati import MRCAsync

MAKE_SECONDS = 120.0
"""A volume of a million files takes a while."""
REMOVE_SECONDS = 600.0


async def run(args: argparse.Namespace, session: Session, mrc: MRCAsync, place: _where.Target) -> int:
    """Make one, remove one, or list them."""
    volume = place.volume.partition("@")[0]
    if args.create_snapshot is not None:
        made = await mrc.make_snapshot(place.volume, args.create_snapshot, place.path, Ask(), deadline=MAKE_SECONDS)
        if session.json:
            _show.as_json(session, _show.named(made))
        else:
            session.out(f"snapshot {made.name} is there; to read it: mount.xtreemfs {made.name} DIRECTORY")
    elif args.delete_snapshot is not None:
        name = f"{volume}@{args.delete_snapshot}"
        await mrc.remove_volume(name, False, Ask(), deadline=REMOVE_SECONDS)
        if session.json:
            _show.as_json(session, {"removed": name})
        else:
            session.out(f"snapshot {name} is gone")
    else:
        _list(session, volume, await mrc.snapshots(volume, deadline=_where.SECONDS))
    return 0


def _list(session: Session, volume: str, found: list[Volume]) -> None:
    if session.json:
        _show.as_json(session, [_show.named(one) for one in found])
        return
    rows = [(one.name, one.path, _when(one), one.owner, _show.human(one.used), str(one.files)) for one in found]
    if rows:
        headings = ("SNAPSHOT", "OF", "MADE", "BY", "HOLDS", "FILES")
        _show.print_table(session, headings, rows, right=frozenset({4, 5}))
    else:
        session.err(f"no snapshots of {volume} yet; make one: xtfsutil --create-snapshot NAME xtreemfs://{volume}")


def about(volume: Volume) -> list[tuple[str, str]]:
    """Of a snapshot, as names and values."""
    return [("snapshot of", f"{volume.origin}{volume.path}, made {_when(volume)}")] if volume.origin else []


def _when(volume: Volume) -> str:
    """In the zone of who asks."""
    made = datetime.datetime.fromtimestamp(volume.made // 1_000_000_000, datetime.UTC)
    return made.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
