# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories that are used much: when one is asked for, kept, given back.

`xos.xtreemfs.client.leased` answers from them, `xos.xtreemfs.client.ordered` asks the MRC beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from abc import abstractmethod
from collections.abc import Coroutine, Iterable
from typing import Any

from msgspec import structs

from xos.common.log import get_logger
from xos.xtreemfs.api import Changed, Claim, Gone, Inode, Lease, Open, Outcome, Row, What
from xos.xtreemfs.client.early import EarlyReads
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.leases import Held, Memory, Numbers, can_keep
from xos.xtreemfs.client.names import Names
from xos.xtreemfs.client.patience import CALL_SECONDS
from xos.xtreemfs.client.pending import Born, Pending

log = get_logger("xos.xtreemfs.client")

HOLD_EVERY_SECONDS = 1.0
"""How often the MRC is asked whether leases still are ours."""
IDLE_SECONDS = 20.0
"""After so long without use a lease is given back."""
BURST_SECONDS = 1.0
BURST = 16
"""So many look-ups in a directory within `BURST_SECONDS`, or a quarter of changes, are worth a lease."""
LEAST_PAUSE, MOST_PAUSE = 2.0, 60.0
"""Seconds until the MRC is asked again for a lease that it did not give."""
MOST_LISTED = 20_000
"""Names of a directory that is listed for the sake of a lease."""
MOST_HELD = 256
MOST_VISITED = 1024
PAGE = 4096


class _Visits:
    """How much a directory is used."""

    __slots__ = ("count", "not_before", "pause", "since")

    def __init__(self) -> None:
        self.count, self.since, self.not_before, self.pause = 0, 0.0, 0.0, LEAST_PAUSE

    def worth(self, weight: int) -> bool:
        """Count; whether a lease is worth asking for now."""
        now = time.monotonic()
        if now - self.since > BURST_SECONDS:
            self.since, self.count = now, 0
        self.count += weight
        return self.count >= BURST and now >= self.not_before

    def refused(self) -> None:
        """Not now; and later and later."""
        self.not_before = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, MOST_PAUSE)


