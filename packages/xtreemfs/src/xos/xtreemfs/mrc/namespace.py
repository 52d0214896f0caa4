# SPDX-License-Identifier: BSD-3-Clause
"""The POSIX name space: functions of one connection, for `Store.read` and `Store.write`.

What a program may not do is returned as a `Refusal` with the errno that Linux gives. Names are bytes without ``/`` and
NUL; ``.`` and ``..`` are the client's. A file whose last name goes stays, nameless, until `reap` takes it, since
somebody may have it open.
"""

from __future__ import annotations

import errno
import stat

import sqlalchemy as sa
from msgspec import structs

from xos.xtreemfs.mrc import rows, usage
from xos.xtreemfs.mrc.access import (
    EXECUTE,
    READ,
    WRITE,
    denied,
    may,
    may_change,
    may_name,
    may_remove,
    mode_after,
    new_inode,
)
from xos.xtreemfs.mrc.rows import Whole
from xos.xtreemfs.mrc.schema import INODES
from xos.xtreemfs.mrc.values import LINK_MAX, NAME_MAX, NOW, TARGET_MAX, Change, Inode, Refusal, Result, Row, Who

KINDS = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})
_DEVICES = frozenset({stat.S_IFCHR, stat.S_IFBLK})


def getattr_(connection: sa.Connection, number: int) -> Result[Inode]:
    """The attributes of an inode; anybody may know them who has its number."""
    return rows.inode(connection, number) or Refusal(errno.ESTALE)


def lookup(connection: sa.Connection, who: Who, parent: int, name: bytes) -> Result[Inode]:
    """The inode called *name*."""
    directory = _directory(connection, parent, who, EXECUTE)
    if isinstance(directory, Refusal):
        return directory
    if len(name) > NAME_MAX:
        return Refusal(errno.ENAMETOOLONG)
    return rows.child(connection, parent, name) or Refusal(errno.ENOENT)


def look_ahead(connection: sa.Connection, who: Who, parent: int, name: bytes, most: int) -> Result[list[Row]]:
    """The entry *name* and those that follow it, at most *most* together."""
    directory = _directory(connection, parent, who, READ | EXECUTE)
    if isinstance(directory, Refusal):
        return directory
    if len(name) > NAME_MAX:
        return Refusal(errno.ENAMETOOLONG)
    found = rows.children_from(connection, parent, name, most)
    return [Row(*row) for row in found] or Refusal(errno.ENOENT)


def readdir(connection: sa.Connection, who: Who, number: int, after: int, most: int) -> Result[list[Row]]:
    """At most *most* entries behind the cookie *after* (0: from the first), without ``.`` and ``..``."""
    directory = _directory(connection, number, who, READ)
    if isinstance(directory, Refusal):
        return directory
    return [Row(*row) for row in rows.children(connection, number, after, most)]


def create(
    connection: sa.Connection,
    who: Who,
    parent: int,
    name: bytes,
    mode: int,
    now: int,
    *,
    rdev: int = 0,
    target: bytes | None = None,
) -> Result[Inode]:
    """A new inode of the type in *mode*; *target*: of a symbolic link."""
    if refusal := bad_name(name):
        return refusal
    home = whole_directory(connection, parent, who)
    if isinstance(home, Refusal):
        return home
    if rows.child(connection, parent, name) is not None:
        return Refusal(errno.EEXIST)
    return make(connection, who, home, name, mode, now, rdev=rdev, target=target)


def make(
    connection: sa.Connection,
    who: Who,
    home: Whole,
    name: bytes,
    mode: int,
    now: int,
    *,
    rdev: int = 0,
    target: bytes | None = None,
    layout: bytes | None = None,
) -> Result[Inode]:
    """As `create`, in a directory in which *name* was looked up and is not; *layout*: where a file was placed."""
    directory, kind = home.inode, stat.S_IFMT(mode)
    if refusal := bad_name(name):
        return refusal
    if directory.nlink == 0:
        return Refusal(errno.ENOENT)  # it is removed, though somebody is in it
    if not may(directory, who, WRITE) or not may_name(directory, name, who):
        return denied(directory)
    if refusal := _cannot_be(kind, target, who, directory):
        return refusal
    parent, volume, policy = directory.id, home.volume, home.policy
    new = new_inode(directory, who, kind | mode & 0o7777, now, rdev=rdev if kind in _DEVICES else 0, target=target)
    inode = rows.add_inode(connection, volume, new, policy=policy if new.is_directory else None, layout=layout)
    usage.charge(connection, volume, inode.owner, inode.group, 0, 1)
    rows.enter(connection, parent, name, inode.id)
    rows.touch_directory(connection, parent, now, links=1 if inode.is_directory else 0)
    return inode


