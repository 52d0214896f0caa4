# SPDX-License-Identifier: BSD-3-Clause
"""Application Execution Management: the interfaces of its four services, and what travels over them."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.signing import Signed
from xos.dixi.api import call, service, stream

MACHINES = frozenset({Kind.MACHINE})
ORDER_PURPOSE = "xos-job-order"
"""What a user's signature on a `JobOrder` is for (`xos.common.signing`): it is good for nothing else."""


class State(enum.StrEnum):
    """Where a job, or one unit of it, stands."""

    PENDING = "PENDING"
    """Kept, waiting for resources; the reason says for what."""
    SCHEDULED = "SCHEDULED"
    """Nodes are chosen and told."""
    RUNNING = "RUNNING"
    DONE = "DONE"
    """Ended with exit code 0 (every unit)."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """No further change will come."""
        return self in _ENDED


_ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


class InputFile(msgspec.Struct, array_like=True, frozen=True):
    """A small file that travels with the job."""

    name: str
    """Relative to the unit's working directory; no ``..``."""
    content: bytes
    executable: bool = False


class JobOrder(msgspec.Struct, array_like=True, frozen=True):
    """What a user signs: msgpack of this is the payload of the `Signed` that is submitted."""

    request_id: str
    """Made by the client, unguessable; the same order submitted again is the same job."""
    vo: str
    jsdl: bytes
    """JSDL 1.0 document (OGF GFD.136), UTF-8 XML."""
    files: tuple[InputFile, ...] = ()
    submitted: float = 0.0
    """Unix seconds, by the client's clock."""


class Unit(msgspec.Struct, array_like=True, frozen=True):
    """One job unit: the part of a job that one resource node runs."""

    unit_id: str
    """``JOB.INDEX``, for example ``demo-4f1c….0``."""
    node: str = ""
    state: State = State.PENDING
    exit_code: int | None = None
    """Of the program; 128 + n when signal n ended it."""
    reason: str = ""
    started: float | None = None
    """Unix seconds."""
    ended: float | None = None
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    """Bytes."""


class JobInfo(msgspec.Struct, array_like=True, frozen=True):
    """A job as its owner sees it."""

    job_id: str
    name: str
    owner: str
    """``alice@demo``."""
    vo: str
    state: State
    reason: str = ""
    """Why it waits, failed or was cancelled; never empty while PENDING."""
    submitted: float = 0.0
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    """0, or that of the first unit that failed."""
    units: tuple[Unit, ...] = ()


class Placement(msgspec.Struct, array_like=True, frozen=True):
    """Where a job is managed."""

    job_id: str
    owner: str
    vo: str
    manager: str
    """Node of its Job Manager."""
    state: State


class Needs(msgspec.Struct, array_like=True, frozen=True):
    """What one job unit takes of a node."""

    cores: int = 1
    memory: int = 0
    """Bytes; 0 is any."""
    architecture: str = ""
    """As ``uname -m`` has it; empty is any."""
    hosts: tuple[str, ...] = ()
    """Candidate nodes; empty is any."""


class Resource(msgspec.Struct, array_like=True, frozen=True):
    """A resource node."""

    node: str
    architecture: str
    cores: int
    memory: int
    """Bytes."""
    slots: int
    """Units that may run at once."""
    slots_free: int
    operating_system: str = "LINUX"
    hostname: str = ""


class Reservation(msgspec.Struct, array_like=True, frozen=True):
    """A slot held for a unit until it starts, or until the time is up."""

    unit_id: str
    node: str
    expires: float = 0.0
    """Unix seconds."""


class UnitOrder(msgspec.Struct, array_like=True, frozen=True):
    """A Job Manager's order to a node; the node believes only what the user signed in it."""

    unit_id: str
    job_id: str
    index: int
    """Which of the job's units this is, from 0."""
    count: int
    """How many units the job has."""
    job: Signed
    manager: str
    """Node of the Job Manager that wants the reports."""
    ruling: Signed | None = None
    """What VOPS decided (`xos.vom.api.Ruling`); the node verifies it."""


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """A piece of a unit's output."""

    unit_id: str
    stream: str
    """``output``, ``error`` or the name of a staged-out file."""
    content: bytes


@service
class JobManager(Protocol):
    """Takes jobs, places their units, follows and ends them."""

    @call(idempotent=True, allow={Kind.USER})
    async def create_job(self, job: Signed) -> str:
        """Keep a job and return its id. Acknowledged means durable; the same order again returns the same id."""
        ...

    @call(reads=True)
    async def job_info(self, job_id: str) -> JobInfo:
        """One job of the caller's."""
        ...

    @call(reads=True)
    async def list_jobs(self, ended: bool = True, limit: int = 100, vo: str = "") -> list[JobInfo]:
        """The caller's jobs, newest first; *ended* says whether those that have ended are wanted too.

        *vo*: instead all jobs of that VO, for its administrators.
        """
        ...

    @call(reads=True, waits=True)
    async def wait_job(self, job_id: str) -> JobInfo:
        """Answers when the job has ended."""
        ...

    @stream
    def watch_job(self, job_id: str) -> AsyncIterator[JobInfo]:
        """The job now, then at each change, until it has ended."""
        ...

    @call(idempotent=True)
    async def cancel_job(self, job_id: str) -> JobInfo:
        """Cancel a job and kill its units; a job that has ended stays as it is."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def report(self, units: list[Unit]) -> None:
        """Nodes tell what became of their units. Acknowledged means durable."""
        ...


@service
class JobDirectory(Protocol):
    """Knows which Job Manager holds which job."""

    @call(idempotent=True, allow=MACHINES)
    async def record(self, jobs: list[Placement]) -> None:
        """Job Managers tell of new jobs and changed states."""
        ...

    @call(reads=True)
    async def locate(self, job_id: str) -> Placement:
        """Where a job of the caller's is managed."""
        ...

    @call(reads=True)
    async def placements(self, limit: int = 1000) -> list[Placement]:
        """The caller's jobs at every Job Manager, newest first."""
        ...


@service
class ResourceManager(Protocol):
    """Knows what its node has, and holds slots for units."""

    @call(reads=True)
    async def describe_resource(self) -> Resource:
        """The node as it is now."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def reserve(self, unit_id: str, needs: Needs, seconds: float = 30.0) -> Reservation:
        """Hold a slot; again for the same unit extends it. Raises `NoSlot` or `DoesNotFit`."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def release(self, unit_id: str) -> None:
        """Give a slot back; an unknown unit has none."""
        ...


@service
class ExecutionManager(Protocol):
    """Runs job units on its node."""

    @call(idempotent=True, allow=MACHINES)
    async def start_unit(self, order: UnitOrder) -> None:
        """Start a unit, once: the same order again changes nothing. Acknowledged means durable.

        The user's signature and certificate on the job are verified here, whatever the Job Manager says.
        """
        ...

    @call(idempotent=True)
    async def kill_unit(self, unit_id: str) -> None:
        """Kill every process of a unit; its owner or a machine may. Unknown units are remembered as killed."""
        ...

    @call(reads=True, allow=MACHINES)
    async def units(self, unit_ids: list[str]) -> list[Unit]:
        """What became of these units; those this node never heard of are left out."""
        ...

    @stream
    def output(self, unit_id: str, stream: str = "output", follow: bool = False) -> AsyncIterator[Chunk]:
        """What a unit of the caller's has written; *follow* goes on until it ends."""
        ...
