# SPDX-License-Identifier: BSD-3-Clause
"""The job commands against services in memory, whose connections break when a test wants it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.jobs import People
from xos.aem.api import ORDER_PURPOSE, Chunk, JobInfo, JobOrder, Placement, State, Unit
from xos.aem.cli import xkill, xout, xps, xsub, xwait
from xos.aem.errors import NotYourUnit, UnknownJob
from xos.aem.jsdl import parse
from xos.common.errors import XosError
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.commands import Command, Session, invoke
from xos.dixi.errors import ConnectionLost, UnknownService
from xos.dixi.stubs import HasCallers

COMMANDS: dict[str, Command] = {
    c.name: c for c in (xsub.COMMAND, xps.COMMAND, xwait.COMMAND, xkill.COMMAND, xout.COMMAND)
}
NOW = 1_790_000_000.0


class Service(Caller):
    """One service at one node (or anywhere, node ``""``)."""

    def __init__(self, grid: Grid, node: str) -> None:
        self._grid, self._node = grid, node

    async def call(self, method: str, args: tuple[Any, ...], result: Any, **_: Any) -> Any:
        self._grid.note(method, args, self._node)
        self._grid.stumble(method)
        answer = await self._grid.methods[method](self._node, *args)
        return msgspec.convert(msgspec.to_builtins(answer), result) if result is not None else None

    async def stream(self, method: str, args: tuple[Any, ...], item: Any, **_: Any) -> AsyncIterator[Any]:  # noqa: ARG002
        self._grid.note(method, args, self._node)
        self._grid.stumble(method)
        async for value in self._grid.streams[method](self._node, *args):
            self._grid.stumble(f"{method} item")
            yield value
            self._grid.consumed += 1
            self._grid.noise.set()


class Grid(HasCallers):
    """Job Managers, Job Directory and Execution Managers as the commands see them."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.jobs: dict[str, JobInfo] = {}
        self.elsewhere: dict[str, JobInfo] = {}
        """Jobs of the Job Manager at node ``core2``."""
        self.orders: list[JobOrder] = []
        self.written: dict[tuple[str, str], bytes] = {}
        """(unit, stream) to what is there."""
        self.piece = 7
        """Bytes of a chunk."""
        self.changed = asyncio.Condition()
        self.calls: list[tuple[str, tuple[Any, ...], str]] = []
        self.dying = False
        """Units take their time to be killed."""
        self.consumed = 0
        """Items of streams that their readers are done with."""
        self.noise = asyncio.Event()
        self.failures: dict[str, list[XosError | None]] = {}
        """What the next calls of a method raise; None: nothing, this time."""
        self._numbers = itertools.count(1)
        self.methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "JobManager.create_job": self._create,
            "JobManager.job_info": self._info,
            "JobManager.list_jobs": self._list,
            "JobManager.wait_job": self._wait,
            "JobManager.cancel_job": self._cancel,
            "JobDirectory.locate": self._locate,
        }
        self.streams: dict[str, Callable[..., AsyncIterator[Any]]] = {
            "JobManager.watch_job": self._watch,
            "ExecutionManager.output": self._output,
        }

    def caller(self, service: str, node: str | None = None) -> Caller:
        if service == "JobManager" and node not in (None, "core2"):
            raise UnknownService(service=service, where=f" at {node}")
        return Service(self, node or "")

    def note(self, method: str, args: tuple[Any, ...], node: str) -> None:
        self.calls.append((method, args, node))
        self.noise.set()

    def count(self, method: str) -> int:
        """How often *method* was called."""
        return sum(name == method for name, _, _ in self.calls)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for calls to be made or items to be consumed until *happened*."""
        while not happened():
            self.noise.clear()
            await self.noise.wait()

    async def called(self, method: str, times: int = 1) -> None:
        """Wait until *method* was called so often."""
        await self.until(lambda: self.count(method) >= times)

    def fail(self, method: str, *errors: XosError | None) -> None:
        self.failures.setdefault(method, []).extend(errors)

    def stumble(self, method: str) -> None:
        waiting = self.failures.get(method)
        if waiting and (error := waiting.pop(0)) is not None:
            raise error

    async def put(self, job: JobInfo) -> None:
        """The job is now so."""
        async with self.changed:
            self.jobs[job.job_id] = job
            self.changed.notify_all()

    def _at(self, node: str, job_id: str) -> JobInfo:
        found = (self.elsewhere if node == "core2" else self.jobs).get(job_id)
        if found is None:
            raise UnknownJob(job_id=job_id)
        return found

    async def _create(self, _node: str, job: Signed) -> str:
        verify_signed(job, self.trust, purpose=ORDER_PURPOSE, at=time.time())
        order = msgspec.msgpack.decode(job.payload, type=JobOrder)
        self.orders.append(order)
        count = parse(order.jsdl).total_resource_count
        job_id = f"demo-{next(self._numbers)}"
        units = tuple(Unit(f"{job_id}.{i}") for i in range(count))
        await self.put(
            JobInfo(job_id, "sample", "alice@demo", "demo", State.PENDING, "no node is free", NOW, units=units)
        )
        return job_id

    async def _info(self, node: str, job_id: str) -> JobInfo:
        return self._at(node, job_id)

    async def _list(self, _node: str, ended: bool, limit: int, _vo: str) -> list[JobInfo]:
        return [job for job in reversed(self.jobs.values()) if ended or not job.state.ended][:limit]

    async def _wait(self, node: str, job_id: str) -> JobInfo:
        async with self.changed:
            await self.changed.wait_for(lambda: self._at(node, job_id).state.ended)
        return self._at(node, job_id)

    async def _cancel(self, node: str, job_id: str) -> JobInfo:
        job = self._at(node, job_id)
        if not job.state.ended and not self.dying:
            job = msgspec.structs.replace(job, state=State.CANCELLED, reason="cancelled by alice@demo")
            await self.put(job)
        return job

    async def _locate(self, _node: str, job_id: str) -> Placement:
        job = self.elsewhere.get(job_id)
        if job is None:
            raise UnknownJob(job_id=job_id)
        return Placement(job_id, job.owner, job.vo, "core2", job.state)

    async def _watch(self, node: str, job_id: str) -> AsyncIterator[JobInfo]:
        seen: JobInfo | None = None
        while seen is None or not seen.state.ended:
            async with self.changed:
                while self._at(node, job_id) == seen:
                    await self.changed.wait()
                seen = self._at(node, job_id)
            yield seen

    async def _output(self, node: str, unit_id: str, stream: str, follow: bool) -> AsyncIterator[Chunk]:
        at = 0
        while True:
            job = self.jobs[unit_id.rpartition(".")[0]]
            unit = next(u for u in job.units if u.unit_id == unit_id)
            if node != unit.node:
                raise NotYourUnit(unit_id=unit_id, caller=f"nobody at {node}")
            data = self.written.get((unit_id, stream), b"")
            while at < len(data):
                piece = data[at : at + self.piece]
                at += len(piece)
                yield Chunk(unit_id, stream, piece)
            if not follow or unit.state.ended:
                return
            async with self.changed:
                await self.changed.wait()

    async def write(self, unit_id: str, data: bytes, stream: str = "output") -> None:
        """A unit writes."""
        async with self.changed:
            self.written[unit_id, stream] = self.written.get((unit_id, stream), b"") + data
            self.changed.notify_all()


class Paper:
    """Output that is kept."""

    def __init__(self, *, is_tty: bool) -> None:
        self.is_tty = is_tty
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        await asyncio.sleep(0)


class Typed:
    """Standard input with something in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.is_tty = False

    async def read(self, most: int = -1) -> bytes:
        most = len(self._data) if most < 0 else most
        part, self._data = self._data[:most], self._data[most:]
        return part


