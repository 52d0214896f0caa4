# SPDX-License-Identifier: BSD-3-Clause
"""The message bus: calls and events, wherever the other side runs.

A call for a service of this daemon goes straight to its stage, without network or codec. Any other is sent to a node
that the Directory names. Calls are never relayed by a third party: the caller's own certificate reaches the service.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from xos.common.errors import XosError
from xos.common.identity import Identity
from xos.common.tls import Credential
from xos.dixi.api import CallContext, Caller
from xos.dixi.channel import Channel
from xos.dixi.directory import NodeRecord
from xos.dixi.dispatch import Dispatcher, Method
from xos.dixi.errors import ConnectionLost, NotConnected, UnknownService, WrongPeer
from xos.dixi.stage import Work, perform
from xos.dixi.transports import Address, Endpoint

QUEUE = 1024
"""Events that a subscriber may leave unread."""


START_SECONDS = 30.0
"""How long a local call waits for a service of this daemon that is still starting."""


class Finder(Protocol):
    """Says where services run."""

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """A node that offers *service* (that very *node*, if given), or None."""
        ...

    def forget(self, record: NodeRecord) -> None:
        """What was answered turned out to be wrong: look it up anew next time."""
        ...


class Local(Caller):
    """Calls services of this daemon."""

    def __init__(self, node: str, identity: Identity, dispatcher: Dispatcher) -> None:
        self._node, self._identity, self._dispatcher = node, identity, dispatcher
        self._starting: dict[str, asyncio.Event] = {}

    def starting(self, service: str) -> None:
        """Calls to *service* wait from now on, until it has `started`."""
        self._starting[service] = asyncio.Event()

    def started(self, service: str) -> None:
        """*service* has recovered: let the calls in that wait for it."""
        event = self._starting.pop(service, None)
        if event is not None:
            event.set()

    async def _until_started(self, method: str, deadline: float | None) -> None:
        event = self._starting.get(method.partition(".")[0])
        if event is None:
            return
        seconds = START_SECONDS if deadline is None else deadline
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError as error:
            detail = f"{method.partition('.')[0]} has not started within {seconds:.0f} s"
            raise NotConnected(address=self._node, detail=detail) from error

    def offers(self, service: str, node: str | None) -> bool:
        """Whether *service* at *node* (None: anywhere) means one of this daemon's."""
        return node in (None, self._node) and service in self._dispatcher.services

    async def call(
        self,
        method: str,
        args: tuple[Any, ...],
        result: Any,  # noqa: ARG002 -- nothing is decoded: values are handed over as they are
        *,
        deadline: float | None = None,
        retry: bool = False,  # noqa: ARG002 -- no connection that could be lost
    ) -> Any:
        """See `xos.dixi.api.Caller.call`."""
        if self._starting:
            await self._until_started(method, deadline)
        found, args, context = self._prepare(method, args, deadline)
        return await perform(found, args, context, deadline)

    async def stream(
        self,
        method: str,
        args: tuple[Any, ...],
        item: Any,  # noqa: ARG002 -- nothing is decoded
        *,
        deadline: float | None = None,
    ) -> AsyncIterator[Any]:
        """See `xos.dixi.api.Caller.stream`."""
        await self._until_started(method, deadline)
        items: asyncio.Queue[tuple[Any, XosError | None, bool]] = asyncio.Queue(1)
        ending: asyncio.Queue[tuple[Any, XosError | None, bool]] = asyncio.Queue()

        async def send(value: Any) -> None:
            await items.put((value, None, False))

        found, args, context = self._prepare(method, args, deadline)
        work = Work(found, args, context, lambda _, error: ending.put_nowait((None, error, True)), send)
        found.stage.submit(work)
        try:
            while True:
                value, error, last = await _either(items, ending)
                if error is not None:
                    raise error
                if last:
                    return
                yield value
        finally:
            work.cancel()

    def _prepare(
        self, method: str, args: tuple[Any, ...], deadline: float | None
    ) -> tuple[Method, tuple[Any, ...], CallContext]:
        found = self._dispatcher.find(method)
        found.admit(self._identity)
        due = None if deadline is None else asyncio.get_running_loop().time() + deadline
        context = CallContext(self._identity, found.service, found.signature.name, due, None)
        return found, found.complete(args), context


