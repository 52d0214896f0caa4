# SPDX-License-Identifier: BSD-3-Clause
"""The primary of one share: it orders what is changed, and answers when enough replicas have it.

Which replica is the primary of a term is the MRC's decision; that there is no other is made sure here. A new primary

1. has a majority promise to follow it, after which an older one gets nothing acknowledged any more;
2. takes over the newest state of these: it has everything that was ever acknowledged, since that is on a majority too;
3. makes a majority like itself, block by block where the sums differ, and only then serves.

Replicas that do not answer are left behind, and join again later in the same way. A read is answered while a majority's
promises last, and when what it saw is on a majority. No clocks are compared; nothing here touches a disk or a network
but through `Disk` and `Peer`, so that all of it runs in simulated time too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected
from xos.xtreemfs.api import PROMISE_SECONDS, ShareState, Step
from xos.xtreemfs.errors import CorruptShare, Gap, NotPrimary, StaleTerm, TooFewReplicas
from xos.xtreemfs.osd.checksums import BLOCK, Mark
from xos.xtreemfs.osd.copying import differing, pull, push
from xos.xtreemfs.osd.disk import Disk
from xos.xtreemfs.osd.following import Follower
from xos.xtreemfs.osd.peers import STEP_SECONDS, Peer
from xos.xtreemfs.osd.share import Admit, State, unchanged

T = TypeVar("T")
log = get_logger("xos.xtreemfs.osd")
JOIN_SECONDS = 1.0
"""Between attempts to make a replica join that was left behind."""
RECOVER_SECONDS = 4.0
"""For how long a new primary waits for a majority."""
AGAIN = 1 << 32
"""By so much a primary goes on higher when it takes over its own term again. After a power cut it may have forgotten
steps that others have: it must not give their numbers to other steps, for these would seem to be the older ones."""
FEW_BLOCKS = 32
"""So few are copied while writers wait; more are copied before."""


class _Member:
    """A peer, and how far it is."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name, self.peer = name, peer
        self.joined = False
        """It has all steps but those under way."""
        self.version = 0
        """The last step that it acknowledged."""
        self.until = 0.0
        """Loop time until which it follows nobody else."""
        self.changed: set[int] = set()
        """Blocks that have changed since it was compared."""
        self.damaged: set[int] = set()
        """Blocks that it has found damaged, whatever their sums say."""
        self.joining: asyncio.Task[None] | None = None


