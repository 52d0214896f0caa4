# SPDX-License-Identifier: BSD-3-Clause
"""A replica that follows a primary: it applies the primary's steps in their order, and no older primary's.

A replica promises each primary that it hears to follow no other one for `PROMISE_SECONDS`. A primary that counts from
before it asked therefore knows how long it is the only one, whatever the clocks say. Promises are not kept on disk: a
replica that has just started behaves as if it had made one.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

from xos.xtreemfs.api import PROMISE_SECONDS, Step
from xos.xtreemfs.errors import Gap, StaleTerm
from xos.xtreemfs.osd.checksums import Mark
from xos.xtreemfs.osd.disk import Disk
from xos.xtreemfs.osd.share import Admit, State

TURN_SECONDS = 1.0
"""How long a step waits for those before it."""


class _File:
    """What is only in memory of a file."""

    def __init__(self, until: float) -> None:
        self.until = until
        """Loop time until which no newer primary is followed."""
        self.wanted = 0
        """The latest term that was asked to be followed: older ones are not heard any more."""
        self.join = -1
        """Of the primary's latest attempt to make this replica like itself; what is late from others is refused."""
        self.joining = True
        """It is under way: a step that was sent before it would lie over what it has copied since."""
        self.applied = asyncio.Condition()


class Follower:
    """All replicas of one OSD. Raises `StaleTerm`, `Gap`, and what its `Disk` raises."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        first = self._loop.time() + PROMISE_SECONDS
        self._files: defaultdict[str, _File] = defaultdict(lambda: _File(first))

    async def follow(self, file_id: str, term: int) -> tuple[State, int]:
        """Follow the primary of *term* and no older one ever again: on disk when this returns.

        The state, and a number for `patch` and `adopt`.
        """
        file = self._files[file_id]
        mark = (await self._disk.state(file_id)).mark
        self._check(file_id, term, file, mark)
        file.wanted = term
        if 0 < mark.promised < term:  # and that older one is not heard any more, so the promise grows no longer
            await asyncio.sleep(max(0.0, file.until - self._loop.time()))
        self._check(file_id, term, file, mark)
        file.joining = True
        # Before anything is waited for, so that no earlier attempt ends this one; nor does one from before a restart.
        file.join = join = random.getrandbits(62)
        state = await self._disk.keep(file_id, self._promising(file_id, term), durable=True)
        self._check(file_id, term, file, state.mark)
        file.until = self._loop.time() + PROMISE_SECONDS
        return state, join

    def check(self, file_id: str, term: int) -> None:
        """Raises `StaleTerm` when a later primary has asked to be followed."""
        self._check(file_id, term, self._files[file_id], Mark())

    async def hold(self, file_id: str, term: int) -> None:
        """Renew the promise."""
        file = self._files[file_id]
        state = await self._disk.state(file_id)
        self._check(file_id, term, file, state.mark)
        if state.mark.promised != term:
            raise Gap(file_id=file_id, version=state.mark.version)
        file.until = self._loop.time() + PROMISE_SECONDS

    async def replicate(self, file_id: str, term: int, step: Step) -> None:
        """Apply *step* when it is its turn; one that was applied already is passed over."""
        file = self._files[file_id]
        state = await self._turn(file_id, term, file, step.version - 1)
        if state.mark.version < step.version:
            admit = self._next(file_id, term, file, step)
            await self._disk.freeze(file_id, step.snapshot)
            if step.content is None:
                await self._disk.truncate(file_id, step.offset, admit)
            else:
                await self._disk.write(file_id, step.offset, step.content, admit)
            async with file.applied:
                file.applied.notify_all()
        self._check(file_id, term, file, Mark())
        file.until = self._loop.time() + PROMISE_SECONDS

    async def harden(self, file_id: str, term: int, version: int) -> None:
        """All steps up to *version* survive a power cut when this returns."""
        file = self._files[file_id]
        await self._turn(file_id, term, file, version)
        await self._disk.sync(file_id)
        self._check(file_id, term, file, Mark())

    async def patch(self, file_id: str, term: int, join: int, offset: int, content: bytes, snapshot: int) -> None:
        """Bytes as the primary has them. The mark stays: all that it tells of is still there."""
        file = self._files[file_id]
        self._check(file_id, term, file, Mark())
        await self._disk.freeze(file_id, snapshot)
        await self._disk.write(file_id, offset, content, self._joining(file_id, term, file, join))

    async def adopt(
        self, file_id: str, term: int, join: int, size: int, epoch: int, version: int, snapshot: int
    ) -> None:
        """This replica is as its primary after step *version*."""
        file = self._files[file_id]
        self._check(file_id, term, file, Mark())
        await self._disk.freeze(file_id, snapshot)
        joining = self._joining(file_id, term, file, join)

        def admit(mark: Mark) -> Mark:
            mark = joining(mark)
            file.joining = False
            return mark._replace(
                term=term, version=version, epoch=max(epoch, mark.epoch), snapshot=max(snapshot, mark.snapshot)
            )

        await self._disk.truncate(file_id, size, admit)
        async with file.applied:
            file.applied.notify_all()

    def _joining(self, file_id: str, term: int, file: _File, join: int) -> Admit:
        promising = self._promising(file_id, term)

        def admit(mark: Mark) -> Mark:
            if file.join != join or not file.joining:
                raise Gap(file_id=file_id, version=mark.version)
            return promising(mark)

        return admit

    async def _turn(self, file_id: str, term: int, file: _File, version: int) -> State:
        """Wait until step *version* of the term is applied."""
        try:
            async with asyncio.timeout(TURN_SECONDS), file.applied:
                while True:
                    state = await self._disk.state(file_id)
                    self._check(file_id, term, file, state.mark)
                    if state.mark.term != term:
                        raise Gap(file_id=file_id, version=state.mark.version)
                    if state.mark.version >= version:
                        return state
                    await file.applied.wait()
        except TimeoutError as error:
            raise Gap(file_id=file_id, version=(await self._disk.state(file_id)).mark.version) from error

    @staticmethod
    def _check(file_id: str, term: int, file: _File, mark: Mark) -> None:
        current = max(file.wanted, mark.promised)
        if term < current:
            raise StaleTerm(file_id=file_id, term=term, current=current)

    @staticmethod
    def _promising(file_id: str, term: int) -> Admit:
        def admit(mark: Mark) -> Mark:
            if term < mark.promised:
                raise StaleTerm(file_id=file_id, term=term, current=mark.promised)
            return mark._replace(promised=term)

        return admit

    @staticmethod
    def _next(file_id: str, term: int, file: _File, step: Step) -> Admit:
        def admit(mark: Mark) -> Mark:
            if mark.promised != term:
                raise StaleTerm(file_id=file_id, term=term, current=mark.promised)
            if file.joining or (mark.term, mark.version) != (term, step.version - 1):
                raise Gap(file_id=file_id, version=mark.version)
            return mark._replace(
                version=step.version, epoch=max(step.epoch, mark.epoch), snapshot=max(step.snapshot, mark.snapshot)
            )

        return admit
