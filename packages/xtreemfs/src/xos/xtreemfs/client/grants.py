# SPDX-License-Identifier: BSD-3-Clause
"""A right to the bytes of a file, and how it is used at OSDs: shown once to each, renewed, failed over."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.channel import Backoff
from xos.dixi.errors import DeadlineExceeded
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import Capability, Layout, Opened, Update, for_inode, token_in, token_of
from xos.xtreemfs.client.hedging import first_answer
from xos.xtreemfs.client.patience import AWAY, CALL_SECONDS, PATIENCE_SECONDS
from xos.xtreemfs.errors import (
    BadCapability,
    CorruptShare,
    DiskFailed,
    Gap,
    NotPrimary,
    OsdFull,
    OtherStore,
    Refused,
    StaleTerm,
    TooFewReplicas,
    UnknownToken,
)
from xos.xtreemfs.xati import OSDAsync

log = get_logger("xos.xtreemfs.client")

FAIL_OVER_SECONDS = 1.5
"""After so long without an answer of a primary that has others to take its place, it is asked whether it is there."""
HEDGE_SECONDS = 0.3
"""After so long without an answer of one replica of a file that does not change, the next one is asked too."""
STRIKES = 5
"""How often in a row a fresh capability may be refused before the program is told."""

_OUTDATED = (BadCapability, NotPrimary, StaleTerm)
"""What a fresh capability may mend."""

_OTHER_DISK = (DiskFailed, OtherStore)
"""What an OSD cannot mend by itself."""
_ELSEWHERE = (*AWAY, *_OTHER_DISK, CorruptShare, TooFewReplicas)
"""What another replica may do better."""

_T = TypeVar("_T")
_capability = msgspec.msgpack.Decoder(Capability)


class Renewal(Protocol):
    """The MRC, as a grant needs it. Raises `OSError` when the file is open no more."""

    async def renewed(self) -> Opened:
        """A fresh capability for the same open file."""
        ...

    async def failed_over(self, term: int, dead: str) -> Opened:
        """The same, with another primary."""
        ...


class Osds:
    """The OSDs that a client talks to."""

    def __init__(self, bus: HasCallers) -> None:
        self._bus = bus
        self._known: dict[str, OSDAsync] = {}

    def at(self, node: str) -> OSDAsync:
        """The one on *node*."""
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = OSDAsync(self._bus, node)
        return found


class Right(NamedTuple):
    """What goes with a call to an OSD."""

    token: bytes
    shown: Signed | None
    """The capability itself, to an OSD that has not seen it."""


class Shown:
    """A capability, and which OSDs have seen it: of one for several files they need to see it once for all."""

    def __init__(self, signed: Signed) -> None:
        self.signed = signed
        self.capability = _capability.decode(signed.payload)
        self.seen: set[str] = set()
        """OSDs that know the token."""
        self._token = token_of(signed, self.capability.holder)

    def of(self, inode: int) -> tuple[Capability, bytes]:
        """What it says of one file, and the token that stands for that. Raises `ValueError`: it is for others."""
        if self.capability.count == 1:
            return self.capability, self._token
        return for_inode(self.capability, inode), token_in(self._token, inode)


class Grant:
    """A capability in use for one file."""

    def __init__(
        self,
        opened: Opened,
        osds: Osds,
        renewal: Renewal,
        patience: float = PATIENCE_SECONDS,
        shown: Shown | None = None,
    ) -> None:
        """*shown*: that of `Opened.capability`, where other files are used by the same one."""
        self._osds, self._renewal, self._patience = osds, renewal, patience
        self.replace(opened, shown)

    def replace(self, opened: Opened, shown: Shown | None = None) -> None:
        """Use another one from now on."""
        self.opened = opened
        self._shown = shown or Shown(opened.capability)
        self.capability, self._token = self._shown.of(opened.inode.id)
        self._reading = 0 if self._may_choose else self.capability.layout.primary

    @property
    def layout(self) -> Layout:
        """Where the bytes are."""
        return self.capability.layout

    @property
    def epoch(self) -> int:
        """Of the file, as far as the capability tells."""
        return self.capability.epoch

    async def at(self, place: int, work: Callable[[OSDAsync, Right, float], Awaitable[_T]], *, reads: bool) -> _T:
        """What *work* answers at the OSD at *place* of the row, asked again until somebody can answer.

        *work* gets the OSD, what to show it and a deadline. Raises `OSError` with the errno for the program.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience
        backoff, strikes, late = Backoff(), 0, set[str]()
        while True:
            layout = self.capability.layout
            node = layout.replicas[self._reading if reads else layout.primary].osds[place]
            seconds = FAIL_OVER_SECONDS if self._has_others and node not in late else CALL_SECONDS
            seconds = min(seconds, max(give_up - loop.time(), FAIL_OVER_SECONDS))
            try:
                if reads and self._may_choose:
                    return await self._from_any(place, work)
                return await self._from(node, work, seconds)
            except XosError as error:
                failure = error
            if isinstance(failure, DeadlineExceeded) and self._has_others and node not in late:
                late.add(node)
                if await self._lives(node):  # busy, or still to find the other replicas
                    continue
            strikes += isinstance(failure, BadCapability)
            refused = self.capability
            await self._recover(failure, node, reads=reads, hopeless=strikes > STRIKES)
            if (self.epoch, self.capability.revision) > (refused.epoch, refused.revision) and loop.time() < give_up:
                # Somebody cuts the file, or changes its rights, again and again: a fresh one is soon an old one.
                strikes = 0
                continue
            pause = backoff.next(failure)
            if loop.time() + pause >= give_up:
                raise self._given_up(failure, node)
            await asyncio.sleep(pause)

    def reads_at(self, place: int) -> str:
        """The node whose OSD is asked first for what is to be read at *place* of the row."""
        return self.layout.replicas[self._reading].osds[place]

    def right_at(self, node: str) -> Right:
        """What goes with a call to the OSD of *node*."""
        return Right(self._token, None if node in self._shown.seen else self._shown.signed)

    def known_at(self, node: str) -> None:
        """It has taken the token."""
        self._shown.seen.add(node)

    async def borrow(self, place: int, work: Callable[[OSDAsync, Right, float], Awaitable[_T]]) -> _T:
        """What *work* answers there, asked once. Raises `XosError`."""
        return await self._from(self.reads_at(place), work, CALL_SECONDS)

    async def _from(self, node: str, work: Callable[[OSDAsync, Right, float], Awaitable[_T]], seconds: float) -> _T:
        """What one OSD answers; it is shown the capability if it does not know it. Raises `XosError`."""
        seen = self._shown.seen
        while True:
            right = self.right_at(node)
            try:
                found = await work(self._osds.at(node), right, seconds)
            except UnknownToken:
                if right.shown is not None:
                    raise
                seen.discard(node)
            else:
                seen.add(node)
                return found

    async def _from_any(self, place: int, work: Callable[[OSDAsync, Right, float], Awaitable[_T]]) -> _T:
        """Of a file that does not change: what the nearest replica answers, or while it is slow the next one."""
        replicas = self.layout.replicas
        order = [(self._reading + turn) % len(replicas) for turn in range(len(replicas))]
        asks = [partial(self._from, replicas[at].osds[place], work, CALL_SECONDS) for at in order]
        turn, found = await first_answer(asks, HEDGE_SECONDS, _ELSEWHERE)
        self._reading = order[turn]
        return found

    async def _lives(self, node: str) -> bool:
        """Whether one that has not answered in time is there at all."""
        try:
            await self._osds.at(node).health(deadline=FAIL_OVER_SECONDS)
        except AWAY:
            return False
        return True

    async def _recover(self, failure: XosError, node: str, *, reads: bool, hopeless: bool) -> None:
        """Do what makes another try worth while. Raises `OSError` when nothing does."""
        if isinstance(failure, _OUTDATED) and not hopeless:
            await self.renew()
        elif isinstance(failure, AWAY) or (isinstance(failure, _OTHER_DISK) and self._has_others):
            if self._has_others and not (reads and self._may_choose):
                await self._fail_over(node)
        elif isinstance(failure, TooFewReplicas):
            await self._without_dead(node)
        elif not isinstance(failure, Gap):
            raise self._given_up(failure, node)

    def _given_up(self, failure: XosError, node: str) -> OSError:
        log.warning("client.gave-up", node=node, file=self.capability.file_id, detail=str(failure))
        number = failure.data.get("errno") if isinstance(failure, Refused) else None
        told = errno.ENOSPC if isinstance(failure, OsdFull) else number
        return OSError(told if isinstance(told, int) else errno.EIO, str(failure))

    async def everywhere(self, work: Callable[[OSDAsync, Right, float], Awaitable[_T]]) -> list[_T]:
        """*work* at every OSD of the row."""
        places = range(self.layout.striping.width)
        if len(places) == 1:
            return [await self.at(0, work, reads=False)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.at(place, work, reads=False)) for place in places]
        return [task.result() for task in tasks]

    # --- other replicas, other primaries

    @property
    def _has_others(self) -> bool:
        return len(self.capability.layout.replicas) > 1

    @property
    def _may_choose(self) -> bool:
        """Of a file that does not change, any replica will do; the MRC has put the nearest first."""
        layout = self.capability.layout
        return layout.update is Update.READ_ONLY and len(layout.replicas) > 1

    async def renew(self) -> None:
        """Get a fresh capability. Raises `OSError`."""
        self.replace(await self._renewal.renewed())

    async def _without_dead(self, primary: str) -> None:
        """Where all replicas must have a write, the dead ones have to leave; else others may hear each other."""
        if self.layout.update is Update.ALL:
            for replica in self.layout.replicas:
                for node in replica.osds:
                    if not await self._lives(node):
                        await self._fail_over(node)
                        return
            await self.renew()
        else:
            await self._fail_over(primary)

    async def _fail_over(self, dead: str) -> None:
        layout = self.capability.layout
        if layout.update is Update.READ_ONLY:
            return
        try:
            self.replace(await self._renewal.failed_over(layout.term, dead))
        except (*AWAY, OSError) as error:
            log.info("client.no-fail-over", dead=dead, file=self.capability.file_id, detail=str(error))