class Lead:
    """For one share and term. Raises `NotPrimary`, `TooFewReplicas`, and what `Disk` raises."""

    def __init__(
        self, file_id: str, term: int, disk: Disk, follower: Follower, peers: Mapping[str, Peer], *, every: bool
    ) -> None:
        """*peers*: the other replicas, by node. *every*: all of them must have a write, not just most."""
        self.file_id, self.term = file_id, term
        self._disk, self._follower = disk, follower
        self._members = [_Member(name, peer) for name, peer in peers.items()]
        self._most = (len(peers) + 1) // 2 + 1
        self._needed = len(peers) + 1 if every else self._most
        self._loop = asyncio.get_running_loop()
        self._recovery: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()
        self._progress = asyncio.Condition()
        self._ready = self._closed = False
        self._state = State()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def joined(self) -> int:
        """How many replicas are up to date, this one among them."""
        return 1 + sum(member.joined for member in self._members)

    @property
    def same(self) -> int:
        """How many replicas have acknowledged every step, this one among them."""
        return self._with(self._state.mark.version)

    # --- what clients ask for

    async def start(self) -> State:
        """Recover, once; the share as it is then. Goes on when whoever asked first has gone away."""
        while not self._ready:
            self._check()
            if self._recovery is None or self._recovery.done():
                self._recovery = self._spawn(self._recover())
            await asyncio.shield(self._recovery)
        self._check()
        return self._state

    async def write(self, offset: int, content: bytes, admit: Admit, snapshot: int = 0) -> State:
        """Write; on enough replicas when this returns. *snapshot*: what those up to it show is kept first."""
        return await self._step(offset, content, admit, snapshot)

    async def truncate(self, size: int, admit: Admit, snapshot: int = 0) -> State:
        """Cut or grow the share; on enough replicas when this returns."""
        return await self._step(size, None, admit, snapshot)

    async def read(self, offset: int, length: int, admit: Admit) -> bytes:
        """What is on enough replicas."""
        await self.start()
        version = 0

        def seen(mark: Mark) -> Mark:
            nonlocal version
            version = mark.version  # a step that the disk has may not have come to `_state` yet
            return admit(mark)

        while True:
            if self._loop.time() >= self._sure_until():
                await self._renew()
            content = await self._mending(lambda: self._disk.read(self.file_id, offset, length, seen))
            self._check()
            if self._loop.time() < self._sure_until():
                break
        await self._acknowledged(version)
        return content

    async def sync(self) -> State:
        """All that was acknowledged survives a power cut of all replicas when this returns."""
        await self.start()
        version = self._state.mark.version
        await self._disk.sync(self.file_id)
        answers = await self._ask(lambda member: member.peer.harden(version), 2 * STEP_SECONDS, self._needed)
        if answers < self._needed:
            raise TooFewReplicas(file_id=self.file_id, there=answers, wanted=self._needed)
        return self._state

    async def close(self) -> None:
        """Another primary, or the end."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- damage

    async def _mending(self, work: Callable[[], Awaitable[T]], *, ordered: bool = False) -> T:
        """*work* on the disk; damage is mended from another replica. Raises `CorruptShare` if none has the bytes."""
        while True:
            try:
                return await work()
            except CorruptShare as damage:
                if ordered:
                    await self._mend(damage)
                else:
                    async with self._order:
                        await self._mend(damage)

    async def _mend(self, damage: CorruptShare) -> None:
        """Take the damaged bytes from a replica that is like this one. Called with the order held."""
        start, end = int(damage.data["start"] or 0), int(damage.data["end"] or 0)
        for member in self._members:
            if not member.joined:
                continue
            try:
                content = await self._like_this(member, start, end)
            except (XosError, TimeoutError, OSError) as error:
                log.info("replica.not-mending", file=self.file_id, peer_node=member.name, detail=str(error))
                continue
            await self._disk.write(self.file_id, start, content, self._numbered(unchanged))
            log.warning("share.mended", file=self.file_id, start=start, end=end, peer_node=member.name)
            return
        raise damage

    async def _like_this(self, member: _Member, start: int, end: int) -> bytes:
        """Bytes of a replica that has every step. Raises `Gap`."""
        await member.peer.harden(self._state.mark.version)
        content = await member.peer.fetch(start, end - start)
        if len(content) != end - start:
            raise Gap(file_id=self.file_id, version=member.version)
        return content

    # --- steps

    async def _step(self, offset: int, content: bytes | None, admit: Admit, snapshot: int) -> State:
        await self.start()
        # Once begun it is done: a caller that goes away in the middle must not make replicas differ.
        state = await asyncio.shield(self._spawn(self._ordered(offset, content, admit, snapshot)))
        await self._acknowledged(state.mark.version)
        return state

    async def _ordered(self, offset: int, content: bytes | None, admit: Admit, snapshot: int) -> State:
        async with self._order:
            self._check()
            if snapshot > self._state.mark.snapshot:
                await self._disk.freeze(self.file_id, snapshot)
            version = self._state.mark.version + 1

            numbered = self._numbered(lambda mark: admit(mark)._replace(term=self.term, version=version))
            before = self._state.size
            if content is None:
                state = await self._mending(lambda: self._disk.truncate(self.file_id, offset, numbered), ordered=True)
                first, end = sorted((offset, before))
            else:
                state = await self._mending(
                    lambda: self._disk.write(self.file_id, offset, content, numbered), ordered=True
                )
                first, end = min(offset, before), offset + len(content)
            self._state = state
            step = Step(version, state.mark.epoch, offset, content, state.mark.snapshot)
            for member in self._members:
                if member.joined:
                    self._spawn(self._send(member, step))
                else:
                    member.changed.update(range(first // BLOCK, end // BLOCK + 1))
            return state

    def _numbered(self, admit: Admit) -> Admit:
        """*admit*, as long as no later primary has been promised anything here."""

        def still(mark: Mark) -> Mark:
            if mark.promised != self.term:
                raise NotPrimary(file_id=self.file_id, term=self.term)
            return admit(mark)

        return still

    async def _send(self, member: _Member, step: Step) -> None:
        began = self._loop.time()
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await member.peer.replicate(step)
        except StaleTerm:
            await self._depose()
        except (XosError, TimeoutError, OSError) as error:
            self._leave_behind(member, error)
        else:
            await self._heard(member, began, step.version)

    async def _heard(self, member: _Member, began: float, version: int) -> None:
        member.until = max(member.until, began + PROMISE_SECONDS)
        async with self._progress:
            if member.joined:
                member.version = max(member.version, version)
            self._progress.notify_all()

    async def _acknowledged(self, version: int) -> None:
        """Wait until enough replicas have step *version*."""
        try:
            async with asyncio.timeout(STEP_SECONDS), self._progress:
                while self._with(version) < self._needed:
                    self._check()
                    await self._progress.wait()
        except TimeoutError as error:
            raise TooFewReplicas(file_id=self.file_id, there=self._with(version), wanted=self._needed) from error

    def _with(self, version: int) -> int:
        return 1 + sum(member.joined and member.version >= version for member in self._members)

    # --- being sure to be the only one

    def _check(self) -> None:
        try:
            self._follower.check(self.file_id, self.term)
        except StaleTerm as error:
            raise NotPrimary(file_id=self.file_id, term=self.term) from error
        if self._closed:
            raise NotPrimary(file_id=self.file_id, term=self.term)

    def _sure_until(self) -> float:
        """Loop time until which a majority, this one among it, follows nobody else."""
        promises = sorted((member.until for member in self._members), reverse=True)
        return promises[self._most - 2]

    async def _renew(self) -> None:
        if await self._ask(lambda member: member.peer.hold(), STEP_SECONDS, self._most) < self._most:
            self._check()
            raise TooFewReplicas(file_id=self.file_id, there=1, wanted=self._most)

    async def _ask(self, call: Callable[[_Member], Awaitable[None]], seconds: float, enough: int) -> int:
        """Ask all that have joined; how many, this one among them, have agreed when *enough* did or all answered."""
        agreed = 1
        asked = {self._spawn(self._agrees(member, call, seconds)) for member in self._members if member.joined}
        while agreed < enough and asked:
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            agreed += sum(task.result() for task in done)
        self._check()
        return agreed

    async def _agrees(self, member: _Member, call: Callable[[_Member], Awaitable[None]], seconds: float) -> bool:
        began = self._loop.time()
        try:
            async with asyncio.timeout(seconds):
                await call(member)
        except StaleTerm:
            await self._depose()
        except (XosError, TimeoutError, OSError) as error:
            self._leave_behind(member, error)
        else:
            member.until = max(member.until, began + PROMISE_SECONDS)
            return True
        return False

    async def _depose(self) -> None:
        self._closed = True
        async with self._progress:
            self._progress.notify_all()

    # --- recovery and joining

    async def _recover(self) -> None:
        for member in self._members:
            member.joined = False
            if member.joining is not None:
                member.joining.cancel()
        try:
            await self._take_over()
            for member in self._members:
                self._join(member)
            await self._joined_by_most()
        except StaleTerm as error:
            raise NotPrimary(file_id=self.file_id, term=self.term) from error
        except (Gap, ConnectionLost, NotConnected, DeadlineExceeded, CorruptShare) as error:
            log.info("lead.not-recovered", file=self.file_id, term=self.term, detail=str(error))
            raise TooFewReplicas(file_id=self.file_id, there=self.joined, wanted=self._most) from error
        self._ready = True

    async def _take_over(self) -> None:
        """Have a majority's promise, and the newest that one of it has."""
        again = (await self._disk.state(self.file_id)).mark.promised == self.term
        mine, join = await self._follower.follow(self.file_id, self.term)
        newest, size, epoch = (mine.mark.term, mine.mark.version), mine.size, mine.mark.epoch
        snapshot, best = mine.mark.snapshot, None
        for member, state in await self._majority():
            epoch = max(epoch, state.epoch)
            if (state.term, state.version) > newest:
                newest, size, best = (state.term, state.version), state.size, member
            snapshot = max(snapshot, state.snapshot)
        await self._disk.freeze(self.file_id, snapshot)
        if best is not None:
            await pull(self.file_id, self._disk, best.peer, size, self._numbered(unchanged))
        version = newest[1] if newest[0] == self.term else 0
        if again:
            version += AGAIN
        await self._follower.adopt(self.file_id, self.term, join, size, epoch, version, snapshot)
        if again:  # so that the next time goes on higher still
            await self._disk.sync(self.file_id)
        self._state = await self._disk.state(self.file_id)

    async def _majority(self) -> list[tuple[_Member, ShareState]]:
        """The states of as many as make a majority with this one."""
        found: list[tuple[_Member, ShareState]] = []
        tasks = {self._spawn(self._follow(member, found)) for member in self._members}
        try:
            async with asyncio.timeout(RECOVER_SECONDS):
                while len(found) + 1 < self._most and tasks:
                    _, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.info("lead.alone", file=self.file_id, term=self.term)
        self._check()
        if len(found) + 1 < self._most:
            raise TooFewReplicas(file_id=self.file_id, there=len(found) + 1, wanted=self._most)
        return list(found)

    async def _follow(self, member: _Member, found: list[tuple[_Member, ShareState]]) -> None:
        began = self._loop.time()
        try:
            state = await member.peer.follow()
        except StaleTerm:
            await self._depose()
        except (XosError, TimeoutError, OSError) as error:
            log.info("replica.silent", file=self.file_id, peer_node=member.name, detail=str(error))
        else:
            member.until = began + PROMISE_SECONDS
            found.append((member, state))

    def _leave_behind(self, member: _Member, error: Exception) -> None:
        if member.joined:
            log.info("replica.left-behind", file=self.file_id, peer_node=member.name, detail=str(error))
        if isinstance(error, CorruptShare):
            self._note(member, error)
        member.joined = False
        self._join(member)

    @staticmethod
    def _note(member: _Member, damage: CorruptShare) -> tuple[int, int]:
        """Its damaged blocks are copied as it joins; the bytes from, and to."""
        start, end = int(damage.data["start"] or 0), int(damage.data["end"] or 0)
        member.damaged.update(range(start // BLOCK, -(-end // BLOCK)))
        return start, end

    def _join(self, member: _Member) -> None:
        if not self._closed and (member.joining is None or member.joining.done()):
            member.joining = self._spawn(self._keep_joining(member))

    async def _keep_joining(self, member: _Member) -> None:
        while not self._closed:
            try:
                await self._bring_up(member)
            except StaleTerm:
                await self._depose()
            except (XosError, TimeoutError, OSError) as error:
                log.info("replica.not-joined", file=self.file_id, peer_node=member.name, detail=str(error))
                await asyncio.sleep(JOIN_SECONDS)
                if isinstance(error, CorruptShare):
                    await self._look(*self._note(member, error))
            else:
                return

    async def _look(self, start: int, end: int) -> None:
        """Mend it if it is here that bytes are damaged."""
        try:
            await self._mending(lambda: self._disk.read(self.file_id, start, end - start, unchanged))
        except (XosError, OSError) as error:
            log.info("replica.damaged", file=self.file_id, start=start, end=end, detail=str(error))

    async def _bring_up(self, member: _Member) -> None:
        """Make a replica like this one, the last of it while writers wait."""
        began = self._loop.time()
        member.changed = set()
        there = (await member.peer.follow()).size
        member.until = began + PROMISE_SECONDS
        blocks = await differing(self.file_id, self._disk, member.peer, self._state.size)
        blocks |= member.damaged
        while len(blocks) > FEW_BLOCKS:
            await push(self.file_id, self._disk, member.peer, blocks, self._state.mark.snapshot)
            blocks, member.changed = member.changed, set()
        async with self._order:
            self._check()
            mark = self._state.mark
            await push(self.file_id, self._disk, member.peer, blocks | member.changed, mark.snapshot)
            await self._replace_end(member, there)
            await member.peer.adopt(self._state.size, mark.epoch, mark.version, mark.snapshot)
            member.joined, member.damaged = True, set()
            await self._heard(member, began, mark.version)

    async def _replace_end(self, member: _Member, there: int) -> None:
        """Cutting a share looks at the block that stays in part; a damaged one is good again once written whole."""
        block, rest = divmod(self._state.size, BLOCK)
        if rest and block in member.damaged:
            content = await self._disk.read(self.file_id, block * BLOCK, rest, unchanged)
            content = content.ljust(min(BLOCK, there - block * BLOCK), b"\0")
            await member.peer.patch(block * BLOCK, content, self._state.mark.snapshot)

    async def _joined_by_most(self) -> None:
        """Wait until most replicas are like this one."""
        try:
            async with asyncio.timeout(RECOVER_SECONDS), self._progress:
                while self.joined < self._most:
                    self._check()
                    await self._progress.wait()
        except TimeoutError as error:
            raise TooFewReplicas(file_id=self.file_id, there=self.joined, wanted=self._most) from error

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody did, the caller had gone away
