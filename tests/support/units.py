# SPDX-License-Identifier: BSD-3-Clause
"""A resource node without network: the real Execution and Resource Manager, and a Job Manager that listens."""

# ruff: noqa: ARG002 -- doubles have the signatures of what they stand for

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine, Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from support.jobs import People, acting, machine
from xos.aem.api import ORDER_PURPOSE, InputFile, JobOrder, State, Unit, UnitOrder
from xos.aem.execution.resources import ResourceManagerService
from xos.aem.execution.service import ExecutionManagerService
from xos.aem.execution.settings import ExecutionSettings, ResourceSettings
from xos.aem.ids import job_id_of, unit_id_of
from xos.aem.jsdl import JobDescription, to_jsdl
from xos.common.identity import Identity
from xos.common.signing import sign
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.errors import UnknownService
from xos.dixi.hosting import Bus

PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""
_numbers = itertools.count(1)


def unit_order(
    user: Credential,
    description: JobDescription | None = None,
    *,
    files: Iterable[InputFile] = (),
    index: int = 0,
    request: str = "",
    **job: Any,
) -> UnitOrder:
    """What a Job Manager sends when *user* has submitted such a job; *job* is *description* by its fields."""
    description = description or JobDescription(**job)
    identity = user.identity
    request = request or f"request-{next(_numbers):06d}-{time.time_ns():x}"
    signed = JobOrder(request, identity.vo, to_jsdl(description), tuple(files), time.time())
    job_id = job_id_of(str(identity), identity.vo, request)
    return UnitOrder(
        unit_id_of(job_id, index),
        job_id,
        index,
        description.total_resource_count,
        sign(msgspec.msgpack.encode(signed), user, purpose=ORDER_PURPOSE),
        "core",
    )


def shell(script: str, **job: Any) -> JobDescription:
    """A job that runs *script*."""
    return JobDescription(executable="/bin/sh", arguments=("-c", script), **job)


class ListeningManager:
    """The Job Manager, as far as nodes see it."""

    def __init__(self) -> None:
        self.heard: defaultdict[str, list[Unit]] = defaultdict(list)
        self.batches: list[list[Unit]] = []
        self.error: Exception | None = None
        """Raised instead of listening, as long as it is set."""
        self.refused = 0
        self._news = asyncio.Condition()

    async def report(self, units: list[Unit]) -> None:
        if self.error is not None:
            self.refused += 1
            async with self._news:
                self._news.notify_all()
            raise self.error
        async with self._news:
            self.batches.append(units)
            for unit in units:
                self.heard[unit.unit_id].append(unit)
            self._news.notify_all()

    async def until(self, true: Any) -> None:
        """Wait until *true()* after a report."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(true)

    async def state(self, unit_id: str, *states: State) -> Unit:
        """The first report of the unit in one of *states*."""

        def found() -> Unit | None:
            return next((unit for unit in self.heard[unit_id] if unit.state in states), None)

        await self.until(found)
        unit = found()
        assert unit is not None
        return unit

    async def ended(self, unit_id: str) -> Unit:
        return await self.state(unit_id, State.DONE, State.FAILED, State.CANCELLED)


class NodeBus(Caller):
    """Local calls within one node, and the Job Manager beyond."""

    def __init__(self, node: str, identity: Identity, manager: Any) -> None:
        self.services: dict[str, Any] = {"JobManager": manager}
        self.node, self.identity = node, identity
        self.published: list[tuple[str, msgspec.Struct]] = []

    def caller(self, service: str, node: str | None = None) -> Caller:
        return self

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        service, _, name = method.partition(".")
        if service not in self.services:
            raise UnknownService(service=service, where="")
        with acting(self.identity):
            return await getattr(self.services[service], name)(*args)

    def stream(self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None) -> Any:
        raise NotImplementedError(method)

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        self.published.append((topic, event))

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        raise NotImplementedError(topic)

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        raise NotImplementedError(topic)


class NodeHost:
    """`xos.dixi.hosting.Host`."""

    def __init__(self, people: People, trust: Trust, node: str, data: Path, bus: NodeBus) -> None:
        self.node, self.identity, self.trust, self.data = node, machine(node), trust, data
        self.bus: Bus = bus
        self.credential = people.core
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        data.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def renew(self, certificate: bytes) -> None:
        self.credential = Credential(certificate, self.credential.key)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Node:
    """One life of a node's daemon; ``async with`` it."""

    def __init__(
        self,
        people: People,
        data: Path,
        *,
        name: str = "node1",
        manager: Any = None,
        slots: int = 8,
        trust: Trust | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.manager = ListeningManager() if manager is None else manager
        self.bus = NodeBus(name, machine(name), self.manager)
        trust = trust or people.trust
        settings = {"kill_grace_seconds": 0.3, "spare_bytes": 0, "rulings": False, "usage": False} | settings
        self.host = NodeHost(people, trust, name, data / "ExecutionManager", self.bus)
        self.resources = ResourceManagerService(
            NodeHost(people, trust, name, data / "ResourceManager", self.bus), ResourceSettings(slots=slots)
        )
        self.execution = ExecutionManagerService(self.host, ExecutionSettings(**settings))
        self.bus.services |= {"ResourceManager": self.resources, "ExecutionManager": self.execution}

    async def __aenter__(self) -> Self:
        await self.resources.start()
        try:
            await self.execution.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()
        assert self.host.failures == []

    async def _leave(self) -> None:
        await self.host.cancel()
        await self.execution.stop()
        await self.resources.stop()

    # --- calls ---

    async def start(self, order: UnitOrder, *, caller: Identity | None = None) -> str:
        with acting(caller or machine("core")):
            await self.execution.start_unit(order)
        return order.unit_id

    async def kill(self, unit_id: str, *, caller: Identity | None = None) -> None:
        with acting(caller or machine("core")):
            await self.execution.kill_unit(unit_id)

    async def output(
        self, unit_id: str, stream: str = "output", *, follow: bool = False, caller: Identity | None = None
    ) -> bytes:
        pieces = self.pieces(unit_id, stream, follow=follow, caller=caller)
        return b"".join([piece async for piece in pieces])

    async def pieces(
        self, unit_id: str, stream: str = "output", *, follow: bool = False, caller: Identity | None = None
    ) -> AsyncGenerator[bytes, None]:
        with acting(caller or machine("core")):
            chunks = self.execution.output(unit_id, stream, follow)
            async for chunk in chunks:
                assert (chunk.unit_id, chunk.stream) == (unit_id, stream)
                yield chunk.content

    async def run(self, order: UnitOrder) -> Unit:
        """Start a unit and wait for its end."""
        await self.start(order)
        return await self.manager.ended(order.unit_id)

    async def slots_free(self) -> int:
        return (await self.resources.describe_resource()).slots_free
