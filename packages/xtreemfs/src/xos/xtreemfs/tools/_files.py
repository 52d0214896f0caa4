# SPDX-License-Identifier: BSD-3-Clause
"""What ``xtfsutil`` does."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import stat
from typing import Any

from xos.dixi.commands import Session
from xos.xtreemfs.api import Ask, Inode, Layout, Policy, Quota, Volume
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.tools import _show, _snapshots, _where
from xos.xtreemfs.tools._watching import watch
from xos.xtreemfs.tools.errors import BadArgument
from xos.xtreemfs.xati import MRCAsync

SECONDS = 30.0
ACCESS_ACL, DEFAULT_ACL = b"system.posix_acl_access", b"system.posix_acl_default"
KINDS = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISREG, "file"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
)


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xtfsutil``."""
    place = await asyncio.to_thread(_where.target, session, args.target)
    mrc = await _where.mrc_of(session.bus, place.volume)
    if args.watch:
        return await watch(session, place)
    if args.find:
        return await _find(args, session, mrc, place)
    if args.snapshots or args.create_snapshot is not None or args.delete_snapshot is not None:
        if _changes(args):
            raise BadArgument(option="--snapshots", detail="leave options that change something else out")
        return await _snapshots.run(args, session, mrc, place)
    inode = await mrc.resolve(place.volume, place.path, deadline=SECONDS)
    volume = await _volume(mrc, place.volume)
    await _change(args, mrc, place, inode, volume)
    if _changes(args):
        inode = await mrc.resolve(place.volume, place.path, deadline=SECONDS)
        volume = await _volume(mrc, place.volume)
    await _print(args, session, mrc, place, inode, volume)
    return 0


async def _volume(mrc: MRCAsync, name: str) -> Volume:
    """It, or the snapshot of that name. Raises `Refused` (ENOENT)."""
    origin, at, _ = name.partition("@")
    there = await (mrc.snapshots(origin, deadline=SECONDS) if at else mrc.volumes(deadline=SECONDS))
    volume = next((one for one in there if one.name == name), None)
    if volume is None:
        raise Refused.of(errno.ENOENT, f"volume {name}")
    return volume


def _changes(args: argparse.Namespace) -> bool:
    others = (args.quota, args.set_acl, args.set_default_acl)
    lists = args.without or args.user_quota or args.group_quota
    return _show.says_policy(args) or bool(lists) or any(one is not None for one in others)


async def _change(args: argparse.Namespace, mrc: MRCAsync, place: _where.Target, inode: Inode, volume: Volume) -> None:
    at_root = inode.id == volume.root
    if (args.quota is not None or args.user_quota or args.group_quota) and not at_root:
        raise BadArgument(option="--quota", detail="a volume has a quota: name its root")
    if at_root and (_show.says_policy(args) or args.quota is not None):
        quota = volume.quota if args.quota is None else args.quota
        await mrc.change_volume(place.volume, _show.policy(args, volume.policy), quota, Ask(), deadline=SECONDS)
    elif inode.is_directory and _show.says_policy(args):
        await mrc.set_policy(inode.id, _show.policy(args, volume.policy), Ask(), deadline=SECONDS)
    elif stat.S_ISREG(inode.mode) and (_show.says_policy(args) or args.without):
        await _change_file(args, mrc, inode)
    elif _show.says_policy(args) or args.without:
        raise BadArgument(option=args.target, detail="neither a file nor a directory")
    if args.read_soon:
        await mrc.read_soon(inode.id, args.read_soon, Ask(), deadline=SECONDS)
    for kind, limits in (("user", args.user_quota), ("group", args.group_quota)):
        for name, limit in limits:
            await mrc.set_quota(place.volume, Quota(kind, name, limit), Ask(), deadline=SECONDS)
    for text, attribute in ((args.set_acl, ACCESS_ACL), (args.set_default_acl, DEFAULT_ACL)):
        if text is not None:
            await mrc.setxattr(inode.id, attribute, text.encode(), 0, Ask(), deadline=SECONDS)


