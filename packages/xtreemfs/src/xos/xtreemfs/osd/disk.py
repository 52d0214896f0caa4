# SPDX-License-Identifier: BSD-3-Clause
"""The store of an OSD as its event loop sees it: each call runs in a thread. What the disk says becomes our errors."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from xos.xtreemfs.api import Capability
from xos.xtreemfs.errors import DiskFailed, UnknownFile
from xos.xtreemfs.osd.checksums import Bytes
from xos.xtreemfs.osd.share import Admit, Share, State
from xos.xtreemfs.osd.store import ShareStore
from xos.xtreemfs.osd.turns import Turns

T = TypeVar("T")
THREADS = 8
SMALL = 64 << 10
"""Bytes that may be read or written in the event loop, since waking a thread costs more."""
SLOW_SECONDS = 0.02
"""When that took so long, the disk is busy:"""
REST_SECONDS = 1.0
"""threads wait for it, for so long."""
COPIERS = 2
"""Threads that keep shares for snapshots: each may copy for long."""


class Disk(Protocol):
    """Shares. Raises `CorruptShare`, `OsdFull`, `DiskFailed`, and whatever the *admit* that it is given raises."""

    async def state(self, file_id: str) -> State:
        """Of the share; all zero when there is none."""
        ...

    async def read(self, file_id: str, offset: int, length: int, admit: Admit) -> bytes:
        """Fewer bytes at the end, none where there is no share."""
        ...

    async def write(self, file_id: str, offset: int, content: bytes, admit: Admit) -> State:
        """Survives the end of the process when this returns."""
        ...

    async def truncate(self, file_id: str, size: int, admit: Admit) -> State:
        """As `write`."""
        ...

    async def keep(self, file_id: str, admit: Admit, *, durable: bool) -> State:
        """Keep another mark; *durable*: through a power cut."""
        ...

    async def sync(self, file_id: str) -> State:
        """All of it survives a power cut when this returns."""
        ...

    async def sums(self, file_id: str, first: int, count: int) -> bytes:
        """Of blocks, four bytes each."""
        ...

    async def freeze(self, file_id: str, number: int) -> None:
        """Before a write by that number: what earlier snapshots show is kept, on disk, when this returns.

        Nobody may write meanwhile.
        """
        ...


class LocalDisk:
    """Satisfies `Disk` with a `ShareStore`."""

    def __init__(self, store: ShareStore, clock: Callable[[], float] = time.monotonic) -> None:
        """*clock*: seconds."""
        self._store, self._clock = store, clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="osd-disk")
        self._turns = Turns(self._pool)
        self._copiers = ThreadPoolExecutor(COPIERS, thread_name_prefix="osd-freeze")
        self._freezing: dict[str, asyncio.Task[None]] = {}
        self._rest_until = 0.0
        """By the clock: until then nothing waits for the disk in the event loop."""

    def close(self) -> None:
        """Sync everything. Raises `OSError`."""
        self._pool.shutdown()
        self._copiers.shutdown()
        self._store.close()

    async def state(self, file_id: str) -> State:
        """See `Disk`."""
        return await self._there(file_id, lambda share: share.state, State())

    async def read(self, file_id: str, offset: int, length: int, admit: Admit) -> bytes:
        """See `Disk`."""
        return await self._there(file_id, lambda share: share.read(offset, length, admit), b"")

    async def write(self, file_id: str, offset: int, content: bytes, admit: Admit) -> State:
        """See `Disk`."""
        await self._still(file_id)
        return await self._made(file_id, lambda share: share.write(offset, content, admit))

    async def write_parts(self, file_id: str, parts: Sequence[tuple[int, Bytes]], admit: Admit) -> State:
        """As `write`, of several offsets and what is to be there."""
        await self._still(file_id)
        return await self._made(file_id, lambda share: share.write_parts(parts, admit))

    def read_now(self, file_id: str, offset: int, length: int, admit: Admit) -> bytes | None:
        """As `read` of little that is in memory, without a thread; else None."""
        if length > SMALL or not self._is_quiet(file_id):
            return None
        try:
            with self._in_loop(), self._store.share(file_id) as share:
                return share.read_now(offset, length, admit)
        except UnknownFile:
            return b""

    def append_now(self, file_id: str, offset: int, content: Bytes, admit: Admit) -> State | None:
        """As `write` of little at the end of a share, which may be a new one, without a thread; else None."""
        if len(content) > SMALL or not self._is_quiet(file_id):
            return None
        with self._in_loop(), self._store.share(file_id, create=True) as share:
            return share.append_now(offset, content, admit)

    def _is_quiet(self, file_id: str) -> bool:
        """Whether nothing else is done to a share, and the disk was not found busy."""
        idle = not self._turns.under_way(file_id) and file_id not in self._freezing
        return idle and self._clock() >= self._rest_until

    @contextmanager
    def _in_loop(self) -> Iterator[None]:
        """For a moment of the event loop's; one that was long is not had again soon."""
        began = self._clock()
        with _told():
            try:
                yield
            finally:
                if (now := self._clock()) - began > SLOW_SECONDS:
                    self._rest_until = now + REST_SECONDS

    async def truncate(self, file_id: str, size: int, admit: Admit) -> State:
        """See `Disk`."""
        await self._still(file_id)
        return await self._made(file_id, lambda share: share.truncate(size, admit))

    async def keep(self, file_id: str, admit: Admit, *, durable: bool) -> State:
        """See `Disk`."""

        def keep(share: Share) -> State:
            share.keep(admit, durable=durable)
            return share.state

        return await self._made(file_id, keep)

    async def sync(self, file_id: str) -> State:
        """See `Disk`."""

        def sync(share: Share) -> State:
            share.sync()
            return share.state

        return await self._there(file_id, sync, State())

    async def sums(self, file_id: str, first: int, count: int) -> bytes:
        """See `Disk`."""
        return await self._there(file_id, lambda share: share.sums(first, count), bytes(4 * count))

    async def freeze(self, file_id: str, number: int) -> None:
        """See `Disk`. Where it takes long it goes on when whoever asked has given up."""
        while (await self.state(file_id)).mark.snapshot < number and await self.run(lambda: self._store.has(file_id)):
            task = self._freezing.get(file_id)
            if task is None:
                work = self._run(self._copiers, lambda: self._store.freeze(file_id, number))
                task = self._freezing[file_id] = asyncio.get_running_loop().create_task(work)
                task.add_done_callback(lambda task: self._frozen(file_id, task))
            await asyncio.shield(task)

    def _frozen(self, file_id: str, task: asyncio.Task[None]) -> None:
        del self._freezing[file_id]
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody did, the next write tries again

    async def _still(self, file_id: str) -> None:
        """Wait until nothing copies the share any more."""
        while (task := self._freezing.get(file_id)) is not None:
            await asyncio.wait([task])

    async def shown(self, capability: Capability) -> str:
        """The share that has what a snapshot's file holds; one that is not there if it holds nothing."""
        file_id, origin = capability.file_id, capability.origin

        def find() -> str:
            own = self._store.has(file_id)
            return file_id if own else self._store.shown(origin, capability.snapshot) or file_id

        return await self.run(find)

    async def set_apart(self, capability: Capability) -> None:
        """Make what a snapshot's file holds a share of its own, so that it can be copied, filled and deleted."""
        while (name := await self.shown(capability)) == capability.origin:
            await self.freeze(name, capability.snapshot)
        if name != capability.file_id:
            await self._run(self._copiers, lambda: self._store.copy(name, capability.file_id))

    async def delete(self, file_ids: Sequence[str]) -> None:
        """See `ShareStore.delete`."""
        await self.run(lambda: self._store.delete(file_ids))

    async def layouts(self, file_ids: Sequence[str]) -> list[int]:
        """`Mark.layout` of each; 0 when there is none."""
        return await self.run(lambda: [self._store.mark(file_id).layout for file_id in file_ids])

    async def run(self, work: Callable[[], T]) -> T:
        """*work* in a thread. Raises what it raises, `DiskFailed` for what the system says."""
        return await self._run(self._pool, work)

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        with _told():
            return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def _in_turn(self, file_id: str, work: Callable[[], T]) -> T:
        """As `run`, after all other work on that share."""
        with _told():
            return await self._turns.run(file_id, work)

    async def _made(self, file_id: str, work: Callable[[Share], T]) -> T:
        def run() -> T:
            with self._store.share(file_id, create=True) as share:
                return work(share)

        return await self._in_turn(file_id, run)

    async def _there(self, file_id: str, work: Callable[[Share], T], otherwise: T) -> T:
        def run() -> T:
            try:
                with self._store.share(file_id) as share:
                    return work(share)
            except UnknownFile:
                return otherwise

        return await self._in_turn(file_id, run)


@contextmanager
def _told() -> Iterator[None]:
    """Raises `DiskFailed` for what the system says."""
    try:
        yield
    except OSError as error:
        raise DiskFailed(detail=_plain(error)) from error


def _plain(error: OSError) -> str:
    # EBADF: the share was opened to read only, since the disk allows no more (`xos.xtreemfs.osd.share`).
    return "it is read-only" if error.errno in (errno.EROFS, errno.EBADF) else os.strerror(error.errno or errno.EIO)
