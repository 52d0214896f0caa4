# SPDX-License-Identifier: BSD-3-Clause
"""Who has leased which directory, in memory as in the table of leases, and how others get at it.

A lease is known here before it is in the database, and until it is there no more. Functions of a connection ask
`blocking` before they look at a name or change it, in the thread of their transaction: those that come behind the
lease in the database find it here, so no call needs to be counted or held up for a lease to be given.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import TAKE_SECONDS, Changed, What
from xos.xtreemfs.mrc import leases
from xos.xtreemfs.mrc.leases import Kept
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.watching import Watchers

log = get_logger("xos.xtreemfs.mrc")

QUIET_SECONDS = 2.0
"""So long nobody else may have used the names of a directory before there is a lease of it."""
ANYHOW_SECONDS = 30.0
"""A holder that is heard and does not give a lease back keeps others waiting no longer than this."""
AGAIN_SECONDS = 1.0
MOST_VISITS = 10_000
"""Directories of which is known who used their names last."""


class _Visit(NamedTuple):
    session: str
    last: float
    by_others: float
    """The last of another than `session`."""


@dataclasses.dataclass(eq=False)
class Held:
    """A lease, or one that is about to be given."""

    directory: int
    session: str
    volume: int
    id: int = 0
    """0: about to be."""
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    recalled: bool = False


class Leases:
    """Of all volumes. What is asked from threads of the store only reads."""

    def __init__(self, store: PairedStore, watchers: Watchers, silence: Callable[[str], float]) -> None:
        """*silence*: for how many seconds a session was not heard; endless when there is none."""
        self._store, self._watchers, self._silence = store, watchers, silence
        self._held: dict[int, Held] = {}
        self._visits: dict[int, _Visit] = {}
        self._loop = asyncio.get_running_loop()
        self.spawn: Callable[[Coroutine[Any, Any, None]], object] = self._loop.create_task
        """`MrcService.start` sets this."""

    async def recover(self) -> None:
        """Leases that there were keep others out until their holders were heard, or are late."""
        for kept in await self._store.inner.read(leases.all_):
            self._held[kept.directory] = Held(kept.directory, kept.session, kept.volume, kept.id)

    def forget(self) -> None:
        """Another MRC keeps the leases; who waits for one hears of that."""
        for held in list(self._held.values()):
            self._remove(held)
        self._visits.clear()

    # --- asked in any thread

    def blocking(
        self, session: str, directories: Iterable[int] = (), files: Iterable[int] = (), db: sa.Connection | None = None
    ) -> tuple[int, ...]:
        """Those of *directories*, and (by *db*) of the directories of *files*, that others have leased."""
        if not self._held:
            return ()
        above = [parent for file in files for parent in leases.parents(db, file)] if db is not None else []
        return tuple(number for number in (*directories, *above) if self._is_others(number, session))

    def _is_others(self, directory: int, session: str) -> bool:
        held = self._held.get(directory)
        return held is not None and (held.session != session or not session)

    def of_volume(self, volume: int, session: str = "") -> tuple[int, ...]:
        """The directories of a volume that others than *session* have leased."""
        return tuple(
            held.directory
            for held in list(self._held.values())
            if held.volume == volume and self._is_others(held.directory, session)
        )

    def everywhere(self) -> tuple[int, ...]:
        """All directories that somebody has leased."""
        return tuple(self._held)

    # --- asked in the loop

    def visit(self, session: str, *directories: int) -> None:
        """A session looks at names, or changes them."""
        now = self._loop.time()
        for number in directories:
            before = self._visits.pop(number, None)
            if before is None:
                others = -QUIET_SECONDS
            else:
                others = before.by_others if before.session == session else before.last
            self._visits[number] = _Visit(session, now, others)
            if len(self._visits) > MOST_VISITS:
                del self._visits[next(iter(self._visits))]

    def begin(self, directory: int, session: str, volume: int) -> Held | None:
        """A lease is about to be given, if nobody has it and nobody else was there lately."""
        visit = self._visits.get(directory)
        if directory in self._held or (visit is not None and self._others(visit, session) < QUIET_SECONDS):
            return None
        held = self._held[directory] = Held(directory, session, volume)
        return held

    def _others(self, visit: _Visit, session: str) -> float:
        return self._loop.time() - (visit.by_others if visit.session == session and session else visit.last)

    def of(self, directory: int, session: str) -> Kept | None:
        """The lease that a session has of a directory."""
        held = self._held.get(directory)
        if held is None or held.session != session or not held.id:
            return None
        return Kept(held.id, directory, session, held.volume)

    def had_by(self, session: str) -> list[Kept]:
        """The leases of a session."""
        return [
            Kept(held.id, held.directory, session, held.volume)
            for held in self._held.values()
            if held.session == session and held.id
        ]

    def given(self, held: Held, number: int) -> None:
        """It is in the database."""
        held.id = number

    def not_given(self, held: Held) -> None:
        """It is not."""
        self._remove(held)

    def ended(self, session: str, numbers: Iterable[int] | None = None) -> None:
        """Leases of a session (None: all) are in the database no more."""
        gone = None if numbers is None else set(numbers)
        for held in list(self._held.values()):
            if held.session == session and held.id and (gone is None or held.id in gone):
                self._remove(held)

    def _remove(self, held: Held) -> None:
        if self._held.get(held.directory) is held:
            del self._held[held.directory]
        if held.recalled:  # who wanted it is to find it free
            self.visit("", held.directory)
        held.ended.set()

    # --- getting them back

    async def recall(self, directories: Iterable[int]) -> None:
        """Return when those who have these directories have told all that they did there and given them back."""
        wanted = [found for number in directories if (found := self._held.get(number)) is not None]
        for held in wanted:
            if not held.recalled:
                held.recalled = True
                self.spawn(self._get_back(held))
        for held in wanted:
            await held.ended.wait()
        self._store.check()

    async def _get_back(self, held: Held) -> None:
        last = self._loop.time() + ANYHOW_SECONDS
        while not held.ended.is_set():
            self._watchers.tell_one(held.session, Changed(What.RECALL, held.directory))
            left = min(last - self._loop.time(), TAKE_SECONDS - self._silence(held.session))
            if left <= 0 and held.id and await self._take(held):
                return
            try:
                async with asyncio.timeout(min(AGAIN_SECONDS, max(left, 0.01))):
                    await held.ended.wait()
            except TimeoutError:
                continue

    async def _take(self, held: Held) -> bool:
        log.info("lease-taken", directory=held.directory, session=held.session)
        try:
            await self._store.write(lambda db: leases.end(db, held.session, [held.id]))
        except XosError as error:
            log.warning("lease-not-taken", directory=held.directory, code=error.code, detail=error.message)
            return False
        self._remove(held)
        return True