class Ties:
    def __init__(self, bus: Grid, credential: Credential) -> None:
        self.bus, self.credential = bus, credential


class Result:
    """What came of a command."""

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status, self.raw = status, out
        self.out, self.err = out.decode(errors="replace"), err.decode()


class Shell:
    """Runs commands as alice."""

    def __init__(self, grid: Grid, credential: Credential, cwd: Path) -> None:
        self.grid, self.cwd = grid, cwd
        self._ties = Ties(grid, credential)
        self.env = {"HOME": str(cwd), "TERM": "xterm", "NO_COLOR": "1", "EDITOR": "ed"}

    async def __call__(self, *argv: str, stdin: bytes = b"", tty: bool = False, columns: int = 100) -> Result:
        out, err = Paper(is_tty=tty), Paper(is_tty=tty)
        session = Session(
            argv[0],
            self._ties,
            Typed(stdin),  # type: ignore[arg-type]
            out,
            err,
            cwd=self.cwd,
            env=self.env,
            width=columns,
        )
        status = await invoke(COMMANDS[argv[0]], argv[1:], session)
        return Result(status, out.data, err.data)


@pytest.fixture(scope="session")
def people() -> People:
    return People.make()


@pytest.fixture(scope="session")
def alice(people: People) -> Credential:
    return people.user("alice")


@pytest.fixture
async def grid(people: People) -> Grid:
    return Grid(people.trust)


@pytest.fixture
def shell(grid: Grid, alice: Credential, tmp_path: Path) -> Shell:
    return Shell(grid, alice, tmp_path)


def job(job_id: str = "demo-1", state: State = State.RUNNING, *, units: int = 1, **changes: Any) -> JobInfo:
    """A job whose units are all in the same state, unit N at node nodeN."""
    started = NOW if state is not State.PENDING else None
    ended = NOW + 5 if state.ended else None
    made = tuple(
        Unit(f"{job_id}.{i}", f"node{i + 1}" if started else "", state, started=started, ended=ended)
        for i in range(units)
    )
    fields: dict[str, Any] = {"submitted": NOW - 1, "started": started, "ended": ended, "units": made}
    return JobInfo(job_id, "sample", "alice@demo", "demo", state, **{**fields, **changes})


@pytest.fixture
def make_job() -> Callable[..., JobInfo]:
    return job


@pytest.fixture
def lost() -> XosError:
    return ConnectionLost(address="core:1", detail="reset")