def _cannot_be(kind: int, target: bytes | None, who: Who, directory: Inode) -> Refusal | None:
    if kind not in KINDS or (target is not None) != (kind == stat.S_IFLNK):
        return Refusal(errno.EINVAL)
    if target is not None and not 0 < len(target) <= TARGET_MAX:
        return Refusal(errno.ENAMETOOLONG if target else errno.ENOENT)
    if kind in _DEVICES and not who.superuser:
        return Refusal(errno.EPERM)
    if kind == stat.S_IFDIR and directory.nlink >= LINK_MAX:
        return Refusal(errno.EMLINK)
    return None


def link(connection: sa.Connection, who: Who, number: int, parent: int, name: bytes, now: int) -> Result[Inode]:
    """A further name of a file."""
    inode = rows.inode(connection, number)
    if inode is None:
        return Refusal(errno.ESTALE)
    directory = _writable(connection, parent, name, who)
    if isinstance(directory, Refusal):
        return directory
    if rows.child(connection, parent, name) is not None:
        return Refusal(errno.EEXIST)
    if inode.is_directory:
        return Refusal(errno.EPERM)
    if inode.nlink >= LINK_MAX:
        return Refusal(errno.EMLINK)
    if rows.volume_of(connection, number) != rows.volume_of(connection, parent):
        return Refusal(errno.EXDEV)
    rows.enter(connection, parent, name, number)
    rows.add_links(connection, number, 1, now)
    rows.touch_directory(connection, parent, now)
    return _there(connection, number)


def unlink(connection: sa.Connection, who: Who, parent: int, name: bytes, now: int) -> Result[Inode]:
    """Take a name away; the inode as it is then (`Inode.nlink` 0: that was the last one)."""
    found = _named(connection, who, parent, name)
    if isinstance(found, Refusal):
        return found
    directory, inode = found
    if refusal := may_remove(directory, inode, who):
        return refusal
    if inode.is_directory:
        return Refusal(errno.EISDIR)
    rows.leave(connection, parent, name)
    rows.add_links(connection, inode.id, -1, now)
    rows.touch_directory(connection, parent, now)
    return structs.replace(inode, nlink=inode.nlink - 1, ctime=now)


def rmdir(connection: sa.Connection, who: Who, parent: int, name: bytes, now: int) -> Result[None]:
    """Remove an empty directory."""
    found = _named(connection, who, parent, name)
    if isinstance(found, Refusal):
        return found
    directory, inode = found
    if refusal := may_remove(directory, inode, who):
        return refusal
    if not inode.is_directory:
        return Refusal(errno.ENOTDIR)
    if not rows.is_empty(connection, inode.id):
        return Refusal(errno.ENOTEMPTY)
    _drop_directory(connection, inode, now)
    rows.leave(connection, parent, name)
    rows.touch_directory(connection, parent, now, links=-1)
    return None


def setattr_(connection: sa.Connection, who: Who, number: int, change: Change, now: int) -> Result[Inode]:
    """Change attributes; the inode as it is then."""
    inode = rows.inode(connection, number)
    if inode is None:
        return Refusal(errno.ESTALE)
    if refusal := may_change(inode, who, change):
        return refusal
    values: dict[str, int | str] = {"mode": mode_after(inode, who, change), "ctime": now}
    if change.size is not None:
        values |= {"size": change.size, "mtime": now, "epoch": inode.epoch + 1}
    if change.owner is not None:
        values["owner"] = change.owner
    if change.group is not None:
        values["owner_group"] = change.group
    for field in ("atime", "mtime"):
        time = getattr(change, field)
        if time is not None:
            values[field] = now if time == NOW else time
    rows.update_inode(connection, number, **values)
    changed = _there(connection, number)
    if (changed.owner, changed.group, changed.size) != (inode.owner, inode.group, inode.size):
        volume = rows.volume_of(connection, number)
        usage.charge(connection, volume, inode.owner, inode.group, -weight(inode), -1)
        usage.charge(connection, volume, changed.owner, changed.group, weight(changed), 1)
    return changed


