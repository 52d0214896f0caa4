# SPDX-License-Identifier: BSD-3-Clause
"""What was done under leases of directories and the MRC does not know yet: told in batches, in order, once.

A batch sets out `GATHER_SECONDS` after the first of it was done, or at once when somebody waits for it (fsync, a call
that must come after it, a lease that is given back); meanwhile more is gathered.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.xtreemfs.api import MOST_BATCH, Access, Applied, Ask, Change, Claim, Extent, Gone, Made, Outcome
from xos.xtreemfs.client.patience import CALL_SECONDS
from xos.xtreemfs.xati import MRCAsync

if TYPE_CHECKING:
    from xos.xtreemfs.client.files import Handle
    from xos.xtreemfs.client.leases import File, Numbers

log = get_logger("xos.xtreemfs.client")

GATHER_SECONDS = 0.02
"""A small file is made, written and closed in that time, so that the MRC never hears of it as an open one."""
YOUNG_SECONDS = 0.05
"""So long a file that is still open waits for being closed, unless somebody waits for it."""
BYTES_SECONDS = 2.0
"""So long names wait for bytes that are on their way."""
MOST_PENDING = 4096
"""Changes that are not told; then programs wait."""

_T = TypeVar("_T")


class State(enum.Enum):
    """How much the MRC knows of what was made."""

    NOTHING = enum.auto()
    SENT = enum.auto()
    TOLD = enum.auto()
    FAILED = enum.auto()


class Born:
    """A file that was made here."""

    __slots__ = (
        "change", "claim", "ctime", "directory", "extent", "file", "handle", "mode", "mtime", "name", "numbers",
        "since", "state", "when",
    )  # fmt: skip

    def __init__(
        self, directory: int, name: bytes, file: File, numbers: Numbers, mode: int, when: int, claim: Claim | None
    ) -> None:
        self.directory, self.name, self.file, self.numbers = directory, name, file, numbers
        self.mode, self.when, self.claim = mode, when, claim
        self.handle: Handle | None = None
        """Who writes it; None: it is closed."""
        self.extent: Extent | None = None
        self.mtime = 0
        self.change: Change | None = None
        self.ctime = 0
        """When that was made."""
        self.state = State.NOTHING
        self.since = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether a program has it open for writing."""
        return self.handle is not None and not self.handle.left

    def made(self, reserve: int) -> Made:
        """For the MRC."""
        access = Access(0) if self.handle is None else self.handle.access
        return Made(
            self.directory, self.name, self.file.number, self.mode, self.when, self.claim, reserve,
            self.extent, self.mtime, self.change, access, self.ctime,
        )  # fmt: skip


class Teller(Protocol):
    """The client, as it is needed here."""

    async def change(self, claim: Claim | None, do: Callable[[MRCAsync, Ask], Awaitable[_T]]) -> _T:
        """A call that is repeated until it is answered. Raises `OSError`."""
        ...

    def done(self, change: Born | Gone, outcome: Outcome) -> None:
        """What became of a change."""
        ...


