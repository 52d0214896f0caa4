# SPDX-License-Identifier: BSD-3-Clause
"""What ``xtfs_cleanup`` does.

An OSD is listed before its MRC is asked: a file that is made meanwhile is not on the list, and one that is on it and
not at the MRC has been deleted, since inode numbers are never given twice.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
from collections.abc import Mapping

import msgspec

from xos.dixi.commands import Session
from xos.xtreemfs.api import ServiceRecord, ShareState
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.osd.snapshots import split
from xos.xtreemfs.tools import _osds, _show, _where
from xos.xtreemfs.xati import DIRAsync, MRCAsync, OSDAsync

AT_ONCE = 64
"""Questions to an MRC, and files of one `OSD.delete`."""
GONE = frozenset({errno.ESTALE, errno.ENOENT})


class Orphan(msgspec.Struct, frozen=True):
    """What an OSD holds of a file that is not there."""

    osd: str
    file_id: str
    size: int
    volume: str
    """Its name; empty: the Directory Service knows no such volume."""
    deleted: bool = False


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xtfs_cleanup``."""
    volumes = {record.id: record for record in await DIRAsync(session.bus).volumes(deadline=_where.SECONDS)}
    mrcs = {record.id: await _where.first(session.bus, record) for record in volumes.values()}
    names = {record.id: record.name for record in volumes.values()}

    async def clean(osd: ServiceRecord) -> list[Orphan]:
        session.err(f"{session.name}: looking through OSD {osd.node}") if session.is_tty else None
        found = await orphans(session, osd.node, mrcs, names)
        wanted = [one for one in found if args.delete and (one.volume or args.unknown_volumes)]
        for start in range(0, len(wanted), AT_ONCE):
            part = [one.file_id for one in wanted[start : start + AT_ONCE]]
            await OSDAsync(session.bus, osd.node).delete(part, deadline=_where.SECONDS)
        return [msgspec.structs.replace(one, deleted=one in wanted) for one in found]

    answers, status = await _where.each(session, await _osds.osds(session.bus, args.osds), clean)
    _tell(session, [one for answer in answers for one in answer])
    return status


async def orphans(session: Session, node: str, mrcs: Mapping[str, MRCAsync], names: Mapping[str, str]) -> list[Orphan]:
    """What an OSD holds that no MRC knows."""
    found: list[Orphan] = []
    batch: list[ShareState] = []

    async def look() -> None:
        known = await asyncio.gather(*(_exists(share, mrcs) for share in batch))
        for share, there in zip(batch, known, strict=True):
            if not there:
                volume = names.get(split(share.file_id)[0].rpartition("-")[0], "")
                found.append(Orphan(node, share.file_id, share.size, volume))
        batch.clear()

    async for share in _osds.shares(session.bus, node):
        batch.append(share)
        if len(batch) == AT_ONCE:
            await look()
    await look()
    return found


async def _exists(share: ShareState, mrcs: Mapping[str, MRCAsync]) -> bool:
    file_id, kept = split(share.file_id)
    volume, _, number = file_id.rpartition("-")
    mrc = mrcs.get(volume)
    if mrc is None or kept:
        return mrc is not None  # what is kept for snapshots its OSD removes by itself
    try:
        await mrc.getattr(int(number, 16), deadline=_where.SECONDS)
    except Refused as error:
        if error.data["errno"] in GONE:
            return False
        raise
    except ValueError:  # no inode has that number
        return False
    return True


def _tell(session: Session, found: list[Orphan]) -> None:
    if session.json:
        _show.as_json(session, found)
        return
    rows = [
        (
            one.osd,
            one.file_id,
            _show.human(one.size),
            one.volume or "(unknown)",
            "deleted" if one.deleted else "kept",
        )
        for one in found
    ]
    if rows:
        _show.print_table(session, ("OSD", "FILE", "SIZE", "VOLUME", ""), rows, right=frozenset({2}))
    total = _show.human(sum(one.size for one in found))
    session.err(
        f"{len(found)} orphans, {total}B" + ("" if all(o.deleted for o in found) else "; --delete deletes them")
    )