def weight(inode: Inode) -> int:
    """Bytes that count against a quota."""
    return inode.size if stat.S_ISREG(inode.mode) else 0


def reap(connection: sa.Connection, numbers: list[int]) -> list[int]:
    """Forget those of *numbers* that have no name; which they were. Nobody may have them open."""
    gone = [found for number in numbers if (found := rows.whole(connection, number)) and found.inode.nlink == 0]
    for found in gone:
        forget(connection, found)
    return [found.inode.id for found in gone]


def forget(connection: sa.Connection, gone: Whole) -> None:
    """Nothing is left of an inode that has no name and that nobody has open."""
    rows.remove_inode(connection, gone.inode.id)
    usage.charge(connection, gone.volume, gone.inode.owner, gone.inode.group, -weight(gone.inode), -1)


_NAMELESS = sa.select(INODES.c.id).where(INODES.c.nlink == 0).order_by(INODES.c.id)


def nameless(connection: sa.Connection) -> list[int]:
    """Inodes without a name: what a crash may have left for `reap`."""
    return list(connection.scalars(_NAMELESS))


# --- parts


def _directory(connection: sa.Connection, number: int, who: Who, wanted: int) -> Result[Inode]:
    inode = rows.inode(connection, number)
    return inode if inode is not None and _may_use(inode, who, wanted) else _no_directory(inode)


def whole_directory(connection: sa.Connection, number: int, who: Who) -> Result[Whole]:
    """A directory in which *who* may look names up, with all that there is."""
    found = rows.whole(connection, number)
    if found is None:
        return _no_directory(None)
    return found if _may_use(found.inode, who, EXECUTE) else _no_directory(found.inode)


def _may_use(inode: Inode, who: Who, wanted: int) -> bool:
    return inode.is_directory and may(inode, who, wanted)


def _no_directory(inode: Inode | None) -> Refusal:
    if inode is None:
        return Refusal(errno.ESTALE)
    return Refusal(errno.EACCES if inode.is_directory else errno.ENOTDIR)


def _writable(connection: sa.Connection, parent: int, name: bytes, who: Who) -> Result[Inode]:
    """The directory in which *name* is to be made."""
    if refusal := bad_name(name):
        return refusal
    directory = _directory(connection, parent, who, EXECUTE)
    if isinstance(directory, Refusal):
        return directory
    if directory.nlink == 0:
        return Refusal(errno.ENOENT)  # it is removed, though somebody is in it
    may_make = may(directory, who, WRITE) and may_name(directory, name, who)
    if not may_make and rows.child(connection, parent, name) is None:
        return denied(directory)
    return directory


def _named(connection: sa.Connection, who: Who, parent: int, name: bytes) -> Result[tuple[Inode, Inode]]:
    """A directory and what *name* is in it."""
    directory = _directory(connection, parent, who, EXECUTE)
    if isinstance(directory, Refusal):
        return directory
    if refusal := bad_name(name):
        return refusal
    inode = rows.child(connection, parent, name)
    return Refusal(errno.ENOENT) if inode is None else (directory, inode)


def bad_name(name: bytes) -> Refusal | None:
    """Why *name* cannot be one; None: it can."""
    if len(name) > NAME_MAX:
        return Refusal(errno.ENAMETOOLONG)
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        return Refusal(errno.EINVAL)
    return None


def _drop_directory(connection: sa.Connection, directory: Inode, now: int) -> None:
    """An empty directory whose name goes: nameless, with no link left."""
    rows.add_links(connection, directory.id, -directory.nlink, now)


def _there(connection: sa.Connection, number: int) -> Inode:
    inode = rows.inode(connection, number)
    assert inode is not None  # noqa: S101 -- read in this same transaction before
    return inode
