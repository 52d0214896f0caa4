# SPDX-License-Identifier: BSD-3-Clause
"""A grid without network: a real Job Manager with a real store, and resource nodes in memory that crash and lie.

What a `FakeNode` knows of its units outlives its crashes, as the unit directories of a real one do.
"""

# ruff: noqa: ARG002 -- doubles have the signatures of what they stand for

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec

from xos.aem.api import (
    ORDER_PURPOSE,
    JobInfo,
    JobOrder,
    Needs,
    Placement,
    Reservation,
    Resource,
    State,
    Unit,
    UnitOrder,
)
from xos.aem.errors import NoSlot
from xos.aem.jobs.service import JobManagerService
from xos.aem.jobs.settings import Settings
from xos.aem.jobs.store import METADATA
from xos.common.authority import Authority
from xos.common.certificate import make_csr, make_key
from xos.common.engines import Place
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.migrations import prepare
from xos.common.signing import Signed, sign
from xos.common.storage import Store
from xos.common.tls import Credential, Trust
from xos.dixi import api as dixi
from xos.dixi.directory import NodeChange, NodeRecord
from xos.dixi.errors import ConnectionLost, NotConnected, UnknownService
from xos.dixi.hosting import Bus
from xos.vom.api import JobAnswer, JobQuestion

JSDL = """<?xml version="1.0" encoding="UTF-8"?>
<JobDefinition xmlns="http://schemas.ggf.org/jsdl/2005/11/jsdl">
  <JobDescription>
    <JobIdentification><JobName>{name}</JobName></JobIdentification>
    <Application>
      <POSIXApplication xmlns="http://schemas.ggf.org/jsdl/2005/11/jsdl-posix">
        <Executable>/bin/true</Executable>
      </POSIXApplication>
    </Application>
    <Resources><TotalResourceCount><Exact>{units}.0</Exact></TotalResourceCount></Resources>
  </JobDescription>
</JobDefinition>
"""
NODE_SERVICES = ("ExecutionManager", "ResourceManager")
_numbers = itertools.count(1)


@contextlib.contextmanager
def acting(caller: Identity) -> Iterator[None]:
    """Inside, services are called by *caller*."""
    token = dixi._current.set(dixi.CallContext(caller, "", "", None, None))
    try:
        yield
    finally:
        dixi._current.reset(token)


@dataclasses.dataclass(frozen=True)
class People:
    """A VO's CA and some of those it knows."""

    authority: Authority
    trust: Trust
    core: Credential

    @classmethod
    def make(cls) -> People:
        authority = Authority.create("demo CA")
        key = make_key()
        core = Credential(authority.issue_machine(make_csr(key, "core"), "core", ["core"], [], 3600), key)
        return cls(authority, Trust.from_pem(authority.certificate_pem()), core)

    def user(self, name: str, vo: str = "demo", roles: tuple[str, ...] = (), lifetime: float = 3600) -> Credential:
        key = make_key()
        identity = Identity(Kind.USER, name, vo, group="users", roles=roles)
        return Credential(self.authority.issue_user(make_csr(key, name), identity, lifetime), key)


def machine(name: str) -> Identity:
    """A resource node, as TLS tells it."""
    return Identity(Kind.MACHINE, name, roles=("resource",))


def order(user: Credential, *, units: int = 1, request: str = "", **changes: Any) -> Signed:
    """A signed job order of *user*."""
    fields: dict[str, Any] = {
        "request_id": request or f"request-{next(_numbers):08d}",
        "vo": user.identity.vo,
        "jsdl": JSDL.format(name="sample", units=units).encode(),
        "submitted": time.time(),
    }
    return sign(msgspec.msgpack.encode(JobOrder(**{**fields, **changes})), user, purpose=ORDER_PURPOSE)


def cut_off() -> XosError:
    """What a call raises whose connection breaks."""
    return ConnectionLost(address="node:1", detail="reset")


class Crash:
    """Counts the steps of a Job Manager towards the outside (disk and nodes) and stops it dead at one of them."""

    def __init__(self, *, at: int | None = None) -> None:
        self.at = at
        self.steps = 0
        self.names: list[str] = []
        self.happened = asyncio.Event()

    async def step(self, name: str) -> None:
        """One step; never returns when it is the one, nor any later one."""
        self.steps += 1
        self.names.append(name)
        if self.at is not None and self.steps >= self.at:
            self.happened.set()
            await asyncio.get_running_loop().create_future()


