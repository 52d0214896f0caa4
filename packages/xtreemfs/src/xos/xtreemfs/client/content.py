# SPDX-License-Identifier: BSD-3-Clause
"""The bytes of an open file: what was written is gathered and sent behind the program's back, reads see it at once.

- A write returns when its bytes are in memory; at `PIECE` bytes they set out, many pieces at a time. `MOST_DIRTY`
  bounds what all files of a client may have unsent.
- What an OSD did not acknowledge is sent again, until the client's patience ends; then the error is told once, by the
  next `flush`, `fsync` or close, and the bytes are dropped, as Linux does it.
- Size and time of the last write go to the MRC with `flush` (close(2)), `fsync`, and every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from xos.xtreemfs.api import MOST_PARTS, Extent, Inode
from xos.xtreemfs.client.early import Early
from xos.xtreemfs.client.grants import Grant, Right
from xos.xtreemfs.client.loans import Loans, Neighbours, NotAtHand
from xos.xtreemfs.client.runs import Bytes, Run, Runs, lay_over, overlap
from xos.xtreemfs.client.sending import PIECE, Load, loads
from xos.xtreemfs.osd.share import MOST_BYTES as MOST_SHARE
from xos.xtreemfs.striping import Stretch, Striping
from xos.xtreemfs.xati import OSDAsync

MOST_DIRTY = 64 << 20
"""Bytes of all files."""
LARGEST_FILE = MOST_SHARE
"""Bytes: what one OSD can hold of it, so that it can be laid out anew."""


class Budget:
    """Memory for what is not sent yet, shared by all files of a client."""

    def __init__(self, most: int = MOST_DIRTY) -> None:
        self._most, self._used = most, 0
        self._freed = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether writers have to wait."""
        return self._used >= self._most

    def use(self, size: int) -> None:
        """Count *size* more bytes, negative: fewer."""
        self._used += size
        if size < 0:
            self._freed.set()

    async def room(self) -> None:
        """Wait until there is some."""
        while self.full:
            self._freed.clear()
            await self._freed.wait()


class _Flight(NamedTuple):
    """Runs on their way."""

    runs: list[Run]
    task: asyncio.Future[None]

    def overlaps(self, runs: list[Run]) -> bool:
        return overlap(self.runs, runs)


