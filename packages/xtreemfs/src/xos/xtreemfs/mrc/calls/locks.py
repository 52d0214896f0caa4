# SPDX-License-Identifier: BSD-3-Clause
"""Advisory locks: taken and given back in the database; who waits is known in memory only, since they ask again."""

from __future__ import annotations

import asyncio
import errno
from typing import NamedTuple

import sqlalchemy as sa

from xos.xtreemfs.api import Ask, Lock
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import locks, rows
from xos.xtreemfs.mrc.calls.base import Calls
from xos.xtreemfs.mrc.locking import MOST_END, Owner, Range, closes_a_circle, in_the_way
from xos.xtreemfs.mrc.values import Refusal, Result, Who


class _Blocked(NamedTuple):
    by: tuple[Owner, ...]


class LockCalls(Calls):
    """See `MRC`."""

    _waiting: dict[int, asyncio.Event]
    """By inode: set when something was given back."""
    _waits: list[tuple[Owner, frozenset[Owner]]]

    async def lock(self, lock: Lock, wait: bool, ask: Ask) -> None:
        """See `MRC.lock`."""
        what, wanted = f"lock on {lock.inode}", _range(lock, ask.session)
        while True:
            freed = self._waiting.setdefault(lock.inode, asyncio.Event())
            blockers = await self._take(lock.inode, wanted, ask, what)
            if not blockers:
                return
            if not wait:
                raise Refused.of(errno.EAGAIN, what)
            if not lock.bsd and closes_a_circle(self._waits, wanted.owner, blockers):
                raise Refused.of(errno.EDEADLK, what)
            waits = (wanted.owner, frozenset(blockers))
            self._waits.append(waits)
            try:
                await freed.wait()
            finally:
                self._waits.remove(waits)

    async def _take(self, inode: int, wanted: Range, ask: Ask, what: str) -> tuple[Owner, ...]:
        def take(db: sa.Connection, who: Who, now: int) -> Result[list[Owner]]:  # noqa: ARG001
            if rows.inode(db, inode) is None:
                return Refusal(errno.ESTALE)
            blocking = locks.take(db, inode, wanted)
            return [lock.owner for lock in blocking]

        # A lock that was not got is no answer to be kept: the number is for the one that is.
        unnumbered = Ask(ask.session, 0, ask.claim)
        return tuple(await self.desk.change(unnumbered, list[Owner], what, take))

    async def unlock(self, lock: Lock, ask: Ask) -> None:
        """See `MRC.unlock`."""
        gone = _range(lock, ask.session)

        def give(db: sa.Connection, who: Who, now: int) -> Result[None]:  # noqa: ARG001
            locks.give_back(db, lock.inode, gone)
            return None

        await self.desk.change(Ask(ask.session, 0, ask.claim), None, f"lock on {lock.inode}", give)
        self._freed(lock.inode)

    async def test_lock(self, lock: Lock, session: str) -> Lock | None:
        """See `MRC.test_lock`."""
        self.desk.session(session, "session")
        wanted = _range(lock, session)
        held = await self.desk.read(f"lock on {lock.inode}", lambda db: locks.held(db, lock.inode))
        for other in in_the_way(held, wanted):
            return Lock(lock.inode, int(other.owner[1]), other.first, other.last, other.exclusive, other.pid, other.bsd)
        return None

    def _freed(self, inode: int) -> None:
        event = self._waiting.pop(inode, None)
        if event is not None:
            event.set()


def _range(lock: Lock, session: str) -> Range:
    what = f"lock on {lock.inode}"
    if not session:
        raise Refused.of(errno.ENOLCK, what)
    fits = 0 <= lock.start <= lock.end <= MOST_END and 0 <= lock.owner < 1 << 64 and -(1 << 31) <= lock.pid < 1 << 31
    if not fits:
        raise Refused.of(errno.EINVAL, what)
    return Range((session, str(lock.owner)), lock.start, lock.end, lock.exclusive, lock.pid, lock.bsd)
