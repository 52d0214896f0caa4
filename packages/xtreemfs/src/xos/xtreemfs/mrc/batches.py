# SPDX-License-Identifier: BSD-3-Clause
"""What the holder of a lease did, in one transaction: functions of one connection.

Each change is decided as a call of its own would be, on what the ones before it left; what has come about by them all
is written once, a statement for many rows. A file that was made and taken away again leaves nothing but its bytes.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec import structs

from xos.xtreemfs.api import Access, Applied, Capability, Claim, Gone, Layout, Made, Outcome
from xos.xtreemfs.mrc import contents, handles, leases, rows, usage, volumes
from xos.xtreemfs.mrc.access import (
    EXECUTE,
    WRITE,
    denied,
    may,
    may_change,
    may_name,
    may_remove,
    mode_after,
    new_inode,
)
from xos.xtreemfs.mrc.namespace import bad_name, weight
from xos.xtreemfs.mrc.rows import Whole
from xos.xtreemfs.mrc.values import NOW, Change, Inode, Refusal, Result, Who
from xos.xtreemfs.mrc.volumes import Volume

_encode = msgspec.msgpack.Encoder().encode


class Shown(NamedTuple):
    """A reserve that came with a batch."""

    capability: Capability
    first: int


class Asked(NamedTuple):
    """What a batch is about."""

    session: str
    volume: int
    changes: Sequence[Applied]
    reserves: Sequence[Shown]
    whos: Mapping[Claim | None, Who]
    may_hold: Callable[[Layout, str], bool]
    """Whether files of an owner may be where a layout says."""
    now: int


class Done(msgspec.Struct, array_like=True, frozen=True):
    """What came of it."""

    outcomes: list[Outcome]
    deleted: bool
    """Whether OSDs are to delete something."""


def apply(connection: sa.Connection, asked: Asked, give_back: Sequence[int]) -> Result[Done]:
    """Do all that can be done, then end leases. EINVAL, ESTALE: nothing is done."""
    batch = _Batch(connection, asked)
    if refusal := batch.misfit():
        return refusal
    outcomes = [
        batch.make(change.made) if change.made is not None else batch.remove(change.gone)
        for change in asked.changes
        if change.made is not None or change.gone is not None
    ]
    batch.write()
    leases.end(connection, asked.session, give_back)
    return Done([Outcome(one.errno) if isinstance(one, Refusal) else one for one in outcomes], bool(batch.chores))


class _Batch:
    def __init__(self, connection: sa.Connection, asked: Asked) -> None:
        self._db, self._asked = connection, asked
        self._volume: Volume = volumes.volume(connection, asked.volume)
        self._layouts = [_encode(shown.capability.layout) for shown in asked.reserves]
        self._homes: dict[int, Whole | None] = {}
        self._names: dict[tuple[int, bytes], Whole | None] = {}
        """What a name is by now, of those that were looked at."""
        self._made: dict[int, Whole] = {}
        """Inodes that are not in the database yet."""
        self._open: set[int] = set()
        """Those of them that are open."""
        self._left: dict[tuple[int, bytes], int] = {}
        """Names that are in the database, and are to go from there."""
        self._entered: dict[tuple[int, bytes], int] = {}
        self._gone: dict[int, Whole] = {}
        self._linked: dict[int, Inode] = {}
        """Inodes in the database with fewer names."""
        self._touched: dict[int, int] = {}
        self._charges: dict[tuple[str, str], tuple[int, int]] = {}
        self._used = set[int]()
        """Numbers that inodes have already."""
        self.chores: list[dict[str, Any]] = []

    def misfit(self) -> Refusal | None:
        """Numbers that are not of the reserve that they are said to be of, or twice in the batch."""
        seen: dict[int, int] = {}
        for change in self._asked.changes:
            if (change.made is None) is (change.gone is None):
                return Refusal(errno.EINVAL)
            if (made := change.made) is not None:
                if not 0 <= made.reserve < len(self._asked.reserves) or made.inode in seen:
                    return Refusal(errno.EINVAL)
                reserve = self._asked.reserves[made.reserve]
                fits = 0 <= made.inode - reserve.first < reserve.capability.count
                if not fits or reserve.capability.file_id != contents.file_id(self._volume, reserve.first):
                    return Refusal(errno.EINVAL)
                seen[made.inode] = made.reserve
        for number, reserve in enumerate(self._asked.reserves):
            if number in seen.values():
                self._used |= leases.used(self._db, reserve.first, reserve.first + reserve.capability.count - 1)
        return None

    # --- one change

    def make(self, made: Made) -> Result[Outcome]:
        """A file comes into being."""
        who, layout = self._asked.whos[made.claim], self._asked.reserves[made.reserve].capability.layout
        home = self._home(made.directory, made.name, who)
        if isinstance(home, Refusal):
            return home
        there = self._there(made.directory, made.name)
        if there is not None:
            # Told before, and the answer was lost with the session.
            again = there.inode.id == made.inode
            return Outcome(0, there.inode, self._handle(made, made.inode)) if again else Refusal(errno.EEXIST)
        if not home.inode.nlink:
            return Refusal(errno.ENOENT)
        if not may(home.inode, who, WRITE) or not may_name(home.inode, made.name, who):
            return denied(home.inode)
        if made.inode in self._used or not self._asked.may_hold(layout, who.user):
            return Refusal(errno.EINVAL)
        inode = _inode(home.inode, who, made, self._asked.now)
        if isinstance(inode, Refusal):
            return inode
        whole = Whole(inode, self._volume.id, 0, None, self._layouts[made.reserve])
        self._names[made.directory, made.name] = self._made[inode.id] = whole
        self._entered[made.directory, made.name] = inode.id
        self._used.add(inode.id)
        self._touch(made.directory, made.when)
        self._charge(inode, 1)
        return Outcome(0, inode, self._handle(made, inode.id))

    def remove(self, gone: Gone | None) -> Result[Outcome]:
        """A name goes."""
        assert gone is not None  # noqa: S101 -- `misfit` has looked
        who, key = self._asked.whos[gone.claim], (gone.directory, gone.name)
        home = self._home(gone.directory, gone.name, who)
        if isinstance(home, Refusal):
            return home
        there = self._there(*key)
        if there is None or there.inode.id != gone.inode:
            return Refusal(errno.ENOENT)
        if refusal := may_remove(home.inode, there.inode, who):
            return refusal
        if there.inode.is_directory:
            return Refusal(errno.EISDIR)
        when = min(gone.when, self._asked.now)
        left = structs.replace(there.inode, nlink=there.inode.nlink - 1, ctime=max(when, 0))
        self._names[key] = None
        if self._entered.pop(key, None) is None:
            self._left[key] = left.id
        self._touch(gone.directory, gone.when)
        self._leave(there._replace(inode=left))
        return Outcome(0, left)

    def _leave(self, whole: Whole) -> None:
        """An inode has a name less."""
        left = whole.inode
        if left.nlink:
            for key, other in self._names.items():
                if other is not None and other.inode.id == left.id:
                    self._names[key] = whole
        is_open = left.id in self._open or (left.id not in self._made and contents.is_open(self._db, left.id))
        if left.nlink or is_open:
            if left.id in self._made:
                self._made[left.id] = whole
            else:
                self._linked[left.id] = left
            return
        if self._made.pop(left.id, None) is None:
            self._linked.pop(left.id, None)
            self._gone[left.id] = whole
        self._charge(left, -1)
        if whole.layout is not None:
            name = contents.file_id(self._volume, left.id)
            self.chores += contents.chores(contents.decode_layout(whole.layout), name)

    # --- parts

    def _home(self, number: int, name: bytes, who: Who) -> Result[Whole]:
        """The directory, in which *who* may look names up."""
        if number not in self._homes:
            self._homes[number] = rows.whole(self._db, number)
        home = self._homes[number]
        if home is None:
            return Refusal(errno.ESTALE)
        if not home.inode.is_directory:
            return Refusal(errno.ENOTDIR)
        if home.volume != self._volume.id:
            return Refusal(errno.EXDEV)
        if not may(home.inode, who, EXECUTE):
            return Refusal(errno.EACCES)
        return bad_name(name) or home

    def _there(self, directory: int, name: bytes) -> Whole | None:
        key = (directory, name)
        if key not in self._names:
            self._names[key] = rows.whole_child(self._db, directory, name)
        return self._names[key]

    def _handle(self, made: Made, inode: int) -> int:
        if not made.access:
            return 0
        self._open.add(inode)
        return handles.add(self._db, self._asked.session, inode, Access(made.access))

    def _touch(self, directory: int, when: int) -> None:
        self._touched[directory] = max(self._touched.get(directory, 0), min(when, self._asked.now))

    def _charge(self, inode: Inode, files: int) -> None:
        key = (inode.owner, inode.group)
        size, before = self._charges.get(key, (0, 0))
        self._charges[key] = size + files * weight(inode), before + files

    # --- all of them

    def write(self) -> None:
        """Have in the database what has come about."""
        db = self._db
        rows.leave_all(db, list(self._left))
        rows.set_links(db, list(self._linked.values()))
        rows.remove_inodes(db, list(self._gone))
        rows.add_made(db, list(self._made.values()))
        rows.enter_all(db, self._entered)
        contents.tell_all(db, self.chores)
        for (owner, group), (size, files) in self._charges.items():
            usage.charge(db, self._volume.id, owner, group, size, files)
        for directory, when in self._touched.items():
            rows.touch_directory(db, directory, when)


def _inode(directory: Inode, who: Who, made: Made, now: int) -> Result[Inode]:
    """What was made, with what was written and changed since."""
    when = max(0, min(made.when, now))
    inode = new_inode(directory, who, stat.S_IFREG | made.mode & 0o7777, when, number=made.inode)
    if made.extent is not None:
        if made.extent.epoch != 0 or made.extent.size < 0:
            return Refusal(errno.EINVAL)
        mtime = now if made.mtime == NOW else min(made.mtime, now)
        inode = structs.replace(inode, size=made.extent.size, mtime=mtime, ctime=max(when, mtime))
    return inode if made.change is None else _changed(inode, who, made.change, min(made.ctime, now))


def _changed(inode: Inode, who: Who, change: Change, now: int) -> Result[Inode]:
    if change.size is not None:
        return Refusal(errno.EINVAL)
    if refusal := may_change(inode, who, change):
        return refusal

    def time(wanted: int | None, before: int) -> int:
        return before if wanted is None else now if wanted == NOW else wanted

    return structs.replace(
        inode,
        mode=mode_after(inode, who, change),
        owner=inode.owner if change.owner is None else change.owner,
        group=inode.group if change.group is None else change.group,
        atime=time(change.atime, inode.atime),
        mtime=time(change.mtime, inode.mtime),
        ctime=max(inode.ctime, now),
    )