async def _change_file(args: argparse.Namespace, mrc: MRCAsync, inode: Inode) -> None:
    if args.size is not None or args.width is not None:
        raise BadArgument(option="--size, --width", detail="what is written stays striped as it is; copy the file")
    if args.osd_selection is not None or args.extra is not None:
        raise BadArgument(
            option="--osd-selection, --extra", detail="of directories and volumes; a file is placed already"
        )
    layout = await mrc.layout(inode.id, deadline=SECONDS)
    there = max(len(layout.replicas), 1)
    policy = _show.policy(args, Policy(layout.striping, layout.update, there))
    await mrc.change_layout(
        inode.id, policy.replicas, policy.update, tuple(args.without), Ask(), deadline=_where.SECONDS
    )


async def _print(
    args: argparse.Namespace, session: Session, mrc: MRCAsync, place: _where.Target, inode: Inode, volume: Volume
) -> None:
    layout = await mrc.layout(inode.id, deadline=SECONDS) if stat.S_ISREG(inode.mode) else None
    acls = await _acls(mrc, inode) if args.acl else {}
    quotas = await mrc.quotas(place.volume, deadline=SECONDS) if inode.id == volume.root else []
    if session.json:
        value: dict[str, Any] = {"volume": place.volume, "path": place.path, "inode": _show.named(inode)}
        value |= {"layout": _show.named(layout)} if layout is not None else {}
        value |= {"acl": acls} if args.acl else {}
        if inode.id == volume.root:
            value |= {"of_volume": _show.named(volume), "quotas": [_show.named(quota) for quota in quotas]}
        _show.as_json(session, value)
        return
    limits = [(f"{one.kind} quota", _limit(one)) for one in quotas if one.limit]
    _show.fields(session, [*_common(place, inode), *_particular(inode, volume, layout), *limits, *acls.items()])


def _limit(quota: Quota) -> str:
    return f"{quota.name or 'each other'} may hold {_show.human(quota.limit)}, holds {_show.human(quota.used)}"


def _common(place: _where.Target, inode: Inode) -> list[tuple[str, str]]:
    kind = next((name for test, name in KINDS if test(inode.mode)), "unknown")
    return [
        ("volume", place.volume),
        ("path", place.path),
        ("kind", kind),
        ("owner", inode.owner),
        ("group", inode.group),
        ("mode", f"{stat.S_IMODE(inode.mode):04o}"),
        ("inode", str(inode.id)),
    ]


def _particular(inode: Inode, volume: Volume, layout: Layout | None) -> list[tuple[str, str]]:
    if layout is not None:
        placed = [] if layout.replicas else [("replica", "none yet: nothing was written")]
        return [("size", f"{inode.size} bytes"), *_show.layout_lines(layout), *placed]
    if inode.id == volume.root:
        quota = f" of {_show.human(volume.quota)}" if volume.quota else ""
        extra = volume.policy.extra
        return [
            *_snapshots.about(volume),
            ("used", f"{_show.human(volume.used)}{quota}, {volume.files} files"),
            ("striping", _show.striping(volume.policy.striping)),
            ("replication", _show.replication(volume.policy.update, volume.policy.replicas)),
            ("OSD selection", ", ".join(volume.policy.osd_selection)),
            ("extra replicas", f"at most {extra}, near readers of files that do not change" if extra else "none"),
        ]
    return [("target", os.fsdecode(inode.target))] if inode.target is not None else []


async def _acls(mrc: MRCAsync, inode: Inode) -> dict[str, str]:
    found = {}
    for title, name in (("ACL", ACCESS_ACL), ("default ACL", DEFAULT_ACL)):
        try:
            found[title] = (await mrc.getxattr(inode.id, name, deadline=SECONDS)).decode(errors="replace")
        except Refused:  # there is none
            continue
    return found


async def _find(args: argparse.Namespace, session: Session, mrc: MRCAsync, place: _where.Target) -> int:
    if _changes(args):
        raise BadArgument(option="--find", detail="finds and changes nothing: leave the other options out")
    name, _, value = args.xattr.partition("=")
    words = (args.owner, args.name, args.least, args.most, name.encode(), value.encode(), args.limit)
    found = await mrc.find(place.volume, *words, deadline=_where.SECONDS)
    prefix = place.path.rstrip("/") + "/"
    below = [one for one in found if f"/{one.path.lstrip('/')}".startswith(prefix)]
    if session.json:
        _show.as_json(session, [_show.named(one) for one in below])
        return 0
    for one in below:
        session.out(one.path)
        await session.drain()
    if len(found) == args.limit:
        session.err(f"{session.name}: there may be more; raise --limit")
    return 0
