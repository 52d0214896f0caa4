# SPDX-License-Identifier: BSD-3-Clause
"""The MRC of a volume, whichever of two serves it now: what is asked goes there, and to the next when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.api import Caller
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.errors import NotServing
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.client")

LOOK_SECONDS = 0.4
"""How often the DIR is asked who serves, while the MRC owes an answer for so long."""
DIR_SECONDS = 3.0
LONGEST_SECONDS = 60.0
"""How long a call without a deadline waits for somebody who serves."""


class Serving(Caller):
    """Satisfies `HasCallers` too: ``MRCAsync(Serving(bus, "home", record.mrc))``."""

    def __init__(self, bus: HasCallers, volume: str, nodes: tuple[str, ...]) -> None:
        self._bus, self._volume, self._nodes = bus, volume, nodes
        self._registry = DIRAsync(bus)
        self._under_way: dict[asyncio.Timeout, tuple[str, float]] = {}
        self._refused = False
        """Whether somebody was asked who does not serve, or is not there."""
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def caller(self, service: str, node: str | None = None) -> Caller:  # noqa: ARG002 -- it is of the one service
        """See `HasCallers`."""
        return self

    @property
    def _node(self) -> str:
        return self._nodes[0] if self._nodes else ""

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """See `Caller.call`; `NotServing` besides, when nobody serves within the deadline."""
        if len(self._nodes) < 2:
            return await self._bus.caller("MRC", self._node or None).call(
                method, args, result, deadline=deadline, retry=retry
            )
        loop = asyncio.get_running_loop()
        give_up = loop.time() + (LONGEST_SECONDS if deadline is None else deadline)
        while True:
            node = self._node
            left = None if deadline is None else max(0.001, give_up - loop.time())
            try:
                return await self._at(node, method, args, result, left, retry)
            except NotServing:
                if not retry or loop.time() >= give_up:
                    raise
                await self._until_another(node)

    async def _at(
        self, node: str, method: str, args: tuple[Any, ...], result: Any, deadline: float | None, retry: bool
    ) -> Any:
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._under_way[scope] = node, asyncio.get_running_loop().time()
                self._look_soon()
                try:
                    return await self._bus.caller("MRC", node).call(
                        method, args, result, deadline=deadline, retry=retry
                    )
                finally:
                    del self._under_way[scope]
        except TimeoutError as error:
            raise NotServing(node=node, whoever=f", that of {self._node} does") from error

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `Caller.stream`."""
        async for value in self._bus.caller("MRC", self._node or None).stream(method, args, item, deadline=deadline):
            yield value

    # --- who serves

    def away(self) -> None:
        """Nobody answered: ask the DIR, soon."""
        self._refused = True
        self._look_soon()

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _until_another(self, node: str) -> None:
        self._changed.clear()
        self.away()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                while self._node == node:
                    await self._changed.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        """Ask the DIR while an answer is owed; calls to one that serves no more are called off."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            refused, self._refused = self._refused, False
            if not refused and not self._under_way:
                return
            if not refused and min(since for _, since in self._under_way.values()) > loop.time() - LOOK_SECONDS:
                continue
            try:
                record = await self._registry.volume(self._volume, deadline=DIR_SECONDS)
            except XosError as error:
                log.info("client.no-dir", volume=self._volume, detail=str(error))
                if refused:
                    self._turn(self._nodes[1:] + self._nodes[:1])
            else:
                self._turn(record.mrc)

    def _turn(self, nodes: tuple[str, ...]) -> None:
        if nodes and nodes != self._nodes:
            self._nodes = nodes
            self._changed.set()
            now = asyncio.get_running_loop().time()
            for scope, (node, _) in self._under_way.items():
                if node != self._node:
                    scope.reschedule(now)

    def close(self) -> None:
        """Ask no more."""
        if self._looking is not None:
            self._looking.cancel()
