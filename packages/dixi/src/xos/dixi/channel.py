# SPDX-License-Identifier: BSD-3-Clause
"""A lasting way to one address: connects on first use, shares the connection, makes it anew when it is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, Draining, NotConnected, Overloaded
from xos.dixi.transports import Address, Endpoint, Link, Way, transport

log = get_logger("xos.dixi.channel")

CONNECT_SECONDS = 10.0
PATIENCE = 30.0
"""Seconds for which a call without a deadline is tried again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 2.0
NEARER_AFTER, AGAIN_AFTER = 8, 256
"""Calls on a connection after which it is worth while to ask for a cheaper one; for another, when that was lost."""


class Backoff:
    """Growing pauses with jitter, so that a thousand clients do not come back at the same moment."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def next(self, error: XosError | None = None) -> float:
        """Seconds to wait now: at least what the error asks for, at most `LONGEST_PAUSE` above it."""
        asked = (error.retry_after_ms or 0) / 1000 if isinstance(error, Overloaded) else 0.0
        pause = max(asked, self._pause) * random.uniform(0.8, 1.4)  # noqa: S311 -- jitter, not a secret
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return pause


class Channel:
    """Satisfies `xos.dixi.api.Caller`."""

    def __init__(self, address: Address, endpoint: Endpoint, *, node: str | None = None, kind: str = "dixi") -> None:
        self.address = address
        self._endpoint = endpoint
        self._node = node
        self._transport = transport(kind)
        self._link: Link | None = None
        self._beside: Way | None = None
        """Cheaper than `_link`, but not for every method."""
        self._leaving: set[Link] = set()
        self._connecting = asyncio.Lock()
        self._closed = False
        self._calls = 0
        self._looking: asyncio.Task[None] | None = None

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """See `xos.dixi.api.Caller.call`. A call that was surely not carried out is tried again in any case."""
        link = self._link
        if link is not None and not link.closed:
            self._calls += 1
            if self._calls == NEARER_AFTER:
                self._looking = asyncio.get_running_loop().create_task(self._look_nearer(link))
            if self._beside is not None:
                link = self._either(link, self._beside, method)
            try:
                return await link.call(method, args, result, deadline=deadline)
            except (ConnectionLost, Draining, Overloaded) as error:
                if isinstance(error, ConnectionLost) and not retry:
                    raise
        return await self._persist(method, args, result, deadline, retry)

    def _either(self, link: Link, beside: Way, method: str) -> Link:
        """The one of the two that a call of *method* takes."""
        if beside.link.closed:
            log.info("channel.beside-lost", peer=str(self.address))
            self._beside, self._calls = None, NEARER_AFTER - AGAIN_AFTER
            return link
        return beside.link if beside.methods is None or method in beside.methods else link

    async def _persist(
        self, method: str, args: tuple[Any, ...], result: Any, deadline: float | None, retry: bool
    ) -> Any:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + (PATIENCE if deadline is None else deadline)
        backoff = Backoff()
        while True:
            left = give_up - loop.time()
            try:
                link = await self.connected(max(0.05, min(left, CONNECT_SECONDS)))
                return await link.call(method, args, result, deadline=None if deadline is None else max(0.001, left))
            except (ConnectionLost, NotConnected, Draining, Overloaded) as error:
                if isinstance(error, ConnectionLost) and not retry:
                    raise
                pause = backoff.next(error)
                if loop.time() + pause >= give_up:
                    raise
                await asyncio.sleep(pause)
            except DeadlineExceeded:
                raise

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `xos.dixi.api.Caller.stream`. A stream that breaks raises `ConnectionLost`: the reader starts again."""
        link = await self.connected(CONNECT_SECONDS if deadline is None else deadline)
        items = link.stream(method, args, item, deadline=deadline)
        try:
            async for value in items:
                yield value
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    async def connected(self, seconds: float) -> Link:
        """The live connection, made if there is none. Raises as `Transport.connect`."""
        link = self._link
        if link is not None and not link.closed:
            return link
        async with self._connecting:
            link = self._link
            if link is not None and not link.closed:
                return link
            if self._closed:
                raise NotConnected(address=str(self.address), detail="this side is shutting down")
            self._link = await self._transport.connect(
                self.address, self._endpoint, node=self._node, seconds=seconds, on_goodbye=self._goodbye
            )
            self._calls = 0
            if self._beside is not None:  # it was agreed upon over the one that was lost
                self._beside.link.close()
                self._beside = None
            return self._link

    async def _look_nearer(self, link: Link) -> None:
        """Later calls take a cheaper connection, if there is one; the present one stays for what hangs on it."""
        try:
            way = await self._transport.nearer(link, self._endpoint, seconds=CONNECT_SECONDS, on_goodbye=self._goodbye)
        except (XosError, TimeoutError) as error:
            log.info("channel.no-nearer", peer=str(self.address), detail=str(error))
            return
        if way is None:
            return
        if self._link is not link or self._closed:
            way.link.close()
        elif way.methods is not None:
            self._beside = way
        else:
            self._goodbye(link)
            self._link = way.link

    def _goodbye(self, link: Link) -> None:
        # Calls under way are still answered there; the next one makes a new connection.
        self._leaving = {old for old in self._leaving if not old.closed} | {link}
        if self._link is link:
            self._link = None
            if self._beside is not None:
                self._leaving.add(self._beside.link)
                self._beside = None
        elif self._beside is not None and self._beside.link is link:
            self._beside = None

    def retire(self) -> None:
        """Make a new connection for the next call; the present one serves the calls that are under way."""
        if self._link is not None:
            self._goodbye(self._link)

    def tend(self, now: float) -> None:
        """Called every few seconds: notice a dead peer."""
        for link in self._links():
            link.tend(now)

    def close(self) -> None:
        """Close the connection; later calls fail."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        for link in self._links():
            link.close()

    def _links(self) -> list[Link]:
        beside = self._beside.link if self._beside is not None else None
        return [link for link in (self._link, beside, *self._leaving) if link is not None]