async def _either(items: asyncio.Queue[Any], ending: asyncio.Queue[Any]) -> Any:
    if not items.empty():
        return items.get_nowait()
    if not ending.empty():
        return ending.get_nowait()
    waits = [asyncio.ensure_future(items.get()), asyncio.ensure_future(ending.get())]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        first = waits[0] if waits[0] in done else waits[1]
        return first.result()
    finally:
        for wait in waits:
            wait.cancel()


class Route:
    """A caller for one service, wherever it runs at the moment of each call."""

    def __init__(self, bus: GridBus, service: str, node: str | None) -> None:
        self._bus, self._service, self._node = bus, service, node

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """See `xos.dixi.api.Caller.call`."""
        caller, record = await self._bus.resolve(self._service, self._node)
        try:
            return await caller.call(method, args, result, deadline=deadline, retry=retry)
        except (NotConnected, UnknownService, WrongPeer) as error:
            # Surely not carried out: the service may have moved, so ask where it is now, once.
            if record is None or not self._bus.moved(record):
                raise
            caller, found = await self._bus.resolve(self._service, self._node)
            if found is None or found == record:
                raise error from None
            return await caller.call(method, args, result, deadline=deadline, retry=retry)

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `xos.dixi.api.Caller.stream`."""
        caller, record = await self._bus.resolve(self._service, self._node)
        items = caller.stream(method, args, item, deadline=deadline)
        try:
            async for value in items:
                yield value
        except (NotConnected, UnknownService, WrongPeer, ConnectionLost):
            if record is not None:
                self._bus.moved(record)
            raise
        finally:
            with contextlib.suppress(RuntimeError):  # the generator is running: the loop's own shutdown closes it
                await items.aclose()  # type: ignore[attr-defined]


class GridBus:
    """Satisfies `xos.dixi.hosting.Bus`."""

    def __init__(self, endpoint: Endpoint, finder: Finder, local: Local | None = None) -> None:
        self._endpoint, self._finder, self._local = endpoint, finder, local
        self._channels: dict[tuple[str, str], Channel] = {}
        self._routes: dict[tuple[str, str | None], Caller] = {}
        self._topics: dict[str, set[asyncio.Queue[Any]]] = {}

    def caller(self, service: str, node: str | None = None) -> Caller:
        """See `xos.dixi.hosting.Bus.caller`."""
        route = self._routes.get((service, node))
        if route is None:
            if self._local is not None and self._local.offers(service, node):
                route = self._local
            else:
                route = Route(self, service, node)
            self._routes[service, node] = route
        return route

    async def resolve(self, service: str, node: str | None) -> tuple[Caller, NodeRecord | None]:
        """Where *service* is now. Raises `UnknownService`."""
        if self._local is not None and self._local.offers(service, node):
            return self._local, None
        record = await self._finder.find(service, node)
        if record is None:
            raise UnknownService(service=service, where=f" at {node}" if node else "")
        return self.channel(record.address, record.node), record

    def channel(self, address: str, node: str | None = None) -> Channel:
        """The shared channel to *address*, whose machine must prove to be *node*."""
        key = (address, node or "")
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(Address.parse(address), self._endpoint, node=node or None)
        return channel

    def moved(self, record: NodeRecord) -> bool:
        """What *record* says is no longer so."""
        self._finder.forget(record)
        return True

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        """See `xos.dixi.hosting.Bus.publish`."""
        for queue in self._topics.get(topic, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        """See `xos.dixi.hosting.Bus.subscribe`."""
        queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        self._topics.setdefault(topic, set()).add(queue)
        return queue

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        """See `xos.dixi.hosting.Bus.unsubscribe`."""
        self._topics.get(topic, set()).discard(queue)

    def renew(self, credential: Credential, *, afresh: bool = False) -> None:
        """Show *credential* on later connections; those that are open keep the old one.

        *afresh*: later calls go over new connections, what is under way ends on the old.
        """
        self._endpoint.credential = credential
        if afresh:
            for channel in self._channels.values():
                channel.retire()

    def tend(self, now: float) -> None:
        """Called every few seconds."""
        for channel in list(self._channels.values()):
            channel.tend(now)

    def close(self) -> None:
        """Close every connection."""
        for channel in self._channels.values():
            channel.close()