class Content:
    """One file's, however often it is open here. A grant to read or to write is needed for that."""

    def __init__(
        self, inode: Inode, budget: Budget, clock: Callable[[], int], neighbours: Neighbours | None = None
    ) -> None:
        """*neighbours*: who may lend shares."""
        self.number = inode.id
        self.size, self.epoch, self.mtime = inode.size, inode.epoch, inode.mtime
        self.landed_until = inode.mtime
        """What was written until then is at the OSDs. A later time must not be told: others would take what they read
        now for all that was written by then."""
        self.reader: Grant | None = None
        self.writer: Grant | None = None
        self.unreported = False
        """Whether the MRC does not know yet how long the file is."""
        self.early: Early | None = None
        """What was read before anybody asked."""
        self._budget, self._clock = budget, clock
        self._loans = Loans(neighbours)
        self._runs = Runs()
        self._flights: list[_Flight] = []
        self._count = 0
        self._high = 0
        """End of what was written since the MRC was told."""
        self._told = self._least = 0
        """Time of the last write that the MRC was told; the longest that it knew the file to be since it was last cut.

        Answers overtake each other: what says less, or is of before a cut that is known, was true before them."""
        self._error: OSError | None = None
        self.kept: asyncio.Future[None] | None = None
        """Bytes of a new file that wait for others, see `xos.xtreemfs.client.gathering`; done when they are there."""
        self._hurry: Callable[[], None] | None = None

    @property
    def dirty(self) -> bool:
        """Whether anything is not at the OSDs yet."""
        return bool(self._runs) or bool(self._flights)

    @property
    def unsettled(self) -> bool:
        """Whether `settle` has anything to do, or to tell."""
        return self.dirty or self._error is not None

    @property
    def only_kept(self) -> bool:
        """Whether nothing but that is under way: the MRC hears of the file after it."""
        return self.kept is not None and len(self._flights) == 1 and not self._runs and self._error is None

    def told(self, inode: Inode) -> None:
        """What the MRC says of the file: news, unless we know better by what we wrote."""
        self.early = None
        ours = self.unreported or self.dirty or self._is_old(inode)
        if inode.epoch > self.epoch:
            self.epoch, self._least = inode.epoch, 0
            self.size = max(inode.size, self._high)
            if not self.dirty and not self._high:  # what was cut off by others need not be told
                self.unreported = False
        elif inode.epoch == self.epoch:
            self.size = max(inode.size, self.size) if ours else inode.size
        if inode.epoch == self.epoch:
            self._least = max(self._least, inode.size)
        if not ours:
            self.mtime = self.landed_until = inode.mtime

    def view(self, inode: Inode) -> Inode:
        """What a program is to see, given what the MRC said."""
        if not (self.unreported or (self.dirty and not self.only_kept) or self._is_old(inode)):
            return inode
        size = max(self.size, inode.size) if inode.epoch == self.epoch else self.size
        mtime = max(self.mtime, inode.mtime)
        return msgspec.structs.replace(inode, size=size, mtime=mtime, ctime=max(inode.ctime, mtime))

    def _is_old(self, inode: Inode) -> bool:
        return (inode.epoch, inode.size) < (self.epoch, self._least) or (
            inode.epoch == self.epoch and inode.ctime < self._told
        )

    # --- writing

    def put(self, offset: int, content: Bytes) -> bool:
        """Take what a program writes; False: there is no room, see `room`. Raises `OSError`."""
        if self.writer is None:
            raise OSError(errno.EBADF, "not open for writing")
        if self._budget.full:
            self._launch()
            return False
        if offset + len(content) > LARGEST_FILE:
            raise OSError(errno.EFBIG, "the file would be too large")
        self.early = None
        before = self._runs.size
        self._runs.put(offset, content)
        self._budget.use(self._runs.size - before)
        self.size = max(self.size, offset + len(content))
        self._high = max(self._high, offset + len(content))
        self.mtime = self._clock()
        self.unreported = True
        if self._runs.size >= PIECE or len(self._runs) >= MOST_PARTS:
            self._launch()
        return True

    async def write(self, offset: int, content: Bytes) -> None:
        """Take what a program writes, once there is room. Raises `OSError`."""
        while not self.put(offset, content):
            await self._budget.room()

    def keep(self, there: asyncio.Future[None], hurry: Callable[[], None]) -> Run | None:
        """Let all bytes of a small new file wait for others, till *there*; None: that is not all of them.

        *hurry* is called when somebody waits for that.
        """
        if len(self._runs) != 1 or self._flights or self._error is not None or self._runs.size != self.size:
            return None
        runs = self._runs.take()
        self._flights.append(_Flight(runs, there))
        self.kept, self._hurry = there, hurry
        return runs[0]

    async def send_kept(self) -> None:
        """They go alone; whether that has failed, says who waits for it next."""
        await self._fly(self._flights[0].runs, [])

    def kept_landed(self) -> None:
        """They are at the OSD, or have failed."""
        flight = next(one for one in self._flights if one.task is self.kept)
        self.kept = self._hurry = None
        self._landed(flight)

    def lost(self) -> OSError | None:
        """Why they are not there: then nothing of the file is."""
        error, self._error = self._error, None
        if error is not None:
            self.size = 0
            self.given_up()
        return error

    def launch(self) -> None:
        """Send what is there."""
        if self._hurry is not None:
            self._hurry()
        if self._runs:
            self._launch()

    def _launch(self) -> None:
        runs = self._runs.take()
        if not runs:
            return
        if self._hurry is not None:
            self._hurry()
        before = [flight.task for flight in self._flights if flight.overlaps(runs)]
        task = asyncio.get_running_loop().create_task(self._fly(runs, before))
        flight = _Flight(runs, task)
        self._flights.append(flight)
        task.add_done_callback(lambda _: self._landed(flight))

    def _landed(self, flight: _Flight) -> None:
        self._flights.remove(flight)
        self._budget.use(-sum(len(run.content) for run in flight.runs))

    async def _fly(self, runs: list[Run], before: list[asyncio.Future[None]]) -> None:
        if before:
            await asyncio.wait(before)
        try:
            calls = loads(runs, self._striping())
            if len(calls) == 1:
                await self._send(calls[0])
                return
            async with asyncio.TaskGroup() as group:
                for load in calls:
                    group.create_task(self._send(load))
        except* OSError as errors:
            self._error = next(error for error in _leaves(errors) if isinstance(error, OSError))

    def _striping(self) -> Striping:
        grant = self.writer or self.reader
        if grant is None:
            raise OSError(errno.EBADF, "not open")
        return grant.layout.striping

    async def _send(self, load: Load) -> None:
        if self.writer is None:
            raise OSError(errno.EBADF, "not open for writing")
        self._count += 1
        number, parts, content = self._count, load.parts, load.content

        async def write(osd: OSDAsync, right: Right, deadline: float) -> None:
            if len(parts) == 1:
                await osd.write(right.token, parts[0].offset, content, number, right.shown, deadline=deadline)
            else:
                await osd.write_parts(right.token, parts, content, number, right.shown, deadline=deadline)

        await self.writer.at(load.place, write, reads=False)

    async def landed(self) -> Extent:
        """Wait until all that was written so far is at the OSDs, or failed; how long the file is by that."""
        self.launch()
        extent, mtime = self.extent, self.mtime
        if len(self._flights) == 1:
            await asyncio.shield(self._flights[0].task)
        elif self._flights:
            await asyncio.wait([flight.task for flight in self._flights])
        self.landed_until = max(self.landed_until, mtime)
        return extent

    async def settle(self) -> Extent:
        """As `landed`. Raises `OSError` of what failed, once."""
        extent = await self.landed()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return extent

    async def sync(self) -> Extent:
        """And on their disks."""
        extent = await self.settle()
        if self.writer is not None:

            async def sync(osd: OSDAsync, right: Right, deadline: float) -> None:
                await osd.sync(right.token, right.shown, deadline=max(deadline, 30.0))

            await self.writer.everywhere(sync)
        return extent

    def drop(self) -> None:
        """Of a file that is emptied: what was not sent need not be."""
        self._budget.use(-self._runs.size)
        self._runs.take()

    async def truncate(self, grant: Grant, size: int) -> None:
        """The OSDs' part of a truncation, which *grant* is the MRC's answer to."""

        async def cut(osd: OSDAsync, right: Right, deadline: float) -> None:
            await osd.truncate(right.token, size, right.shown, deadline=deadline)

        self.epoch, self._least = max(self.epoch, grant.epoch), 0
        self.size, self._high, self.unreported, self.early = size, 0, False, None
        await grant.everywhere(cut)

    @property
    def extent(self) -> Extent:
        """For the MRC."""
        return Extent(self.size, self.epoch)

    def reported(self, extent: Extent, mtime: int) -> None:
        """The MRC knows *extent*, and that it was written at *mtime*."""
        self._told = max(self._told, mtime)
        if extent.epoch == self.epoch:
            self._least = max(self._least, extent.size)
        if (not self.dirty or self.only_kept) and (extent.size, mtime) == (self.size, self.mtime):
            self.unreported, self._high = False, 0

    def close(self) -> None:
        """Nobody has it open any more."""
        self.early = None
        self._loans.end()

    def rest(self) -> None:
        """Nobody writes it any more, and all is at the OSDs: should it be cut by others, it is cut."""
        self._high = 0

    def fail(self, number: int) -> None:
        """Nothing of it will be: the next `settle` says so."""
        self._error = OSError(number, "the file could not be made")

    def given_up(self) -> None:
        """The MRC cannot be told any more: what it says counts."""
        self.unreported, self._high, self._told, self._least = False, 0, 0, 0

    # --- reading

    def at_hand(self, offset: int, length: int) -> Bytes | None:
        """What `read` would give, if it was read early, or a share that is lent has it: good until more is read.

        None: ask `read`.
        """
        length, grant = min(length, self.size - offset), self.reader or self.writer
        if length <= 0 or grant is None or self.dirty:
            return None
        if self.early is not None and (early := self.early.at_hand(offset, length, self.size)) is not None:
            return early
        try:
            if grant.layout.striping.width == 1:
                return self._loans.at_hand(grant, 0, offset, length)
            found = bytearray(length)
            for one in grant.layout.striping.stretches(offset, length, PIECE):
                _place_parts(found, offset, one, self._loans.at_hand(grant, one.place, one.share_offset, one.length))
        except NotAtHand:
            return None
        return found

    async def read(self, offset: int, length: int) -> Bytes:
        """At most *length* bytes, fewer at the end of the file. Raises `OSError`."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self.early is not None:
            await self.early.arrived()
            if (early := self.at_hand(offset, length)) is not None:
                return bytes(early)
        end = offset + length
        over = [run for flight in self._flights for run in flight.runs if run.offset < end and offset < run.end]
        over += self._runs.overlapping(offset, end)
        if over and over[-1].offset <= offset and end <= over[-1].end:
            return bytes(over[-1].content[offset - over[-1].offset : end - over[-1].offset])
        calls = self._striping().stretches(offset, length, PIECE)
        if len(calls) == 1 and len(calls[0].parts) == 1:
            found: Bytes = await self._fetch(calls[0])
        else:
            found = await self._gather(offset, length, calls)
        if over:
            found = bytearray(found)
            for run in over:
                lay_over(found, offset, run)
        return found

    async def _gather(self, offset: int, length: int, calls: list[Stretch]) -> bytearray:
        """What several calls read, each part at its place."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._fetch(one)) for one in calls]
        found = bytearray(length)
        for one, task in zip(calls, tasks, strict=True):
            _place_parts(found, offset, one, task.result())
        return found

    async def _fetch(self, one: Stretch) -> Bytes:
        while (grant := await self._readable()) is not None:
            try:
                return await self._fetch_by(grant, one)
            except OSError:
                if grant in (self.reader, self.writer):
                    raise
                # Who read by that has closed the file meanwhile; somebody else has it open still.
        return bytes(one.length)

    async def _fetch_by(self, grant: Grant, one: Stretch) -> Bytes:
        with contextlib.suppress(NotAtHand):
            return await self._loans.read(grant, one.place, one.share_offset, one.length, self.size)

        async def read(osd: OSDAsync, right: Right, deadline: float) -> bytes:
            return await osd.read(right.token, one.share_offset, one.length, right.shown, deadline=deadline)

        found = await grant.at(one.place, read, reads=True)
        return found if len(found) == one.length else found + bytes(one.length - len(found))

    async def _readable(self) -> Grant | None:
        """A grant to read with; None: there is nothing but zeros, since nobody has written."""
        grant = self.reader or self.writer
        if grant is None:
            raise OSError(errno.EBADF, "not open for reading")
        if not grant.layout.replicas and self.size:
            await grant.renew()
        return grant if grant.layout.replicas else None


def _place_parts(found: bytearray, offset: int, one: Stretch, content: Bytes) -> None:
    """Put what is on one OSD where it belongs in bytes of the file from *offset* on."""
    view, done = memoryview(content), 0
    for at, size in one.parts:
        found[at - offset : at - offset + size] = view[done : done + size]
        done += size


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
