# SPDX-License-Identifier: BSD-3-Clause
"""A volume as the kernel sees it: open files and locks."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from typing import Any, NamedTuple

from xos.xtreemfs import api
from xos.xtreemfs.api import Inode, Open
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse import values as fuse
from xos.xtreemfs.fuse.values import Attributes, Caller, Entry, Lock, Opened, refuse
from xos.xtreemfs.mount.filesystem import VolumeNames, access_of
from xos.xtreemfs.mount.identities import Identities
from xos.xtreemfs.mount.inodes import VALID_NS

MOST_ZEROS = 1 << 20
UNQUIET_SECONDS = 2.0
"""For how long news of a change may still come, by which the kernel is told to ask again."""
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16
_LAST = (1 << 63) - 1


class VolumeFiles(VolumeNames):
    """The whole file system."""

    def __init__(self, volume: VolumeClient, identities: Identities) -> None:
        super().__init__(volume, identities)
        self._open: dict[int, _File] = {}
        self._next = 0
        self._cached: dict[int, _Cached] = {}
        self._seen: dict[int, tuple[int, int]] = {}
        """Time of last change and size that the kernel's pages agree with, for who takes a lock of an open file."""
        self._locked: dict[tuple[int, int], int] = {}
        """How often an owner took a lock on an inode, so that closing a file that has none costs nothing."""

    def forget(self, ino: int) -> None:
        """See `FileSystem`."""
        super().forget(ino)
        self._cached.pop(ino, None)
        self._seen.pop(ino, None)

    # --- opening and closing

    def open(self, caller: Caller, ino: int, flags: int) -> Any:
        """See `FileSystem`."""
        number, claim = self.number(ino), self.identities.claim(caller)
        wanted = Open(access_of(flags), truncate=bool(flags & os.O_TRUNC))
        handle = self.volume.open_here(number, wanted, claim)
        return self._open_there(number, wanted, claim, flags) if handle is None else self._opened(handle, flags)

    async def _open_there(self, number: int, wanted: Open, claim: api.Claim | None, flags: int) -> Opened:
        return await self._anew(await self.volume.open(number, wanted, claim), flags)

    async def _anew(self, handle: Handle, flags: int) -> Opened:
        """Opened at the MRC: the kernel must not believe for a second how long the file was before, and end there.

        Telling it to ask does not suffice while others change the file: it drops an answer that is crossed by what
        tells it to ask again, and reads to the end that it knew before (Linux, fs/fuse/inode.c,
        `fuse_change_attributes`). So such a file is read past its cache, where the kernel does not look at its size.
        """
        ino = self.ino(handle.inode.id)
        kept, differs = self._cached.get(ino), self._shown.get(ino) != handle.content.size
        changed = differs if kept is None else kept.version != handle.version
        unquiet = time.monotonic() + UNQUIET_SECONDS if changed else 0.0 if kept is None else kept.unquiet
        opened = self._opened(handle, flags, unquiet)
        # Of two answers under way at once the kernel takes the first: what it was told last does not say what it
        # believes of a file that changes.
        if self.session is not None and (handle.version == 0 or changed or differs):
            await self.session.invalidate_inode(ino, -1)
        return opened

    def create(self, caller: Caller, parent: int, name: bytes, mode: int, flags: int) -> Any:
        """See `FileSystem`."""
        number, claim = self.number(parent), self.identities.claim(caller)
        wanted = Open(access_of(flags), truncate=bool(flags & os.O_TRUNC), create=True, mode=stat.S_IMODE(mode))
        handle = self.volume.make(number, name, wanted, caller.umask, claim)
        if handle is None:
            return self._create(caller, number, name, mode, flags)
        self.ahead.gone(number, name)
        self.touched(number, handle.inode)
        return self.entry(handle.inode), self._opened(handle, flags)

    async def _create(self, caller: Caller, number: int, name: bytes, mode: int, flags: int) -> tuple[Entry, Opened]:
        wanted = Open(
            access_of(flags),
            truncate=bool(flags & os.O_TRUNC),
            create=True,
            exclusive=bool(flags & os.O_EXCL),
            mode=stat.S_IMODE(await self.masked(caller, number, mode)),
        )
        handle = await self.volume.open_name(number, name, wanted, self.identities.claim(caller))
        if not handle.created:
            return self.entry(handle.inode), await self._anew(handle, flags)
        self.touched(number, handle.inode)
        return self.entry(handle.inode), self._opened(handle, flags)

    def _opened(self, handle: Handle, flags: int, unquiet: float = 0.0) -> Opened:
        inode = self.learn(handle.inode)
        ino = self.ino(inode.id)
        self._next += 1
        self._open[self._next] = _File(handle, append=bool(flags & os.O_APPEND))
        kept = self._cached.get(ino)
        how = abi.OpenFlag(0)
        if handle.version != 0 and kept is not None and kept.version == handle.version:
            how |= abi.OpenFlag.KEEP_CACHE
        if (handle.version == 0 or time.monotonic() < unquiet) and self._maps_past_cache:
            how |= abi.OpenFlag.DIRECT_IO
        self._cached[ino] = _Cached(handle.version, unquiet)
        seen = self.volume.seen(inode)
        self._seen[ino] = seen.mtime, seen.size
        return Opened(self._next, how)

    @property
    def _maps_past_cache(self) -> bool:
        """Whether the kernel (Linux 6.6) can map files that are read past its cache."""
        return self.session is not None and bool(self.session.features & abi.InitFlag.DIRECT_IO_ALLOW_MMAP)

    def _file(self, fh: int) -> _File:
        found = self._open.get(fh)
        if found is None:
            raise refuse(errno.EBADF)
        return found

    def flush(self, caller: Caller, ino: int, fh: int, owner: int) -> Any:
        """See `FileSystem`."""
        file = self._file(fh)
        locked = (ino, _own(owner)) in self._locked
        content = file.handle.content
        if file.writes and content.unreported:
            self._seen[ino] = content.mtime, content.size
        if not locked and not (file.writes and content.unsettled and not self.volume.keep_here(file.handle)):
            return None
        return self._flush(caller, ino, file, _own(owner) if locked else None)

    async def _flush(self, caller: Caller, ino: int, file: _File, owner: int | None) -> None:
        if owner is None:
            await file.handle.flush()
            return
        try:
            await self._written_out(file, ino)
        finally:
            await self._unlock(ino, owner, 0, _LAST, caller.pid, bsd=False)

    async def _written_out(self, file: _File, ino: int) -> None:
        """Before a lock is given back, everybody is to see what was written."""
        if file.writes and file.handle.content.unreported:
            inode = await file.handle.report()
            if inode is not None:
                self.learn(inode)
                self._seen[ino] = inode.mtime, inode.size

    def release(self, caller: Caller, ino: int, fh: int, flags: int, owner: int) -> Any:
        """See `FileSystem`."""
        file = self._open.pop(fh, None)
        if file is None:
            raise refuse(errno.EBADF)
        unlock = flags & abi.RELEASE_FLOCK_UNLOCK and (ino, _own(owner)) in self._locked
        if not unlock and not (file.writes and file.handle.content.unsettled):
            self.volume.drop(file.handle)
            return None
        if not unlock and self.volume.leave(file.handle):
            return None
        return self._release(caller, ino, file, _own(owner) if unlock else None)

    async def _release(self, caller: Caller, ino: int, file: _File, owner: int | None) -> None:
        try:
            await file.handle.close()
        finally:
            if owner is not None:
                await self._unlock(ino, owner, 0, _LAST, caller.pid, bsd=True)

    async def fsync(self, caller: Caller, ino: int, fh: int, *, datasync: bool) -> None:  # noqa: ARG002
        """See `FileSystem`."""
        inode = await self._file(fh).handle.sync()
        if inode is not None:
            self.learn(inode)

    async def fsyncdir(self, caller: Caller, ino: int, fh: int, *, datasync: bool) -> None:  # noqa: ARG002
        """See `FileSystem`."""
        await self.volume.sync_directory(self.number(ino))

    # --- bytes

    def read(self, caller: Caller, ino: int, fh: int, offset: int, size: int) -> Any:  # noqa: ARG002
        """See `FileSystem`. What is at hand is answered at once: it is in a buffer that the next read fills."""
        handle = self._file(fh).handle
        found = handle.content.at_hand(offset, size)
        return handle.read(offset, size) if found is None else found

    def write(self, caller: Caller, ino: int, fh: int, offset: int, content: memoryview, flags: int) -> Any:  # noqa: ARG002
        """See `FileSystem`."""
        file = self._file(fh)
        target = file.handle.content
        if file.append and not flags & abi.WRITE_CACHE:
            offset = max(offset, target.size)  # the kernel's idea of it may be of a second ago
        if flags & abi.WRITE_KILL_SUIDGID and self._has_set_id(ino):
            return self._write_and_drop_set_id(file, ino, offset, content)
        if target.put(offset, content):
            return len(content)
        return self._write_later(file, offset, content)

    async def _write_later(self, file: _File, offset: int, content: memoryview) -> int:
        await file.handle.write(offset, content)
        return len(content)

    def _has_set_id(self, ino: int) -> bool:
        known = self._known.get(self.number(ino))
        return known is None or bool(known[0].mode & (stat.S_ISUID | stat.S_ISGID))

    async def _write_and_drop_set_id(self, file: _File, ino: int, offset: int, content: memoryview) -> int:
        inode = await self.inode(ino)
        mode = inode.mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            mode &= ~stat.S_ISGID
        if mode != inode.mode:
            # The writer need not own the file: it is the kernel who wants the bits away, so its owner's claim serves.
            mine = self.identities.claim(Caller(0, 0, 0))
            claim = None if mine is None else api.Claim(inode.owner, (inode.group,), inode.group)
            self.learn(await self.volume.setattr(inode.id, api.Change(mode=stat.S_IMODE(mode)), claim))
        return await self._write_later(file, offset, content)

    def setattr(self, caller: Caller, ino: int, change: fuse.Change) -> Any:
        """See `FileSystem`."""
        return super().setattr(caller, ino, change) if change.size is None else self._cut(caller, ino, change)

    async def _cut(self, caller: Caller, ino: int, change: fuse.Change) -> Attributes:
        number = self.number(ino)
        inode = await self._resize(number, change.size or 0, change.fh, self.identities.claim(caller))
        change = change._replace(size=None)
        if change.nothing:
            return Attributes(self.attr(self.learn(inode)), VALID_NS)
        return await self._setattr(number, self._wanted(number, change), self.identities.claim(caller))

    async def _resize(self, number: int, size: int, fh: int | None, claim: api.Claim | None) -> Inode:
        file = self._open.get(fh) if fh is not None else None
        return await self.volume.truncate(number, size, None if file is None else file.handle, claim)

    async def fallocate(self, caller: Caller, ino: int, fh: int, offset: int, length: int, mode: int) -> None:  # noqa: ARG002
        """See `FileSystem`."""
        file = self._file(fh)
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
            raise refuse(errno.EOPNOTSUPP)
        end = offset + length
        if mode & (_PUNCH_HOLE | _ZERO_RANGE):
            for at in range(offset, min(end, file.handle.content.size), MOST_ZEROS):
                await file.handle.write(at, bytes(min(MOST_ZEROS, min(end, file.handle.content.size) - at)))
        if not mode & _KEEP_SIZE and end > file.handle.content.size:
            self.learn(await file.handle.truncate(end))

    # --- locks

    async def getlk(self, caller: Caller, ino: int, fh: int, owner: int, lock: Lock) -> Lock:  # noqa: ARG002
        """See `FileSystem`."""
        wanted = self._lock(ino, _own(owner), lock.start, lock.end, lock.pid, exclusive=lock.type == fcntl.F_WRLCK)
        found = await self.volume.test_lock(wanted)
        if found is None:
            return Lock(lock.start, lock.end, fcntl.F_UNLCK, 0)
        return Lock(found.start, found.end, fcntl.F_WRLCK if found.exclusive else fcntl.F_RDLCK, found.pid)

    async def setlk(
        self, caller: Caller, ino: int, fh: int, owner: int, lock: Lock, *, wait: bool, flock: bool
    ) -> None:
        """See `FileSystem`. Locks are where nodes meet: what was written goes out before one is given back, and what
        others wrote is seen once it is had.
        """
        own, file = _own(owner), self._file(fh)
        if lock.type == fcntl.F_UNLCK:
            await self._written_out(file, ino)
            await self._unlock(ino, own, lock.start, lock.end, lock.pid, bsd=flock)
            return
        wanted = self._lock(ino, own, lock.start, lock.end, lock.pid, exclusive=lock.type == fcntl.F_WRLCK, bsd=flock)
        self._locked[ino, own] = self._locked.get((ino, own), 0) + 1
        await self.volume.lock(wanted, wait=wait, claim=self.identities.claim(caller))
        await self._renewed_view(ino, file)

    async def _renewed_view(self, ino: int, file: _File) -> None:
        number = self.number(ino)
        before = self._seen.get(ino)
        inode = self.learn(await self.volume.refreshed(number))
        if before != (inode.mtime, inode.size) and self.session is not None and not file.handle.content.unreported:
            self._seen[ino] = inode.mtime, inode.size
            await self.session.invalidate_inode(ino)

    async def _unlock(self, ino: int, owner: int, start: int, end: int, pid: int, *, bsd: bool) -> None:
        if start == 0 and end >= _LAST:
            self._locked.pop((ino, owner), None)
        await self.volume.unlock(self._lock(ino, owner, start, end, pid, exclusive=False, bsd=bsd))

    def _lock(
        self, ino: int, owner: int, start: int, end: int, pid: int, *, exclusive: bool, bsd: bool = False
    ) -> api.Lock:
        return api.Lock(self.number(ino), owner, start, min(end, _LAST), exclusive, pid, bsd)


class _Cached(NamedTuple):
    """Of a file that was opened: what the kernel's pages are of."""

    version: int
    """`xos.xtreemfs.api.Opened.version`: if it is the same when the file is opened again, they may be kept."""
    unquiet: float
    """Until when others are taken to be at it (`time.monotonic`)."""


class _File:
    """An open file of the kernel's."""

    __slots__ = ("append", "handle", "writes")

    def __init__(self, handle: Handle, *, append: bool) -> None:
        self.handle, self.append = handle, append
        self.writes = bool(handle.access & api.Access.WRITE)


def _own(owner: int) -> int:
    """A lock's owner, as the kernel names it, in 63 bits."""
    return owner & _LAST
