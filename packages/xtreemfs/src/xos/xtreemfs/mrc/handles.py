# SPDX-License-Identifier: BSD-3-Clause
"""Open files: functions of one connection."""

from __future__ import annotations

import errno
import stat

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Access, Closed, Extent, Open, Update
from xos.xtreemfs.mrc import contents, namespace, rows, volumes
from xos.xtreemfs.mrc.access import EXECUTE, READ, WRITE, denied, may
from xos.xtreemfs.mrc.contents import Grant, Place
from xos.xtreemfs.mrc.rows import Whole
from xos.xtreemfs.mrc.schema import HANDLES, INODES
from xos.xtreemfs.mrc.statements import Statement
from xos.xtreemfs.mrc.values import NAME_MAX, Inode, Refusal, Result, Who

_H = HANDLES.c
_encode = msgspec.msgpack.Encoder().encode
_NEW = Statement(HANDLES.insert().returning(_H.id), "session", "inode", "access")
_HELD = Statement(
    rows.select_whole(_H.access)
    .join_from(HANDLES, INODES, _H.inode == INODES.c.id)
    .where(_H.id == sa.bindparam("h"), _H.session == sa.bindparam("s"))
)
_ONE = Statement(sa.select(_H.inode, _H.access).where(_H.id == sa.bindparam("h"), _H.session == sa.bindparam("s")))
_CLOSE = Statement(HANDLES.delete().where(_H.id == sa.bindparam("h"), _H.session == sa.bindparam("s")))
_WRITING = sa.select(_H.id).where(_H.inode == sa.bindparam("i"), _H.access >= int(Access.WRITE)).limit(1)
_WRITERS = sa.select(_H.session, _H.id, _H.inode).where(_H.access >= int(Access.WRITE))
_OF = sa.select(_H.id, _H.inode, _H.access).where(_H.session == sa.bindparam("s"))


def open_inode(
    connection: sa.Connection, who: Who, number: int, wanted: Open, session: str, place: Place, now: int
) -> Result[Grant]:
    """Open a file that is there, by permission."""
    whole = rows.whole(connection, number)
    if whole is None:
        return Refusal(errno.ESTALE)
    if refusal := _cannot_open(whole.inode, who, wanted):
        return refusal
    return _open(connection, whole, wanted, session, place, now, who)


def open_name(
    connection: sa.Connection,
    who: Who,
    parent: int,
    name: bytes,
    wanted: Open,
    session: str,
    place: Place,
    now: int,
) -> Result[Grant]:
    """Look up, create if so wished, and open."""
    home = namespace.whole_directory(connection, parent, who)
    if isinstance(home, Refusal):
        return home
    if len(name) > NAME_MAX:
        return Refusal(errno.ENAMETOOLONG)
    found = rows.child(connection, parent, name)
    if found is not None:
        if wanted.create and wanted.exclusive:
            return Refusal(errno.EEXIST)
        return open_inode(connection, who, found.id, wanted, session, place, now)
    if not wanted.create:
        return Refusal(errno.ENOENT)
    # Placed first, so that a refusal leaves nothing behind.
    volume = volumes.volume(connection, home.volume)
    layout = place(contents.policy_in(home, volume), who.user)
    if layout is None:
        return Refusal(errno.ENOSPC)
    mode, encoded = stat.S_IFREG | wanted.mode & 0o7777, _encode(layout)
    inode = namespace.make(connection, who, home, name, mode, now, layout=encoded)
    if isinstance(inode, Refusal):
        return inode
    handle, whole = add(connection, session, inode.id, _access(wanted)), Whole(inode, volume.id, 0, None, encoded)
    return contents.grant(connection, whole, volume, layout, _access(wanted), handle, created=True)


def _cannot_open(inode: Inode, who: Who, wanted: Open) -> Refusal | None:
    if inode.is_directory:
        return Refusal(errno.EISDIR)
    if stat.S_ISLNK(inode.mode):
        return Refusal(errno.ELOOP)
    if not stat.S_ISREG(inode.mode):
        return Refusal(errno.ENXIO)
    bits = (READ if wanted.access & Access.READ else 0) | (WRITE if changes(wanted) else 0)
    # A kernel reads a program on behalf of who may only run it.
    allowed = may(inode, who, bits) or (bits == READ and may(inode, who, EXECUTE))
    return None if allowed else denied(inode, bits)


def changes(wanted: Open) -> bool:
    """Whether it is opened to be written, or cut."""
    return bool(wanted.access & Access.WRITE) or wanted.truncate


def _access(wanted: Open) -> Access:
    return wanted.access | Access.WRITE if wanted.truncate else wanted.access


def _open(
    connection: sa.Connection, whole: Whole, wanted: Open, session: str, place: Place, now: int, who: Who
) -> Result[Grant]:
    volume = volumes.volume(connection, whole.volume)
    layout = contents.layout_of(whole)
    if changes(wanted):
        found = contents.placed(connection, whole, place)
        if isinstance(found, Refusal):
            return found
        layout = found
        if layout.update is Update.READ_ONLY:
            return Refusal(errno.EROFS)
    if wanted.truncate:
        cut = contents.truncate(connection, who, whole, 0, now)
        if isinstance(cut, Refusal):
            return cut
        whole = whole._replace(inode=cut)
    handle = add(connection, session, whole.inode.id, _access(wanted))
    return contents.grant(connection, whole, volume, layout, _access(wanted), handle)