class Leasing(Names):
    """Of one client. *leases*: whether it asks for any; *own*: who a call without a claim is for."""

    def __init__(self, name: str, patience: float, *, leases: bool, own: Claim | None) -> None:
        super().__init__(name, patience)
        self._leases, self._own = leases, own
        self.pending = Pending(self)
        self._memory = Memory()
        self._early = EarlyReads(self._memory.files, self.changes_here)
        self._proved = 0.0
        """When that call was sent whose answer said last that all leases are ours (monotonic)."""
        self._visits: dict[int, _Visits] = {}
        self._asked: dict[int, bool] = {}
        """Directories of which a lease is being got: whether it was recalled meanwhile."""
        self._gates: dict[int, asyncio.Event] = {}
        """Those that are listed for a lease: names are changed before or after that."""
        self._changing: dict[int, int] = {}
        self._quiet = asyncio.Condition()
        self._stale: set[int] = set()
        """Inodes that changed while a directory was listed."""
        self._accepted: set[Claim | None] = set()
        """For whom the MRC has done something: it would again."""
        self._failed: dict[int, int] = {}
        """Directories in which something could not be done that a program was told was: the errno."""
        self._strangers: set[Handle] = set()
        """Open files that the MRC does not know of: they are read by the capability of a reserve."""
        self._errands: set[asyncio.Task[None]] = set()

    @abstractmethod
    def handles_of(self, number: int) -> Iterable[Handle]:
        """What is open of a file."""

    @abstractmethod
    def changes_here(self, number: int) -> bool:
        """Whether a file is written by programs here, or was and the MRC has not heard."""

    @abstractmethod
    def named(self, handle: Handle) -> None:
        """The MRC knows now of an open file, or cannot (`Handle.number` 0); it may be closed here meanwhile."""

    def landed(self, handle: Handle) -> None:
        """See `xos.xtreemfs.client.gathering.Landing`."""
        if not handle.left:
            return
        error, born = handle.content.lost(), self.pending.born(handle.content.number)
        if error is not None:
            log.warning("client.not-written", file=handle.content.number, detail=str(error))
            if born is not None:
                self._failed[born.directory] = error.errno or errno.EIO
                self._lose(born.directory)
        self.drop(handle)

    @abstractmethod
    def drop(self, handle: Handle) -> None:
        """Close it, when all is at the OSDs; the MRC hears of it in a moment."""

    # --- what became of it

    def done(self, change: Born | Gone, outcome: Outcome) -> None:
        """See `xos.xtreemfs.client.pending.Teller`."""
        number = change.file.number if isinstance(change, Born) else change.inode
        if outcome.errno:
            log.warning("client.not-done", file=number, directory=change.directory, errno=outcome.errno)
            self._failed[change.directory] = outcome.errno
            self._lose(change.directory)
        if isinstance(change, Born):
            self._told(change, outcome)

    def _told(self, born: Born, outcome: Outcome) -> None:
        handle, file = born.handle, born.file
        if outcome.errno and handle is not None:
            handle.content.fail(outcome.errno)
        elif outcome.inode is not None and file.inode is not None and can_keep(outcome.inode):
            file.inode = outcome.inode
        if handle is not None:
            handle.number = outcome.handle
            self.named(handle)

    # --- getting a lease

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OSError as error:
            log.info("client.lease", volume=self.name, detail=str(error))

    def visited(self, directory: int, weight: int, claim: Claim | None) -> None:
        """A directory is used by the MRC: as much as *weight* look-ups."""
        if not self._leases or directory in self._memory.held or directory in self._asked:
            return
        visits = self._visits.get(directory)
        if visits is None:
            if len(self._visits) >= MOST_VISITED:
                self._visits.clear()
            visits = self._visits[directory] = _Visits()
        if visits.worth(weight) and len(self._memory.held) < MOST_HELD:
            self._asked[directory] = False
            self._errand(self._acquire(directory, visits, claim))

    async def _acquire(self, directory: int, visits: _Visits, claim: Claim | None) -> None:
        visits.refused()  # until it turns out otherwise
        sent = time.monotonic()
        try:
            lease = await self.change(claim, lambda mrc, ask: mrc.lease(directory, ask, deadline=CALL_SECONDS))
            if lease is None:
                return
            if await self._installed(lease, sent, claim):
                visits.pause = LEAST_PAUSE
            else:
                await self.pending.tell([lease.id])
        finally:
            del self._asked[directory]
            if not self._asked:
                self._stale.clear()
            gate = self._gates.pop(directory, None)
            if gate is not None:
                gate.set()

    async def _installed(self, lease: Lease, sent: float, claim: Claim | None) -> bool:
        """Whether all that is in the directory is known, and the lease still wanted."""
        directory = lease.directory.id
        names = await self._listed(directory, claim)
        if names is None:
            return False
        attributes = await super().getattr(directory)
        if self._memory.held:
            await self._prove()
        else:
            self._proved = sent
        if self._asked[directory]:
            return False
        held = Held(structs.replace(lease, directory=attributes), names)
        local = claim or self._own
        if lease.reserve is not None and local is not None:
            held.numbers[local.user] = Numbers(lease.reserve, lease.id)
        self._memory.install(held)
        for number in self._stale:
            self._memory.touched(number)
        return True

    async def _listed(self, directory: int, claim: Claim | None) -> list[tuple[bytes, Inode]] | None:
        """All names; until the gate is opened none is changed here. None: there are too many."""
        self._gates[directory] = asyncio.Event()
        async with self._quiet:
            await self._quiet.wait_for(lambda: directory not in self._changing or self._asked[directory])
        found: list[tuple[bytes, Inode]] = []
        after = 0
        while not self._asked[directory]:
            rows = await self.rows(directory, after, PAGE, claim)
            found += [(row.name, row.inode) for row in rows]
            if len(rows) < PAGE:
                return found
            if len(found) >= MOST_LISTED:
                return None
            after = rows[-1].cookie
        return None

    def _want_numbers(self, held: Held, claim: Claim | None, user: str) -> None:
        if user not in held.asking:
            held.asking.add(user)
            self._errand(self._more_numbers(held, claim, user))

    async def _more_numbers(self, held: Held, claim: Claim | None, user: str) -> None:
        reserve = await self.change(claim, lambda mrc, ask: mrc.reserve(held.id, ask, deadline=CALL_SECONDS))
        if reserve is None:
            asyncio.get_running_loop().call_later(LEAST_PAUSE, held.asking.discard, user)
            return
        fresh, numbers = Numbers(reserve, held.id), held.numbers.get(user)
        if numbers is None:
            held.numbers[user] = fresh
        else:
            numbers.after = fresh
        held.asking.discard(user)

    # --- keeping it

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(HOLD_EVERY_SECONDS)
            with contextlib.suppress(OSError):  # who does not answer is asked again; until then nothing is answered
                await self._prove()
            oldest = time.monotonic() - IDLE_SECONDS
            for directory, held in list(self._memory.held.items()):
                if held.used < oldest:
                    self.recalled(directory)

    async def _prove(self) -> None:
        """Which leases still are ours. Raises `OSError`."""
        ids = {held.id: directory for directory, held in self._memory.held.items()}
        if not ids:
            return
        sent = time.monotonic()
        left = set(await self.call(lambda mrc: mrc.hold(self.session.id, list(ids), deadline=CALL_SECONDS)))
        for lease, directory in ids.items():
            held = self._memory.held.get(directory)
            if lease not in left and held is not None and held.id == lease:
                self._lose(directory)
        self._proved = max(self._proved, sent)

    def doubted(self) -> None:
        """Something may have been missed: nothing is answered before the MRC has said what still is ours."""
        if self._memory.held:
            self._proved = 0.0
            self._errand(self._prove())

    # --- giving it back

    def recalled(self, directory: int) -> None:
        """Somebody else wants the names."""
        if directory in self._asked:
            self._asked[directory] = True
            self._errand(self._stir())
            return
        held = self._dropped(directory)
        if held is not None:
            self._errand(self._give_back(held))

    def _dropped(self, directory: int) -> Held | None:
        """Nothing is answered for a directory any more; what was known."""
        held = self._memory.drop(directory)
        if held is not None:
            self._early.clear()
            for handle in self._strangers:
                handle.content.early = None
        return held

    async def _stir(self) -> None:
        async with self._quiet:
            self._quiet.notify_all()

    async def _give_back(self, held: Held) -> None:
        await self._introduce()
        await self.pending.tell([held.id])

    def _lose(self, directory: int) -> None:
        if self._dropped(directory) is not None and self._strangers:
            self._errand(self._introduce())

    def lose_all(self) -> None:
        """The session is another one."""
        for directory in list(self._memory.held):
            self._dropped(directory)
        for directory in self._asked:
            self._asked[directory] = True

    async def _introduce(self) -> None:
        """Let the MRC know of what is open."""
        while self._strangers:
            handle = self._strangers.pop()
            try:
                await self.introduce(handle)
            except OSError as error:
                log.warning("client.not-open", file=handle.content.number, detail=str(error))

    async def introduce(self, handle: Handle) -> None:
        """Let the MRC know of an open file. Raises `OSError`."""
        await self.pending.tell()
        self._strangers.discard(handle)
        if handle.number:
            return
        number, wanted = handle.content.number, Open(handle.access)
        opened = await self.change(handle.claim, lambda mrc, ask: mrc.open(number, wanted, ask, deadline=CALL_SECONDS))
        handle.number = opened.handle
        if handle in self.handles_of(number):
            handle.grant.replace(opened)
        else:
            self.close_late(handle)

    @abstractmethod
    def close_late(self, handle: Handle) -> None:
        """The MRC has opened what is closed already."""

    async def give_all_back(self) -> None:
        """At the end."""
        held = [self._dropped(directory) for directory in list(self._memory.held)]
        await self.pending.tell([one.id for one in held if one is not None])

    # --- by the MRC, in order with what was done in memory

    async def before(self) -> None:
        """The MRC knows of all that was done here when this returns."""
        if not self.pending.empty:
            await self.pending.tell()
        if self._strangers:
            await self._introduce()

    async def told(self, number: int) -> None:
        """It knows this file."""
        if self.pending.born(number) is not None:
            await self.pending.tell()

    def changed_elsewhere(self, changed: Changed) -> None:
        """Others did something, by the MRC."""
        self.touched(changed.inode)
        if changed.what is What.ENTRY:
            self._memory.unknown(changed.inode, changed.name)

    def touched(self, number: int) -> None:
        """Attributes of an inode changed at the MRC."""
        self._memory.touched(number)
        if self._asked:
            self._stale.add(number)

    async def rows(self, inode: int, after: int, most: int, claim: Claim | None) -> list[Row]:
        """As the MRC has them."""
        return await self.call(
            lambda mrc: mrc.readdir(inode, after, most, claim, self.session.id, deadline=CALL_SECONDS)
        )
