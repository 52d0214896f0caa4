# SPDX-License-Identifier: BSD-3-Clause
"""Where every call of the MRC comes by: who asks, for which session, was it done already, who is to hear of it."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from xos.common.identity import Identity
from xos.common.log import get_logger
from xos.common.signing import Signed, sign
from xos.dixi.api import current_call
from xos.dixi.hosting import Host
from xos.xtreemfs.api import (
    CAPABILITY_PURPOSE,
    CAPABILITY_SECONDS,
    LEASE_SECONDS,
    Access,
    Ask,
    Capability,
    Changed,
    Claim,
    Opened,
)
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import asking, sessions
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.leasing import Leases
from xos.xtreemfs.mrc.osds import Osds
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.values import Refusal, Result, Who
from xos.xtreemfs.mrc.watching import Watchers

log = get_logger("xos.xtreemfs.mrc")

_T = TypeVar("_T")
_MOST_NUMBER = (1 << 63) - 1


@dataclasses.dataclass
class Live:
    """A session, and when it was heard last (by the loop's clock)."""

    kept: sessions.Kept
    heard: float


class Desk:
    """Calls become functions of a connection here, and refusals errors."""

    def __init__(
        self,
        host: Host,
        store: PairedStore,
        osds: Osds,
        clock: Callable[[], float],
        *,
        speakers: tuple[str, ...],
        superusers: tuple[str, ...],
    ) -> None:
        """*clock*: Unix seconds as the OSDs know them, for capabilities."""
        self._host, self._store, self._osds, self.clock = host, store, osds, clock
        self._speakers, self._superusers = speakers, superusers
        self._loop = asyncio.get_running_loop()
        self.live: dict[str, Live] = {}
        self.watchers = Watchers()
        self.leases = Leases(store, self.watchers, self.silence)
        self.changes = 0
        """Writes so far."""

    async def recover(self) -> None:
        """All sessions that there were get a whole lease anew."""
        for kept in await self._store.inner.read(sessions.all_):
            self.live[kept.id] = Live(kept, self._loop.time())
        await self.leases.recover()

    def forget(self) -> None:
        """Another MRC keeps the sessions."""
        self.live.clear()
        self.watchers.end()
        self.leases.forget()

    # --- who asks

    def who(self, claim: Claim | None, what: str) -> Who:
        """For whom the call is. EACCES; `NotServing`."""
        self._store.check()
        found = asking.who(current_call().caller, claim, speakers=self._speakers, superusers=self._superusers)
        if found is None:
            raise Refused.of(errno.EACCES, what)
        return found

    def session(self, session: str, what: str) -> Live:
        """A session of the caller, which lives. ESTALE, EACCES; `NotServing`."""
        self._store.check()
        live = self.live.get(session)
        if live is None:
            raise Refused.of(errno.ESTALE, what)
        if live.kept.holder != str(current_call().caller):
            raise Refused.of(errno.EACCES, what)
        live.heard = self._loop.time()
        return live

    def count(self, holder: str) -> int:
        """How many sessions somebody has."""
        return sum(live.kept.holder == holder for live in self.live.values())

    def silence(self, session: str) -> float:
        """Seconds since a session was heard; endless for none."""
        live = self.live.get(session)
        return math.inf if live is None else self._loop.time() - live.heard

    def expired(self) -> list[str]:
        """Sessions that were not heard for a lease."""
        oldest = self._loop.time() - LEASE_SECONDS
        return [session for session, live in self.live.items() if live.heard < oldest]

    # --- doing

    async def change(
        self,
        ask: Ask,
        kind: Any,
        what: str,
        do: Callable[[sa.Connection, Who, int], Result[_T]],
        *,
        names: Iterable[int] = (),
        files: Iterable[int] = (),
    ) -> _T:
        """Do something for who asks, once for each number. *kind*: the type of the result. Raises `Refused`.

        Others have no lease then of the directories *names*, nor of *files* and the directories that those are in.
        """
        who = self.who(ask.claim, what)
        if ask.session:
            self.session(ask.session, what)
        if not 0 <= ask.number <= _MOST_NUMBER:
            raise Refused.of(errno.EINVAL, what)
        now = time.time_ns()

        def work(db: sa.Connection) -> Result[_T]:
            if blocking := self.leases.blocking(ask.session, (*names, *files), files, db):
                return Refusal(errno.EAGAIN, blocking)
            if ask.session and ask.number:
                return sessions.once(db, ask.session, ask.number, kind, lambda: do(db, who, now))
            return do(db, who, now)

        return await self.write(what, work)

    async def read(self, what: str, do: Callable[[sa.Connection], Result[_T]]) -> _T:
        """Look something up. Raises `Refused`."""
        return await self._settled(lambda: self._store.read(do), what)

    async def write(self, what: str, do: Callable[[sa.Connection], Result[_T]]) -> _T:
        """Do something that nobody asked for by number. Raises `Refused`."""
        self.changes += 1
        return await self._settled(lambda: self._store.write(do), what)

    async def _settled(self, work: Callable[[], Awaitable[Result[_T]]], what: str) -> _T:
        try:
            result = await work()
            while isinstance(result, Refusal) and result.leased:
                await self.leases.recall(result.leased)
                result = await work()
        except (OverflowError, UnicodeError, ValueError, sa.exc.DataError) as error:
            # A number, time or name that no column can hold.
            log.info("not-kept", what=what, error=repr(error))
            raise Refused.of(errno.EINVAL, what) from error
        if isinstance(result, Refusal):
            raise Refused.of(result.errno, what)
        return result

    def tell(self, ask: Ask | None, *changes: Changed) -> None:
        """Others have something that is old now."""
        live = self.live.get(ask.session) if ask is not None else None
        self.watchers.tell(live.kept.volume if live else None, live.kept.id if live else "", *changes)
        for change in changes:
            self._host.bus.publish(TOPIC, change)

    # --- capabilities

    def opened(self, grant: Grant, version: int = 0) -> Opened:
        """A grant, signed for the caller."""
        capability = self.capability(grant, current_call().caller)
        return Opened(grant.inode, grant.handle, capability, grant.created, version)

    def capability(self, grant: Grant, holder: Identity | str, count: int = 1) -> Signed:
        """What OSDs believe; *count*: of the file and those that follow."""
        capability = Capability(
            file_id=grant.file_id,
            access=Access(grant.access),
            holder=str(holder),
            expires=int(self.clock()) + CAPABILITY_SECONDS,
            epoch=grant.inode.epoch,
            layout=grant.layout if isinstance(holder, str) else self._osds.seen_from(holder.name, grant.layout),
            room=grant.room,
            revision=grant.revision,
            snapshot=grant.snapshot,
            origin=grant.origin,
            count=count,
        )
        return sign(_encode(capability), self._host.credential, purpose=CAPABILITY_PURPOSE)


TOPIC = "xtreemfs.changed"
_encode = msgspec.msgpack.Encoder().encode
