# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: a volume's names and attributes copied, by one transaction: functions of one connection.

A snapshot is a volume ``VOLUME@NAME`` whose inodes are copies. Their bytes stay where those of the originals are; OSDs
keep what changes (`xos.xtreemfs.osd.snapshots`). `Volume.number` grows with each snapshot that comes or goes, and goes
into every capability; that of a snapshot is the one that came with it.
"""

from __future__ import annotations

import errno
import stat
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Access, Layout, Update
from xos.xtreemfs.mrc import contents, paths, rows, usage, volumes
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.replication import WRITTEN
from xos.xtreemfs.mrc.schema import ENTRIES, HANDLES, INODES, USAGE, VOLUMES, XATTRS
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who
from xos.xtreemfs.mrc.volumes import Volume

_I, _E, _V, _X, _H = INODES.c, ENTRIES.c, VOLUMES.c, XATTRS.c, HANDLES.c
_COPIED = (
    "mode",
    "nlink",
    "owner",
    "owner_group",
    "size",
    "atime",
    "mtime",
    "ctime",
    "rdev",
    "parent",
    "target",
    "epoch",
)
_COPIED_TOO = ("acl", "default_acl", "layout")
_RESERVED = sa.select(_V.reserved).where(_V.id == sa.bindparam("id"))


class Wanted(NamedTuple):
    """A snapshot that may be made."""

    volume: Volume
    name: str
    """``VOLUME@NAME``."""
    directory: Inode


def wanted(connection: sa.Connection, who: Who, volume: str, name: str, path: str) -> Result[Wanted]:
    """Whether *who* may make it. ENOENT, EACCES, EEXIST, ENOTDIR, EDQUOT, EINVAL (of a snapshot)."""
    found = volumes.find_volume(connection, volume)
    if found is None:
        return Refusal(errno.ENOENT)
    if found.origin:
        return Refusal(errno.EINVAL)
    if not who.superuser and who.user != found.owner:
        return Refusal(errno.EACCES)
    full = f"{volume}@{name}"
    if volumes.find_volume(connection, full) is not None:
        return Refusal(errno.EEXIST)
    directory = paths.resolve(connection, who, found.root, path.encode())
    if isinstance(directory, Refusal):
        return directory
    if not directory.is_directory:
        return Refusal(errno.ENOTDIR)
    if found.quota:
        room = found.quota - usage.used(connection, found.id)[0] - usage.kept(connection, found.uuid)
        if _size(connection, found, directory.id) > room:
            return Refusal(errno.EDQUOT)
    return Wanted(found, full, directory)


def reserve(connection: sa.Connection, volume: Volume) -> int:
    """The next number, which no capability carries yet."""
    number = connection.execute(_RESERVED, {"id": volume.id}).scalar_one() + 1
    connection.execute(VOLUMES.update().where(_V.id == volume.id).values(reserved=number))
    return int(number)


def take_up(connection: sa.Connection, volume: int) -> int:
    """Let capabilities carry the number after those that were reserved; OSDs are told by `known`."""
    number = connection.execute(_RESERVED, {"id": volume}).scalar_one() + 1
    connection.execute(VOLUMES.update().where(_V.id == volume).values(reserved=number, number=number))
    return int(number)


def tell_anew(connection: sa.Connection, volume: Volume, nodes: set[str]) -> None:
    """OSDs are told which snapshots there are, by a number that none knows yet."""
    contents.tell(connection, nodes, volume.uuid, take_up(connection, volume.id))


def overtake(connection: sa.Connection, uuid: str, number: int, nodes: set[str]) -> None:
    """An OSD knows of a number that this database, an older one that was restored, does not."""
    name = connection.execute(sa.select(_V.name).where(_V.uuid == uuid, _V.reserved < number)).scalar_one_or_none()
    found = None if name is None else volumes.find_volume(connection, name)
    if found is not None:
        connection.execute(VOLUMES.update().where(_V.id == found.id).values(reserved=number))
        tell_anew(connection, found, nodes)


def recover(connection: sa.Connection) -> list[Volume]:
    """After a start: OSDs may know a number that was reserved, and want no older one. What they are to be told of.

    A snapshot may have been begun and not made, or this be an older database that was restored.
    """
    connection.execute(VOLUMES.update().where(_V.reserved > _V.number).values(number=_V.reserved))
    return [volume for volume in volumes.list_volumes(connection) if volume.number and not volume.origin]


def there(connection: sa.Connection, uuid: str) -> list[int]:
    """Numbers of the snapshots of a volume."""
    return list(connection.scalars(sa.select(_V.number).where(_V.origin == uuid).order_by(_V.number)))


def list_snapshots(connection: sa.Connection, volume: Volume) -> list[Volume]:
    """Of a volume, the oldest first."""
    names = connection.scalars(sa.select(_V.name).where(_V.origin == volume.uuid).order_by(_V.number)).all()
    return [found for name in names if (found := volumes.find_volume(connection, name)) is not None]


def origin(connection: sa.Connection, snapshot: Volume) -> Volume:
    """What a snapshot is one of; of another volume: itself."""
    name = snapshot.name.rpartition("@")[0]
    return (volumes.find_volume(connection, name) if name else None) or snapshot


def written(connection: sa.Connection, volume: Volume) -> list[Grant]:
    """Files that somebody has open for writing."""
    open_ = sa.select(_H.inode).where(_H.access >= int(Access.WRITE))
    named = sa.select(_I.id).where(_I.volume_id == volume.id, _I.nlink > 0, _I.id.in_(open_))
    return [_grant(connection, volume, number) for number in connection.scalars(named).all()]


def unsettled(connection: sa.Connection, volume: Volume) -> list[Grant]:
    """Files whose primary is not the first one: it may not have asked the others yet what it lacks."""
    files = connection.execute(sa.select(_I.id, _I.layout).where(_I.volume_id == volume.id, _I.layout.is_not(None)))
    known: dict[bytes, bool] = {}
    found = []
    for number, encoded in files:
        if encoded not in known:
            layout = contents.decode_layout(encoded)
            known[encoded] = layout.update in WRITTEN and len(layout.replicas) > 1 and layout.term > 1
        if known[encoded]:
            found.append(number)
    return [_grant(connection, volume, number) for number in found]


def is_on(connection: sa.Connection, volume: Volume, node: str) -> bool:
    """Whether a file of the volume is on an OSD."""
    encoded = connection.scalars(
        sa.select(_I.layout).where(_I.volume_id == volume.id, _I.layout.is_not(None)).distinct()
    )
    layouts = map(contents.decode_layout, encoded)
    return any(node in replica.osds for layout in layouts for replica in layout.replicas)


def _grant(connection: sa.Connection, volume: Volume, number: int) -> Grant:
    whole = rows.whole(connection, number)
    assert whole is not None  # noqa: S101 -- read in this same transaction before
    return contents.grant(connection, whole, volume, contents.layout_of(whole), Access.READ | Access.WRITE)


# --- making


def copy(
    connection: sa.Connection, who: Who, wish: Wanted, uuid: str, number: int, path: str, now: int
) -> tuple[Volume, bool]:
    """Copy what is there now, and let capabilities carry *number*; whether replicas are to be compared."""
    origin = wish.volume
    values = {"name": wish.name, "root": 0, "uuid": uuid, "owner": who.user, "policy": origin.policy, "quota": 0}
    values |= {"origin": origin.uuid, "number": number, "reserved": number, "made": now, "path": path}
    made = int(connection.execute(VOLUMES.insert().values(values).returning(_V.id)).scalar_one())
    whole = wish.directory.id == origin.root
    _copy_inodes(connection, made, _of(origin, None if whole else wish.directory.id))
    _copy_names(connection, made)
    if not whole:
        _count_links(connection, made)
    root = connection.execute(_copy_of(made, wish.directory.id)).scalar_one()
    rows.update_inode(connection, root, parent=root)
    connection.execute(VOLUMES.update().where(_V.id == made).values(root=root))
    compared = _freeze_layouts(connection, made)
    _count_usage(connection, made)
    connection.execute(VOLUMES.update().where(_V.id == origin.id).values(number=number, reserved=number))
    return volumes.volume(connection, made), compared


def _of(volume: Volume, directory: int | None) -> sa.ColumnElement[bool]:
    """Which inodes are copied: all that have a name, below *directory*."""
    named = (_I.volume_id == volume.id) & (_I.nlink > 0)
    return named if directory is None else named & _I.id.in_(_below(directory))


def _below(directory: int) -> sa.Select[tuple[int]]:
    tree = sa.select(sa.literal(directory, sa.BigInteger).label("inode")).cte("tree", recursive=True)
    tree = tree.union(sa.select(_E.inode).join(tree, _E.parent == tree.c.inode))
    return sa.select(tree.c.inode)


def _size(connection: sa.Connection, volume: Volume, directory: int) -> int:
    if directory == volume.root:
        return usage.used(connection, volume.id)[0]
    is_file = _I.mode.op("&")(0o170000) == stat.S_IFREG
    total = sa.select(sa.func.coalesce(sa.func.sum(_I.size), 0)).where(is_file, _I.id.in_(_below(directory)))
    return int(connection.execute(total).scalar_one())


def _copy_inodes(connection: sa.Connection, made: int, which: sa.ColumnElement[bool]) -> None:
    copied = [*_COPIED, *_COPIED_TOO]
    source = sa.select(sa.literal(made, sa.BigInteger), _I.id, *(_I[name] for name in copied)).where(which)
    connection.execute(INODES.insert().from_select(["volume_id", "origin", *copied], source.order_by(_I.id)))


def _copy_names(connection: sa.Connection, made: int) -> None:
    above, below = INODES.alias("above"), INODES.alias("below")

    def is_copy(copy: sa.FromClause, of: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        return (copy.c.volume_id == made) & (copy.c.origin == of) & (copy.c.origin != 0)

    names = (
        sa.select(above.c.id, _E.name, below.c.id)
        .select_from(ENTRIES)
        .join(above, is_copy(above, _E.parent))
        .join(below, is_copy(below, _E.inode))
        .order_by(_E.cookie)
    )
    connection.execute(ENTRIES.insert().from_select(["parent", "name", "inode"], names))
    values = sa.select(below.c.id, _X.name, _X.value).select_from(XATTRS).join(below, is_copy(below, _X.inode))
    connection.execute(XATTRS.insert().from_select(["inode", "name", "value"], values))
    parent = sa.select(above.c.id).where(is_copy(above, _I.parent)).scalar_subquery()
    moved = INODES.update().where(_I.volume_id == made, _I.parent != 0).values(parent=sa.func.coalesce(parent, 0))
    connection.execute(moved)


def _copy_of(made: int, number: int) -> sa.Select[tuple[int]]:
    return sa.select(_I.id).where(_I.volume_id == made, _I.origin == number, _I.origin != 0)


def _count_links(connection: sa.Connection, made: int) -> None:
    """Of files that have names elsewhere too."""
    names = sa.select(sa.func.count()).where(_E.inode == _I.id).scalar_subquery()
    several = (_I.volume_id == made) & (_I.nlink > 1) & (_I.mode.op("&")(0o170000) != stat.S_IFDIR)
    connection.execute(INODES.update().where(several).values(nlink=names))


def _freeze_layouts(connection: sa.Connection, made: int) -> bool:
    """Nothing of it changes any more; whether replicas are to be compared with the complete one."""
    placed = sa.select(_I.id, _I.layout).where(_I.volume_id == made, _I.layout.is_not(None))
    frozen: dict[bytes, bytes] = {}
    changes, compared = [], False
    for number, encoded in connection.execute(placed):
        if encoded not in frozen:
            layout = _frozen(contents.decode_layout(encoded))
            compared |= not all(replica.complete for replica in layout.replicas)
            frozen[encoded] = msgspec.msgpack.encode(layout)
        changes.append({"i": number, "l": frozen[encoded]})
    if changes:
        statement = INODES.update().where(_I.id == sa.bindparam("i")).values(layout=sa.bindparam("l"))
        connection.execute(statement, changes)
    return compared


def _frozen(layout: Layout) -> Layout:
    """Of replicas that are written to, only most are like the primary; the others are, once they were compared."""
    replicas = layout.replicas
    if layout.update in WRITTEN:
        replicas = tuple(
            msgspec.structs.replace(replica, complete=at == layout.primary) for at, replica in enumerate(replicas)
        )
    return Layout(layout.striping, replicas, Update.READ_ONLY, primary=layout.primary)


def _count_usage(connection: sa.Connection, made: int) -> None:
    is_file = _I.mode.op("&")(0o170000) == stat.S_IFREG
    size = sa.func.sum(sa.case((is_file, _I.size), else_=0))
    counted = (
        sa.select(sa.literal(made, sa.BigInteger), _I.owner, _I.owner_group, size, sa.func.count())
        .where(_I.volume_id == made)
        .group_by(_I.owner, _I.owner_group)
    )
    columns = ["volume_id", "owner", "owner_group", "bytes", "files"]
    connection.execute(USAGE.insert().from_select(columns, counted))
