# SPDX-License-Identifier: BSD-3-Clause
"""What a file holds: where it is placed, how long it is, who may still come at it: functions of one connection."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import NOW, Access, Change, Extent, Layout, Policy
from xos.xtreemfs.mrc import namespace, rows, usage, volumes
from xos.xtreemfs.mrc.rows import Whole
from xos.xtreemfs.mrc.schema import CHORES, ENTRIES, HANDLES, INODES
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who
from xos.xtreemfs.mrc.volumes import Volume
from xos.xtreemfs.striping import Striping

Place = Callable[[Policy, str], Layout | None]
"""Where a new file of an owner goes; None: no OSD is usable."""

NOWHERE = Layout(Striping(), ())
_encode = msgspec.msgpack.encode
decode_layout = msgspec.msgpack.Decoder(Layout).decode
_policy = msgspec.msgpack.Decoder(Policy)
_I, _H = INODES.c, HANDLES.c
_LAYOUT = Statement(INODES.update().where(_I.id == sa.bindparam("i")).values(layout=sa.bindparam("l")))
_GROWN = Statement(
    INODES.update()
    .where(_I.id == sa.bindparam("i"))
    .values(size=sa.bindparam("s"), mtime=sa.bindparam("m"), ctime=sa.bindparam("c"))
)
_IS_OPEN = Statement(sa.select(_H.id).where(_H.inode == sa.bindparam("i")).limit(1))
_CHORE = Statement(CHORES.insert(), "node", "file_id", "revision")
_AWAITING = sa.select(CHORES.c.node).where(CHORES.c.file_id == sa.bindparam("f"))
_ABOVE = Statement(
    sa.select(_I.policy)
    .join_from(ENTRIES, INODES, ENTRIES.c.parent == _I.id)
    .where(ENTRIES.c.inode == sa.bindparam("i"))
    .limit(1)
)


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """What may be done to a file, to be signed."""

    inode: Inode
    handle: int
    access: Access
    file_id: str
    layout: Layout
    revision: int
    room: int
    created: bool = False
    snapshot: int = 0
    origin: str = ""


def file_id(volume: Volume, number: int) -> str:
    """How OSDs call a file."""
    return f"{volume.uuid}-{number:x}"


def layout_of(whole: Whole) -> Layout:
    """Where a file is; nowhere, if it was never placed."""
    return NOWHERE if whole.layout is None else decode_layout(whole.layout)


def policy_in(directory: Whole, volume: Volume) -> Policy:
    """How what is made in a directory is laid out: as the directory says, else as its volume."""
    return _policy.decode(directory.policy if directory.policy is not None else volume.policy)


def policy_of(connection: sa.Connection, whole: Whole) -> Policy:
    """How a file is laid out: as a directory that it is in says, else as its volume."""
    row = _ABOVE.run(connection, {"i": whole.inode.id}).fetchone()
    own = None if row is None else row[0]
    return _policy.decode(own if own is not None else volumes.volume(connection, whole.volume).policy)


def placed(connection: sa.Connection, whole: Whole, place: Place) -> Result[Layout]:
    """Where a file is, once it is somewhere. ENOSPC: no OSD is usable."""
    if whole.layout is not None:
        return decode_layout(whole.layout)
    layout = place(policy_of(connection, whole), whole.inode.owner)
    if layout is None:
        return Refusal(errno.ENOSPC)
    set_layout(connection, whole.inode.id, layout)
    return layout


def set_layout(connection: sa.Connection, number: int, layout: Layout) -> None:
    """Keep where a file is."""
    _LAYOUT.run(connection, {"i": number, "l": _encode(layout)})


def truncate(connection: sa.Connection, who: Who, whole: Whole, size: int, now: int) -> Result[Inode]:
    """Another size, and the next epoch."""
    return namespace.setattr_(connection, who, whole.inode.id, Change(size=size), now)


def extend(connection: sa.Connection, volume: int, inode: Inode, extent: Extent, mtime: int, now: int) -> None:
    """A writer says how long the file is; what was written before it was cut counts no more."""
    if extent.epoch != inode.epoch:
        return
    size = max(inode.size, extent.size)
    when = now if mtime == NOW else min(mtime, now)
    # The writer has shown its programs this time of change already.
    _GROWN.run(connection, {"i": inode.id, "s": size, "m": when, "c": max(inode.ctime, when)})
    usage.charge(connection, volume, inode.owner, inode.group, size - inode.size)


def reap(connection: sa.Connection, number: int) -> bool:
    """Forget an inode that has no name and is not open, and have its bytes deleted; whether it is gone."""
    whole = rows.whole(connection, number)
    if whole is None or whole.inode.nlink or is_open(connection, number):
        return False
    if whole.layout is not None:
        delete_at(connection, layout_of(whole), file_id(volumes.volume(connection, whole.volume), number))
    namespace.forget(connection, whole)
    return True


def is_open(connection: sa.Connection, number: int) -> bool:
    """Whether somebody has it open."""
    return _IS_OPEN.run(connection, {"i": number}).fetchone() is not None


def delete_at(connection: sa.Connection, layout: Layout, file: str, *, keep: frozenset[str] = frozenset()) -> None:
    """Have the shares of a file deleted at the OSDs of a layout that are not in *keep*."""
    tell(connection, _osds(layout) - keep, file, None)


def tell(connection: sa.Connection, nodes: set[str], file: str, revision: int | None) -> None:
    """OSDs are to delete a file, or to refuse what is older than a revision: until each has heard it."""
    tell_all(connection, [{"node": node, "file_id": file, "revision": revision} for node in sorted(nodes)])


def chores(layout: Layout, file: str) -> list[dict[str, Any]]:
    """For `tell_all`: the OSDs of a layout are to delete a file."""
    return [{"node": node, "file_id": file, "revision": None} for node in sorted(_osds(layout))]


def tell_all(connection: sa.Connection, told: Iterable[Mapping[str, Any]]) -> None:
    """As `tell`, of many files."""
    _CHORE.run_many(connection, list(told))


def _osds(layout: Layout) -> set[str]:
    return {node for replica in layout.replicas for node in replica.osds}


def awaiting(connection: sa.Connection, file: str) -> frozenset[str]:
    """OSDs that are still to be told something about a file."""
    return frozenset(connection.scalars(_AWAITING, {"f": file}))


def is_file(inode: Inode) -> bool:
    """Whether it is a regular file."""
    return stat.S_ISREG(inode.mode)


def revoke(connection: sa.Connection, number: int) -> None:
    """Capabilities handed out so far open the file no more; who has it open gets others when they renew."""
    whole = rows.whole(connection, number)
    if whole is None or whole.layout is None:
        return
    rows.update_inode(connection, number, revision=whole.revision + 1)
    name = file_id(volumes.volume(connection, whole.volume), number)
    tell(connection, _osds(layout_of(whole)), name, whole.revision + 1)


def takes_away(before: Inode, after: Inode) -> bool:
    """Whether somebody may read or write less than before."""
    if not stat.S_ISREG(after.mode):
        return False
    changed = (before.owner, before.group, before.acl) != (after.owner, after.group, after.acl)
    return changed or bool(before.mode & ~after.mode & 0o666)


def grant(
    connection: sa.Connection,
    whole: Whole,
    volume: Volume,
    layout: Layout,
    access: Access,
    handle: int = 0,
    *,
    created: bool = False,
) -> Grant:
    """What is to be signed."""
    inode = whole.inode
    room = -1
    if access & Access.WRITE:
        quota = volume.quota
        if quota and volume.number:
            quota = max(1, quota - usage.kept(connection, volume.uuid))
        room = usage.room(connection, volume.id, quota, inode.owner, inode.group)
    origin = f"{volume.origin}-{inode.origin:x}" if inode.origin else ""
    name = file_id(volume, inode.id)
    return Grant(inode, handle, access, name, layout, whole.revision, room, created, volume.number, origin)