def add(connection: sa.Connection, session: str, inode: int, access: Access) -> int:
    """A session has a file open; 0: a tool, which closes nothing."""
    if not session:
        return 0
    values = {"session": session, "inode": inode, "access": int(access)}
    return int(_NEW.run(connection, values).fetchone()[0])


def find(connection: sa.Connection, session: str, handle: int) -> tuple[int, Access] | None:
    """Inode and access of an open file of a session."""
    row = _ONE.run(connection, {"h": handle, "s": session}).fetchone()
    return None if row is None else (row[0], Access(row[1]))


def truncate(
    connection: sa.Connection, who: Who, number: int, size: int, handle: int, session: str, place: Place, now: int
) -> Result[Grant]:
    """Set the size: by an open file that may write, or by permission."""
    whole = rows.whole(connection, number)
    if whole is None:
        return Refusal(errno.ESTALE)
    if handle:
        found = find(connection, session, handle)
        if found is None or found[0] != number:
            return Refusal(errno.EBADF)
        if not found[1] & Access.WRITE:
            return Refusal(errno.EINVAL)
        who = Who(who.user, who.groups, who.group, superuser=True)
    if not stat.S_ISREG(whole.inode.mode):
        return Refusal(errno.EISDIR if whole.inode.is_directory else errno.EINVAL)
    if not may(whole.inode, who, WRITE):
        return denied(whole.inode)
    volume = volumes.volume(connection, whole.volume)
    layout = contents.placed(connection, whole, place)
    if isinstance(layout, Refusal):
        return layout
    if layout.update is Update.READ_ONLY:
        return Refusal(errno.EROFS)
    inode = contents.truncate(connection, who, whole, size, now)
    if isinstance(inode, Refusal):
        return inode
    return contents.grant(connection, whole._replace(inode=inode), volume, layout, Access.READ | Access.WRITE, handle)


def renew(connection: sa.Connection, session: str, handles: list[int]) -> list[Grant | None]:
    """What is open, as it is now; None: it is not."""
    return [_again(connection, session, handle) for handle in handles]


def _again(connection: sa.Connection, session: str, handle: int) -> Grant | None:
    found = find(connection, session, handle)
    whole = None if found is None else rows.whole(connection, found[0])
    if found is None or whole is None:
        return None
    volume = volumes.volume(connection, whole.volume)
    return contents.grant(connection, whole, volume, contents.layout_of(whole), found[1], handle)


def renewed(connection: sa.Connection, session: str, handle: int) -> Result[Grant]:
    """One that is open, as it is now."""
    return _again(connection, session, handle) or Refusal(errno.EBADF)


def is_written(connection: sa.Connection, inode: int) -> bool:
    """Whether somebody has it open for writing."""
    return connection.execute(_WRITING, {"i": inode}).first() is not None


def update(connection: sa.Connection, session: str, handle: int, extent: Extent, mtime: int, now: int) -> Result[Inode]:
    """What was written so far."""
    found = _held(connection, session, handle)
    if found is None or not found[1] & Access.WRITE:
        return Refusal(errno.EBADF)
    if extent.size < 0:
        return Refusal(errno.EINVAL)
    whole = found[0]
    contents.extend(connection, whole.volume, whole.inode, extent, mtime, now)
    return rows.inode(connection, whole.inode.id) or Refusal(errno.ESTALE)


def close(connection: sa.Connection, session: str, closed: Closed, now: int) -> tuple[int, bool] | None:
    """Close one; the inode, if it was open, and whether it is gone with that."""
    found = _held(connection, session, closed.handle)
    if found is None:
        return None
    whole, access = found
    if closed.extent is not None and access & Access.WRITE and closed.extent.size >= 0:
        contents.extend(connection, whole.volume, whole.inode, closed.extent, closed.mtime, now)
    _CLOSE.run(connection, {"h": closed.handle, "s": session})
    return whole.inode.id, whole.inode.nlink == 0 and contents.reap(connection, whole.inode.id)


def _held(connection: sa.Connection, session: str, handle: int) -> tuple[Whole, Access] | None:
    """What a session has open under a handle."""
    row = _HELD.run(connection, {"h": handle, "s": session}).fetchone()
    return None if row is None else (rows.whole_of(row[:-1]), Access(row[-1]))


def writers(connection: sa.Connection) -> list[tuple[str, int, int]]:
    """Session, handle and inode of all that may be written."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_WRITERS)]


def seen(connection: sa.Connection, number: int) -> Grant | None:
    """A file as somebody sees it who may do nothing with it; None: it is gone."""
    whole = rows.whole(connection, number)
    if whole is None:
        return None
    volume = volumes.volume(connection, whole.volume)
    return contents.grant(connection, whole, volume, contents.layout_of(whole), Access(0))


def open_in(connection: sa.Connection, session: str) -> list[tuple[int, int, Access]]:
    """Handle, inode and access of all that a session has open."""
    return [(row[0], row[1], Access(row[2])) for row in connection.execute(_OF, {"s": session})]
