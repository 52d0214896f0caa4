# SPDX-License-Identifier: BSD-3-Clause
"""What a primary has committed, what its backup has of that, and what may be told to clients. No I/O."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from xos.common.errors import XosError
from xos.common.recording import Group
from xos.xtreemfs.api import MRC_PROMISE_SECONDS

MOST_KEPT = 400_000
"""Statements that are kept for a backup that is behind; one that is farther behind takes a copy."""
AT_ONCE = 2000
"""Statements in a frame, about."""


class Outbox:
    """Belongs to one event loop.

    *strict*: nothing is told before the backup has it, nor after its promise has run out.
    """

    def __init__(self, position: int, *, strict: bool, clock: Callable[[], float]) -> None:
        self.position = self.acknowledged = position
        if strict:
            self.acknowledged = -1  # what the backup has is not known yet
        self.strict, self._clock = strict, clock
        self.heard_at = clock()
        """When the backup was heard last, or first waited for."""
        self.more = asyncio.Event()
        """There is something to send."""
        self._number = self._first = secrets.randbits(48)
        self._sent: deque[tuple[int, float]] = deque()
        self._promised = 0.0
        self._keeping = False
        self._kept: deque[tuple[int, Group]] = deque()
        self._statements = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._unpromised: list[asyncio.Future[None]] = []
        self._syncs: list[tuple[int, asyncio.Future[None]]] = []
        self._ended: XosError | None = None

    # --- what is committed here

    def ship(self, groups: list[Group]) -> None:
        """These were committed."""
        for group in groups:
            self.position += 1
            if self._keeping:
                self._keep(group)
        self.more.set()

    def _keep(self, group: Group) -> None:
        self._kept.append((self.position, group))
        self._statements += len(group.statements)
        while self._statements > MOST_KEPT:
            self._statements -= len(self._kept.popleft()[1].statements)

    async def settled(self) -> None:
        """Return when all that was committed by now may be told. Raises what `end` was given."""
        upto = self.position
        if self.strict and self.acknowledged < upto:
            await self._wait(lambda future: self._waiting.append((upto, future)))
        while self.strict and not self._clock() < self._promised:
            await self._wait(self._unpromised.append)

    async def synced(self) -> None:
        """Return when the backup has all on disk that was committed by now. Raises what `end` was given."""
        if self.strict:
            await self._wait(lambda future: self._syncs.append((0, future)))

    async def _wait(self, enqueue: Callable[[asyncio.Future[None]], None]) -> None:
        if self._ended is not None:
            raise self._ended
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        enqueue(future)
        self.more.set()
        await future

    # --- what the backup is sent

    def attach(self) -> None:
        """Somebody begins to follow: from now on what is committed is kept for it."""
        self._keeping = True
        self._syncs = [(0, future) for _, future in self._syncs]
        self.more.set()

    def resumes(self, position: int) -> bool:
        """Whether one that has all up to *position* can go on from there."""
        first = self._kept[0][0] if self._kept else self.position + 1
        return first - 1 <= position <= self.position

    def after(self, position: int) -> list[tuple[int, Group]] | None:
        """What comes next, as much as goes into a frame; None: it is kept no more."""
        if position >= self.position:
            return []
        if not self.resumes(position):
            return None
        found: list[tuple[int, Group]] = []
        size = 0
        for one in self._kept:
            if one[0] > position:
                found.append(one)
                size += len(one[1].statements)
                if size >= AT_ONCE:
                    break
        return found

    @property
    def wants_sync(self) -> bool:
        """Whether somebody waits for the backup's disk, and it was not told yet."""
        return any(not number for number, _ in self._syncs)

    def number(self, *, sync: bool = False) -> int:
        """The next frame is sent now."""
        self._number += 1
        self._sent.append((self._number, self._clock()))
        if sync:
            self._syncs = [(number or self._number, future) for number, future in self._syncs]
        return self._number

    def heard(self, number: int, position: int) -> None:
        """The backup has all up to *position*, and has promised something since it heard frame *number*."""
        if not self._first < number <= self._number or position > self.position:
            return  # of another life
        while self._sent and self._sent[0][0] <= number:
            self._promised = max(self._promised, self._sent.popleft()[1] + MRC_PROMISE_SECONDS)
        self.heard_at = self._clock()
        self.acknowledged = max(self.acknowledged, position)
        while self._kept and self._kept[0][0] <= self.acknowledged:
            self._statements -= len(self._kept.popleft()[1].statements)
        done = [future for sent, future in self._syncs if sent and sent <= number]
        self._syncs = [(sent, future) for sent, future in self._syncs if not sent or sent > number]
        while self._waiting and self._waiting[0][0] <= self.acknowledged:
            done.append(self._waiting.popleft()[1])
        unpromised, self._unpromised = self._unpromised, []
        _release(done + unpromised)

    # --- with the backup, without it, and the end

    def be_strict(self) -> None:
        """From now on wait for the backup."""
        self.strict, self.heard_at = True, self._clock()

    def be_alone(self) -> None:
        """From now on wait for nobody: the DIR knows that the backup must not take over."""
        self.strict = False
        _release(self._all())

    def end(self, error: XosError) -> None:
        """Another one serves: what waits to be told never is."""
        self._ended, self.strict = error, True
        for future in self._all():
            if not future.done():
                future.set_exception(error)
        self.more.set()

    def _all(self) -> list[asyncio.Future[None]]:
        waiting = [future for _, future in [*self._waiting, *self._syncs]] + self._unpromised
        self._waiting.clear()
        self._syncs, self._unpromised = [], []
        return waiting


def _release(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
