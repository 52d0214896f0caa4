# SPDX-License-Identifier: BSD-3-Clause
"""The other replicas of a share, as its primary sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from xos.common.signing import Signed
from xos.xtreemfs.api import Following, ShareState, Step
from xos.xtreemfs.errors import BadCapability, Gap, UnknownFile, UnknownToken
from xos.xtreemfs.xati import OSDAsync

T = TypeVar("T")
STEP_SECONDS = 3.0
"""How long a replica has for a step; one that takes longer is left behind and joins again."""
FOLLOW_SECONDS = 5.0
"""Longer than a promise to the primary before."""


class Source(Protocol):
    """A complete replica of a file that does not change. Raises whatever a call may raise."""

    async def state(self) -> ShareState:
        """See `OSD.state`."""
        ...

    async def sums(self, first: int, count: int) -> bytes:
        """See `OSD.sums`."""
        ...

    async def fetch(self, offset: int, length: int) -> bytes:
        """See `OSD.fetch`."""
        ...


class RemoteSource:
    """Satisfies `Source` over the bus: shows the capability of who reads here."""

    def __init__(self, osd: OSDAsync, file_id: str, capability: Callable[[], Signed]) -> None:
        """*capability*: the latest that was shown."""
        self._osd, self._file_id, self._capability = osd, file_id, capability
        self._token = b""

    async def state(self) -> ShareState:
        """See `Source`. A file that nothing was ever written to has no share."""
        await self._present()
        try:
            return await self._osd.state(self._file_id, deadline=STEP_SECONDS)
        except UnknownFile:
            return ShareState(self._file_id, 0, 0, -1, 0)

    async def sums(self, first: int, count: int) -> bytes:
        """See `Source`."""
        return await self._with_token(lambda token: self._osd.sums(token, first, count, deadline=2 * STEP_SECONDS))

    async def fetch(self, offset: int, length: int) -> bytes:
        """See `Source`."""
        return await self._with_token(lambda token: self._osd.fetch(token, offset, length, deadline=2 * STEP_SECONDS))

    async def _present(self) -> None:
        self._token = (await self._osd.present(self._capability(), deadline=STEP_SECONDS)).token

    async def _with_token(self, call: Callable[[bytes], Awaitable[T]]) -> T:
        try:
            return await call(self._token)
        except (UnknownToken, BadCapability):  # it has started anew, or the capability has expired
            await self._present()
            return await call(self._token)


class Peer(Protocol):
    """A replica, for one primary of one term. Raises `StaleTerm`, `Gap`, and whatever a call may raise."""

    async def follow(self) -> ShareState:
        """See `OSD.follow`."""
        ...

    async def hold(self) -> None:
        """See `OSD.hold`."""
        ...

    async def replicate(self, step: Step) -> None:
        """See `OSD.replicate`."""
        ...

    async def harden(self, version: int) -> None:
        """See `OSD.harden`."""
        ...

    async def sums(self, first: int, count: int) -> bytes:
        """See `OSD.sums`."""
        ...

    async def fetch(self, offset: int, length: int) -> bytes:
        """See `OSD.fetch`."""
        ...

    async def patch(self, offset: int, content: bytes, snapshot: int) -> None:
        """See `OSD.patch`."""
        ...

    async def adopt(self, size: int, epoch: int, version: int, snapshot: int) -> None:
        """See `OSD.adopt`."""
        ...


class RemotePeer:
    """Satisfies `Peer` over the bus: shows the capability that made this OSD the primary."""

    def __init__(self, osd: OSDAsync, capability: Callable[[], Signed]) -> None:
        """*capability*: the latest that a client has shown."""
        self._osd, self._capability = osd, capability
        self._token, self._join = b"", 0

    async def follow(self) -> ShareState:
        """See `Peer`."""
        following: Following = await self._osd.follow(self._capability(), deadline=FOLLOW_SECONDS)
        self._token, self._join = following.token, following.join
        return following.state

    async def hold(self) -> None:
        """See `Peer`."""
        await self._with_token(lambda token: self._osd.hold(token, deadline=STEP_SECONDS))

    async def replicate(self, step: Step) -> None:
        """See `Peer`."""
        await self._with_token(lambda token: self._osd.replicate(token, step, deadline=STEP_SECONDS))

    async def harden(self, version: int) -> None:
        """See `Peer`."""
        await self._with_token(lambda token: self._osd.harden(token, version, deadline=2 * STEP_SECONDS))

    async def sums(self, first: int, count: int) -> bytes:
        """See `Peer`."""
        return await self._with_token(lambda token: self._osd.sums(token, first, count, deadline=2 * STEP_SECONDS))

    async def fetch(self, offset: int, length: int) -> bytes:
        """See `Peer`."""
        return await self._with_token(lambda token: self._osd.fetch(token, offset, length, deadline=STEP_SECONDS))

    async def patch(self, offset: int, content: bytes, snapshot: int) -> None:
        """See `Peer`."""
        await self._with_token(
            lambda token: self._osd.patch(token, self._join, offset, content, snapshot, deadline=STEP_SECONDS)
        )

    async def adopt(self, size: int, epoch: int, version: int, snapshot: int) -> None:
        """See `Peer`."""
        await self._with_token(
            lambda token: self._osd.adopt(token, self._join, size, epoch, version, snapshot, deadline=STEP_SECONDS)
        )

    async def _with_token(self, call: Callable[[bytes], Awaitable[T]]) -> T:
        try:
            return await call(self._token)
        except UnknownToken as error:
            # It has started anew, and may have lost more than the token: it joins again.
            raise Gap(file_id="", version=0) from error