class Pending:
    """Changes in order."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._queue: list[Born | Gone] = []
        self._sent: Sequence[Born | Gone] = ()
        self._telling = asyncio.Lock()
        self._some = asyncio.Event()
        self._told = 0
        """How many have left the queue."""
        self._born: dict[int, Born] = {}

    @property
    def full(self) -> bool:
        """Whether programs have to wait."""
        return len(self._queue) >= MOST_PENDING

    @property
    def empty(self) -> bool:
        """Whether the MRC knows all."""
        return not self._queue and not self._sent

    def born(self, number: int) -> Born | None:
        """A file that the MRC does not know yet."""
        return self._born.get(number)

    def add(self, change: Born | Gone) -> None:
        """It was done."""
        if isinstance(change, Born):
            self._born[change.file.number] = change
        self._queue.append(change)
        self._some.set()

    async def run(self) -> None:
        """Tell the MRC, for as long as the client lives."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            await self._to_its_end(self._tell((), durable=False, until=self._settled()))

    @staticmethod
    async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
        """Whoever stops waiting: what has left the queue is told all the same."""
        await asyncio.shield(asyncio.get_running_loop().create_task(work))

    def _settled(self) -> int:
        """How many of the first in the queue are to be told now: not yet what has just been opened."""
        end, young = len(self._queue), time.monotonic() - YOUNG_SECONDS
        while end and isinstance(last := self._queue[end - 1], Born) and last.open and last.since > young:
            end -= 1
        return end

    async def _written(self, batch: Sequence[Born | Gone]) -> None:
        """Wait until the bytes of what was closed are there: no name is told without them.

        After `BYTES_SECONDS` it is told as a file that is still open, since others may wait for names.
        """
        waits: list[asyncio.Future[None]] = []
        for one in batch:
            if isinstance(one, Born) and one.handle is not None and one.handle.content.kept is not None:
                one.handle.content.launch()
                waits.append(one.handle.content.kept)
        if waits:
            await asyncio.wait(waits, timeout=BYTES_SECONDS)

    async def tell(self, give_back: Sequence[int] = (), *, durable: bool = False) -> None:
        """The MRC knows all that was done before when this returns, and has these leases back."""
        if not self.empty or give_back:
            await self._to_its_end(self._tell(give_back, durable=durable, until=len(self._queue)))

    async def _tell(self, give_back: Sequence[int], *, durable: bool, until: int) -> None:
        until += self._told
        async with self._telling:
            while (left := until - self._told) > 0 or give_back:
                count = max(0, min(left, MOST_BATCH))
                batch, self._queue = self._queue[:count], self._queue[count:]
                self._told += count
                last = () if left > count else give_back
                self._sent = batch
                try:
                    await self._written(batch)
                    await self._send(batch, list(last), durable=durable)
                finally:
                    self._sent = ()
                if last:
                    break
            if not self._queue:
                self._some.clear()

    async def _send(self, batch: Sequence[Born | Gone], give_back: list[int], *, durable: bool) -> None:
        changes, reserves = _wire(batch)
        try:
            outcomes = await self._teller.change(
                None, lambda mrc, ask: mrc.apply(changes, reserves, give_back, ask, durable, deadline=CALL_SECONDS)
            )
        except OSError as error:
            log.warning("client.not-applied", changes=len(batch), detail=str(error))
            # One that cannot be told must not take the others with it; who does not answer at all is asked no more.
            if len(batch) > 1 and error.errno != errno.EIO:
                middle = len(batch) // 2
                await self._send(batch[:middle], [], durable=durable)
                await self._send(batch[middle:], give_back, durable=durable)
                return
            outcomes = [Outcome(error.errno or errno.EIO)] * len(batch)
        if len(outcomes) != len(batch):
            log.error("client.outcomes", changes=len(batch), outcomes=len(outcomes))
            outcomes = [Outcome(errno.EIO)] * len(batch)
        for one, outcome in zip(batch, outcomes, strict=True):
            if isinstance(one, Born):
                self._born.pop(one.file.number, None)
                one.state = State.FAILED if outcome.errno else State.TOLD
            self._teller.done(one, outcome)


def _wire(batch: Sequence[Born | Gone]) -> tuple[list[Applied], list[Signed]]:
    """A batch as it travels: with the reserves that it needs, each once."""
    changes: list[Applied] = []
    places: dict[int, int] = {}
    reserves: list[Signed] = []
    for one in batch:
        if isinstance(one, Gone):
            changes.append(Applied(gone=one))
            continue
        place = places.setdefault(id(one.numbers), len(reserves))
        if place == len(reserves):
            reserves.append(one.numbers.shown.signed)
        one.state = State.SENT
        changes.append(Applied(made=one.made(place)))
    return changes, reserves