class CrashingStore:
    """A store that may stop dead before or after a commit."""

    def __init__(self, store: Store, crash: Crash) -> None:
        self._store, self._crash = store, crash
        self.error: Exception | None = None
        """Raised by writes instead of writing, as long as it is set."""

    async def write(self, fn: Callable[[Any], Any]) -> Any:
        await self._crash.step("before write")
        if self.error is not None:
            raise self.error
        result = await self._store.write(fn)
        await self._crash.step("after write")
        return result

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        return await self._store.read(fn)

    async def close(self) -> None:
        await self._store.close()


class FakeNode:
    """Resource Manager and Execution Manager of one node."""

    def __init__(self, grid: FakeGrid, name: str, slots: int = 2, cores: int = 2) -> None:
        self.grid, self.name, self.slots, self.cores = grid, name, slots, cores
        self.up = True
        self.units: dict[str, Unit] = {}
        self.orders: dict[str, UnitOrder] = {}
        self.killed: set[str] = set()
        self.held: dict[str, float] = {}
        self.runs: Counter[str] = Counter()
        """How often each unit's program was started: the side effect that must happen once."""
        self.gate = asyncio.Event()
        """Programs end when it is open."""
        self.gate.set()
        self.began = asyncio.Event()
        """A program has begun."""
        self.exit_code = 0
        self.calls: Counter[str] = Counter()
        self.losing: set[str] = set()
        """Methods that are carried out, but whose answer is lost every other time."""
        self.errors: dict[str, Exception] = {}
        """Methods that raise this instead of doing anything."""
        self.ended: dict[str, asyncio.Event] = {}

    # --- the two services ---

    async def describe_resource(self) -> Resource:
        return Resource(self.name, "x86_64", self.cores, 2**33, self.slots, self.slots - self._used())

    async def reserve(self, unit_id: str, needs: Needs, seconds: float) -> Reservation:
        if unit_id not in self.held and self._used() >= self.slots:
            raise NoSlot(node=self.name, used=self._used(), slots=self.slots)
        self.held[unit_id] = asyncio.get_running_loop().time() + seconds
        return Reservation(unit_id, self.name, time.time() + seconds)

    async def release(self, unit_id: str) -> None:
        self.held.pop(unit_id, None)

    async def start_unit(self, order: UnitOrder) -> None:
        if order.unit_id in self.units:
            return
        if order.unit_id in self.killed:
            self._set(Unit(order.unit_id, self.name, State.CANCELLED, reason="killed before it began"))
            return
        if order.unit_id not in self.held and self._used() >= self.slots:
            raise NoSlot(node=self.name, used=self._used(), slots=self.slots)
        self.held.pop(order.unit_id, None)
        self.orders[order.unit_id] = order
        self.ended[order.unit_id] = asyncio.Event()
        self.units[order.unit_id] = Unit(order.unit_id, self.name, State.SCHEDULED)
        self.grid.spawn(self._run(order.unit_id))

    async def kill_unit(self, unit_id: str) -> None:
        self.killed.add(unit_id)
        if unit_id in self.ended:
            self.ended[unit_id].set()

    async def units_(self, unit_ids: list[str]) -> list[Unit]:
        return [self.units[unit_id] for unit_id in unit_ids if unit_id in self.units]

    # --- what a test does to it ---

    def lose_disk(self) -> None:
        """The node comes back as if newly installed."""
        self.units.clear()
        self.killed.clear()

    def running(self) -> list[str]:
        return [unit_id for unit_id, unit in self.units.items() if unit.state is State.RUNNING]

    # --- inside ---

    def _used(self) -> int:
        now = asyncio.get_running_loop().time()
        self.held = {held: until for held, until in self.held.items() if until > now}
        return len(self.held) + sum(not unit.state.ended for unit in self.units.values())

    def _set(self, unit: Unit) -> None:
        self.units[unit.unit_id] = unit
        self.grid.report(self.name, unit)

    async def _run(self, unit_id: str) -> None:
        self.runs[unit_id] += 1
        self.began.set()
        began = time.time()
        self._set(Unit(unit_id, self.name, State.RUNNING, started=began))
        gate = asyncio.ensure_future(self.gate.wait())
        killed = asyncio.ensure_future(self.ended[unit_id].wait())
        try:
            await asyncio.wait([gate, killed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gate.cancel()
            killed.cancel()
        state = State.CANCELLED if unit_id in self.killed else State.DONE if self.exit_code == 0 else State.FAILED
        code = 137 if state is State.CANCELLED else self.exit_code
        self._set(Unit(unit_id, self.name, state, code, "", began, time.time(), 0.01, 4096))


class FakeCaller:
    """Calls one service of one node, or of the grid."""

    def __init__(self, grid: FakeGrid, service: str, node: str | None, crash: Crash) -> None:
        self._grid, self._service, self._node, self._crash = grid, service, node, crash

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        name = method.partition(".")[2]
        if self._service == "VOPS":
            return await self._grid.decide(*args)
        if self._service == "XVOMS":
            return [vo for vo in args[0] if vo in self._grid.dissolved]
        if self._service in ("DIR", "MRC"):
            return await self._grid.files(method, args)
        if self._service == "JobDirectory":
            return await self._grid.record(*args)
        node = self._grid.nodes.get(self._node or "")
        if node is None:
            raise UnknownService(service=self._service, where=f" at {self._node}")
        await self._crash.step(f"before {name}")
        if not node.up:
            raise NotConnected(address=node.name, detail="it is down")
        node.calls[name] += 1
        if name in node.errors:
            raise node.errors[name]
        await asyncio.sleep(0)
        value = await getattr(node, "units_" if name == "units" else name)(*args)
        if name in node.losing and node.calls[name] % 2:
            raise ConnectionLost(address=node.name, detail="the answer was lost")
        await self._crash.step(f"after {name}")
        return value

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        assert method == "Directory.watch"
        changes: asyncio.Queue[NodeChange | None] = asyncio.Queue()
        for node in self._grid.nodes.values():
            if node.name in self._grid.listed:
                changes.put_nowait(NodeChange(self._grid.listed[node.name], up=True))
        self._grid.watchers.add(changes)
        try:
            while True:
                change = await changes.get()
                if change is None:
                    raise ConnectionLost(address="core", detail="the Directory is gone")
                yield change
        finally:
            self._grid.watchers.discard(changes)


class FakeBus:
    """The bus of one life of the Job Manager."""

    def __init__(self, grid: FakeGrid, crash: Crash) -> None:
        self._grid, self._crash = grid, crash

    def caller(self, service: str, node: str | None = None) -> dixi.Caller:
        return FakeCaller(self._grid, service, node, self._crash)

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        raise NotImplementedError(topic)

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        raise NotImplementedError(topic)

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        raise NotImplementedError(topic)


class FakeHost:
    """`xos.dixi.hosting.Host` of one life of the Job Manager."""

    def __init__(self, people: People, data: Path, bus: FakeBus) -> None:
        self.node, self.identity, self.credential = "core", people.core.identity, people.core
        self.trust, self.data = people.trust, data
        self.bus: Bus = bus
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    async def renew(self, certificate: bytes) -> None:
        self.credential = Credential(certificate, self.credential.key)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def cancel(self) -> None:
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _no_files(method: str, _args: tuple[Any, ...]) -> Any:
    raise UnknownService(service=method, where="")


async def _no_vops(_question: JobQuestion) -> JobAnswer:
    raise UnknownService(service="VOPS", where="")


class FakeGrid:
    """Nodes, the Directory, the Job Directory, and the Job Manager under test."""

    def __init__(self, people: People, data: Path, template: Path | None = None, **settings: Any) -> None:
        self.people, self.data = people, data
        self.settings = msgspec.convert(
            {"node_lost_seconds": 60.0, "patience_seconds": 0.0, "reserve_seconds": 0.2, "rulings": False, **settings},
            Settings,
        )
        self.nodes: dict[str, FakeNode] = {}
        self.listed: dict[str, NodeRecord] = {}
        self.watchers: set[asyncio.Queue[NodeChange | None]] = set()
        self.recorded: dict[str, Placement] = {}
        self._recording = asyncio.Condition()
        self.files: Callable[[str, tuple[Any, ...]], Awaitable[Any]] = _no_files
        self.decide: Callable[[JobQuestion], Awaitable[JobAnswer]] = _no_vops
        """What VOPS does when a Job Manager asks it (with the setting ``rulings``)."""
        self.dissolved: set[str] = set()
        """What XVOMS says when a Job Manager asks it which VOs are."""
        self.job_directory_error: Exception | None = None
        self.manager: JobManagerService | None = None
        self._back = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        if template is not None:
            shutil.copy(template, data / "jobs.sqlite")

    # --- the Job Manager's lives ---

    async def begin(self, *, crash: Crash | None = None) -> JobManagerService:
        """A life of the Job Manager begins."""
        crash = crash or Crash()
        self.host = FakeHost(self.people, self.data, FakeBus(self, crash))
        manager = JobManagerService(self.host, self.settings)
        await manager.start()
        self.store = CrashingStore(manager._store, crash)
        manager._store = manager._ledger._store = manager._reports._store = self.store  # type: ignore[assignment]
        self.manager = manager
        self._back.set()
        return manager

    async def crash(self) -> None:
        """Its life ends without notice: nothing is flushed, nobody is told."""
        manager, self.manager = self.manager, None
        self._back = asyncio.Event()
        await self.host.cancel()
        if manager is not None and (flushing := manager._ledger._flushing) is not None:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await self.store.close()

    async def end(self) -> None:
        """Stop everything, in order."""
        if self.manager is not None:
            manager, self.manager = self.manager, None
            await self.host.cancel()
            await manager.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not self.failures + self.host.failures

    # --- nodes ---

    def add(self, name: str, *, slots: int = 2, cores: int = 2) -> FakeNode:
        node = self.nodes[name] = FakeNode(self, name, slots, cores)
        self.come(name)
        return node

    def come(self, name: str) -> None:
        """A node is up again (another life of its daemon) and the Directory says so."""
        self.nodes[name].up = True
        self.listed[name] = NodeRecord(name, f"{name}:1", NODE_SERVICES, started=time.time() + next(_numbers))
        self._tell(NodeChange(self.listed[name], up=True))

    def go(self, name: str) -> None:
        """A node goes down and the Directory says so."""
        self.nodes[name].up = False
        if name in self.listed:
            self._tell(NodeChange(self.listed.pop(name), up=False))

    def _tell(self, change: NodeChange | None) -> None:
        for watcher in self.watchers:
            watcher.put_nowait(change)

    def lose_directory(self) -> None:
        """The Directory's daemon restarts."""
        self._tell(None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def report(self, node: str, unit: Unit) -> None:
        """A node reports until it is acknowledged."""
        self.spawn(self._report(node, unit))

    async def _report(self, node: str, unit: Unit) -> None:
        while True:
            await self._back.wait()
            manager = self.manager
            if manager is None or not self.nodes[node].up:
                await asyncio.sleep(0.01)
                continue
            acknowledged = asyncio.ensure_future(self._report_once(manager, node, unit))
            try:
                while not acknowledged.done() and self.manager is manager:
                    await asyncio.wait([acknowledged], timeout=0.01)
                if acknowledged.done() and acknowledged.exception() is None:
                    return
            finally:
                acknowledged.cancel()
                await asyncio.gather(acknowledged, return_exceptions=True)
            await asyncio.sleep(0.01)

    async def _report_once(self, manager: JobManagerService, node: str, unit: Unit) -> None:
        with acting(machine(node)):
            await manager.report([unit])

    async def record(self, placements: list[Placement]) -> None:
        if self.job_directory_error is not None:
            raise self.job_directory_error
        async with self._recording:
            self.recorded.update({placement.job_id: placement for placement in placements})
            self._recording.notify_all()

    async def until_recorded(self, job_id: str) -> Placement:
        """What the Job Directory is told of a job that has ended."""
        async with asyncio.timeout(15), self._recording:
            await self._recording.wait_for(lambda: job_id in self.recorded and self.recorded[job_id].state.ended)
            return self.recorded[job_id]

    # --- users ---

    async def submit(self, user: Credential, **changes: Any) -> str:
        return await self.create(user, order(user, **changes))

    async def create(self, user: Credential, signed: Signed) -> str:
        assert self.manager is not None
        with acting(user.identity):
            return await self.manager.create_job(signed)

    async def wait(self, user: Credential, job_id: str) -> JobInfo:
        assert self.manager is not None
        with acting(user.identity):
            return await asyncio.wait_for(self.manager.wait_job(job_id), 10)

    async def info(self, user: Credential, job_id: str) -> JobInfo:
        assert self.manager is not None
        with acting(user.identity):
            return await self.manager.job_info(job_id)

    async def cancel(self, user: Credential, job_id: str) -> JobInfo:
        assert self.manager is not None
        with acting(user.identity):
            return await self.manager.cancel_job(job_id)

    async def until(self, user: Credential, job_id: str, state: State, reason: str = "") -> JobInfo:
        """The job as soon as it is in *state*, and its reason has *reason* in it."""
        assert self.manager is not None
        with acting(user.identity):
            async with asyncio.timeout(10):
                async for info in self.manager.watch_job(job_id):
                    if info.state is state and reason in info.reason:
                        return info
        raise AssertionError(f"{job_id} was never {state} {reason}")


def make_template(path: Path) -> None:
    """An empty database of this release's schema, to be copied."""
    prepare(Place.of(path), METADATA, "xos.aem.jobs:migrations")
