# SPDX-License-Identifier: BSD-3-Clause
"""The Replica Management Service: what an MRC does by itself about the replicas of its files.

They leave OSDs that are draining or removed and disks that are gone, are as many as wished again after a dead one was
left out, and are filled where a file does not change. What is to be done is read from the layouts, and each step of it
is one of them; so a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import Layout
from xos.xtreemfs.mrc import contents, replication
from xos.xtreemfs.mrc.osds import Osds
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.replication import Goal
from xos.xtreemfs.mrc.schema import INODES

log = get_logger("xos.xtreemfs.mrc")

LOOK_SECONDS = 2.0
"""How often it is looked whether OSDs are to be left."""
AGAIN_SECONDS = 30.0
"""After a round in which something could not be done."""
ROUND_SECONDS = 3600.0
"""After one that left nothing to be done."""
PIECE = 500
"""Files looked at at once."""
TOGETHER = 16
"""Files that change at once: most of it is waiting for promises of replicas to run out."""
MOST_HINTS = 1000
"""Files taken up at once when others told of them; a round finds the rest."""
_I = INODES.c
_FILES = sa.select(_I.id, _I.size, _I.layout).where(_I.layout.is_not(None))
File = tuple[int, int, bytes]
"""Inode, size, encoded layout."""


class Changing:
    """Who changes the replicas of a file does so alone."""

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def alone(self, inode: int) -> AsyncIterator[None]:
        """Nobody else does meanwhile."""
        lock = self._locks.setdefault(inode, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(inode, None)


class Due(NamedTuple):
    """A file about which something is to be done."""

    inode: int
    size: int
    goal: Goal


class Management:
    """Of all files of one MRC."""

    def __init__(
        self,
        store: PairedStore,
        osds: Osds,
        reach: Callable[[int, Goal], Awaitable[object]],
        unused: Callable[[int, Layout], Goal | None],
        mib_per_second: float,
    ) -> None:
        """*reach*: have the replicas of an inode become so. *unused*: what is to be without those that nobody reads.
        *mib_per_second*: how fast files are copied, about."""
        self._store, self._osds, self._reach, self._unused = store, osds, reach, unused
        self._bytes_per_second = mib_per_second * (1 << 20)
        self._wanted = asyncio.Event()
        self._hints: set[int] = set()
        self._again = False
        self._gate, self._free = asyncio.Semaphore(TOGETHER), 0.0

    def look(self, inode: int) -> None:
        """There may be something to do about a file."""
        self._hints.add(inode)
        self._wanted.set()

    def look_again(self) -> None:
        """There may be something to do about many files."""
        self._again = True
        self._wanted.set()

    async def run(self) -> None:
        """Round after round, at once when another OSD is to be left."""
        loop = asyncio.get_running_loop()
        seen: object = None
        next_ = 0.0
        while True:
            leaving, stores = self._osds.leaving(), self._osds.stores()
            if self._hints:
                hints, self._hints = self._hints, set()
                if await self._files(await self._store.read(partial(_named, inodes=hints)), leaving, stores):
                    next_ = min(next_, loop.time() + AGAIN_SECONDS)
            if (leaving, stores) != seen or loop.time() >= next_ or self._again:
                self._again = False
                left = await self.round(leaving, stores)
                seen, next_ = (leaving, stores), loop.time() + (AGAIN_SECONDS if left else ROUND_SECONDS)
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()

    async def round(self, leaving: frozenset[str], stores: Mapping[str, str]) -> int:
        """Every file once; how many are still to be changed."""
        left, files = 0, await self._store.read(partial(_behind, after=0))
        while files:
            left += await self._files(files, leaving, stores)
            files = await self._store.read(partial(_behind, after=files[-1][0]))
        return left

    async def _files(self, files: list[File], leaving: frozenset[str], stores: Mapping[str, str]) -> int:
        """Do what is due about some; how many are still to be changed."""
        dues = [
            Due(number, size, goal)
            for number, size, layout in files
            if (goal := self._due(number, contents.decode_layout(layout), leaving, stores)) is not None
        ]
        done = await asyncio.gather(*map(self._change, dues))
        if done:
            log.info("replicas-managed", done=sum(done), left=len(done) - sum(done), leaving=sorted(leaving))
        return len(done) - sum(done)

    def _due(self, number: int, layout: Layout, leaving: frozenset[str], stores: Mapping[str, str]) -> Goal | None:
        return replication.due(layout, leaving, stores) or self._unused(number, layout)

    async def _change(self, due: Due) -> bool:
        try:
            async with self._gate:
                await self._pace(due.size)
                await self._reach(due.inode, due.goal)
        except XosError as error:
            log.info("replicas-not-changed", inode=due.inode, code=error.code, detail=error.message)
            return False
        return True

    async def _pace(self, size: int) -> None:
        """Wait until what began before may be copied at the wished speed."""
        loop = asyncio.get_running_loop()
        begin = max(loop.time(), self._free)
        self._free = begin + size / self._bytes_per_second
        await asyncio.sleep(begin - loop.time())


def _behind(db: sa.Connection, after: int) -> list[File]:
    """Files behind inode *after* that were placed."""
    return _read(db, _FILES.where(_I.id > after).order_by(_I.id).limit(PIECE))


def _named(db: sa.Connection, inodes: set[int]) -> list[File]:
    return _read(db, _FILES.where(_I.id.in_(sorted(inodes)[:MOST_HINTS])))


def _read(db: sa.Connection, query: sa.Select[Any]) -> list[File]:
    return [(row[0], row[1], row[2]) for row in db.execute(query)]
