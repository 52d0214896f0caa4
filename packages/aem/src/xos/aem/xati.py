# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.aem.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.aem.api."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from xos.aem.api import Chunk, JobInfo, Needs, Placement, Reservation, Resource, Unit, UnitOrder
from xos.common.signing import Signed
from xos.dixi.stubs import AsyncStub, BlockingStub


class JobManagerAsync(AsyncStub):
    """Takes jobs, places their units, follows and ends them."""

    service = "JobManager"

    async def create_job(self, job: Signed, *, deadline: float | None = None) -> str:
        """Keep a job and return its id. Acknowledged means durable; the same order again returns the same id."""
        result: str = await self._caller.call("JobManager.create_job", (job,), str, deadline=deadline, retry=True)
        return result

    async def job_info(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """One job of the caller's."""
        result: JobInfo = await self._caller.call(
            "JobManager.job_info", (job_id,), JobInfo, deadline=deadline, retry=True
        )
        return result

    async def list_jobs(
        self, ended: bool = True, limit: int = 100, vo: str = "", *, deadline: float | None = None
    ) -> list[JobInfo]:
        """The caller's jobs, newest first; *ended* says whether those that have ended are wanted too.

        *vo*: instead all jobs of that VO, for its administrators.
        """
        result: list[JobInfo] = await self._caller.call(
            "JobManager.list_jobs", (ended, limit, vo), list[JobInfo], deadline=deadline, retry=True
        )
        return result

    async def wait_job(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """Answers when the job has ended."""
        result: JobInfo = await self._caller.call(
            "JobManager.wait_job", (job_id,), JobInfo, deadline=deadline, retry=True
        )
        return result

    def watch_job(self, job_id: str, *, deadline: float | None = None) -> AsyncIterator[JobInfo]:
        """The job now, then at each change, until it has ended."""
        return self._caller.stream("JobManager.watch_job", (job_id,), JobInfo, deadline=deadline)

    async def cancel_job(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """Cancel a job and kill its units; a job that has ended stays as it is."""
        result: JobInfo = await self._caller.call(
            "JobManager.cancel_job", (job_id,), JobInfo, deadline=deadline, retry=True
        )
        return result

    async def report(self, units: list[Unit], *, deadline: float | None = None) -> None:
        """Nodes tell what became of their units. Acknowledged means durable."""
        await self._caller.call("JobManager.report", (units,), None, deadline=deadline, retry=True)


class JobManagerXati(BlockingStub):
    """Takes jobs, places their units, follows and ends them."""

    service = "JobManager"

    def create_job(self, job: Signed, *, deadline: float | None = None) -> str:
        """Keep a job and return its id. Acknowledged means durable; the same order again returns the same id."""
        result: str = self._caller.call("JobManager.create_job", (job,), str, deadline=deadline, retry=True)
        return result

    def job_info(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """One job of the caller's."""
        result: JobInfo = self._caller.call("JobManager.job_info", (job_id,), JobInfo, deadline=deadline, retry=True)
        return result

    def list_jobs(
        self, ended: bool = True, limit: int = 100, vo: str = "", *, deadline: float | None = None
    ) -> list[JobInfo]:
        """The caller's jobs, newest first; *ended* says whether those that have ended are wanted too.

        *vo*: instead all jobs of that VO, for its administrators.
        """
        result: list[JobInfo] = self._caller.call(
            "JobManager.list_jobs", (ended, limit, vo), list[JobInfo], deadline=deadline, retry=True
        )
        return result

    def wait_job(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """Answers when the job has ended."""
        result: JobInfo = self._caller.call("JobManager.wait_job", (job_id,), JobInfo, deadline=deadline, retry=True)
        return result

    def watch_job(self, job_id: str, *, deadline: float | None = None) -> Iterator[JobInfo]:
        """The job now, then at each change, until it has ended."""
        return self._caller.stream("JobManager.watch_job", (job_id,), JobInfo, deadline=deadline)

    def cancel_job(self, job_id: str, *, deadline: float | None = None) -> JobInfo:
        """Cancel a job and kill its units; a job that has ended stays as it is."""
        result: JobInfo = self._caller.call("JobManager.cancel_job", (job_id,), JobInfo, deadline=deadline, retry=True)
        return result

    def report(self, units: list[Unit], *, deadline: float | None = None) -> None:
        """Nodes tell what became of their units. Acknowledged means durable."""
        self._caller.call("JobManager.report", (units,), None, deadline=deadline, retry=True)


class JobDirectoryAsync(AsyncStub):
    """Knows which Job Manager holds which job."""

    service = "JobDirectory"

    async def record(self, jobs: list[Placement], *, deadline: float | None = None) -> None:
        """Job Managers tell of new jobs and changed states."""
        await self._caller.call("JobDirectory.record", (jobs,), None, deadline=deadline, retry=True)

    async def locate(self, job_id: str, *, deadline: float | None = None) -> Placement:
        """Where a job of the caller's is managed."""
        result: Placement = await self._caller.call(
            "JobDirectory.locate", (job_id,), Placement, deadline=deadline, retry=True
        )
        return result

    async def placements(self, limit: int = 1000, *, deadline: float | None = None) -> list[Placement]:
        """The caller's jobs at every Job Manager, newest first."""
        result: list[Placement] = await self._caller.call(
            "JobDirectory.placements", (limit,), list[Placement], deadline=deadline, retry=True
        )
        return result


class JobDirectoryXati(BlockingStub):
    """Knows which Job Manager holds which job."""

    service = "JobDirectory"

    def record(self, jobs: list[Placement], *, deadline: float | None = None) -> None:
        """Job Managers tell of new jobs and changed states."""
        self._caller.call("JobDirectory.record", (jobs,), None, deadline=deadline, retry=True)

    def locate(self, job_id: str, *, deadline: float | None = None) -> Placement:
        """Where a job of the caller's is managed."""
        result: Placement = self._caller.call(
            "JobDirectory.locate", (job_id,), Placement, deadline=deadline, retry=True
        )
        return result

    def placements(self, limit: int = 1000, *, deadline: float | None = None) -> list[Placement]:
        """The caller's jobs at every Job Manager, newest first."""
        result: list[Placement] = self._caller.call(
            "JobDirectory.placements", (limit,), list[Placement], deadline=deadline, retry=True
        )
        return result


class ResourceManagerAsync(AsyncStub):
    """Knows what its node has, and holds slots for units."""

    service = "ResourceManager"

    async def describe_resource(self, *, deadline: float | None = None) -> Resource:
        """The node as it is now."""
        result: Resource = await self._caller.call(
            "ResourceManager.describe_resource", (), Resource, deadline=deadline, retry=True
        )
        return result

    async def reserve(
        self, unit_id: str, needs: Needs, seconds: float = 30.0, *, deadline: float | None = None
    ) -> Reservation:
        """Hold a slot; again for the same unit extends it. Raises `NoSlot` or `DoesNotFit`."""
        result: Reservation = await self._caller.call(
            "ResourceManager.reserve", (unit_id, needs, seconds), Reservation, deadline=deadline, retry=True
        )
        return result

    async def release(self, unit_id: str, *, deadline: float | None = None) -> None:
        """Give a slot back; an unknown unit has none."""
        await self._caller.call("ResourceManager.release", (unit_id,), None, deadline=deadline, retry=True)


class ResourceManagerXati(BlockingStub):
    """Knows what its node has, and holds slots for units."""

    service = "ResourceManager"

    def describe_resource(self, *, deadline: float | None = None) -> Resource:
        """The node as it is now."""
        result: Resource = self._caller.call(
            "ResourceManager.describe_resource", (), Resource, deadline=deadline, retry=True
        )
        return result

    def reserve(
        self, unit_id: str, needs: Needs, seconds: float = 30.0, *, deadline: float | None = None
    ) -> Reservation:
        """Hold a slot; again for the same unit extends it. Raises `NoSlot` or `DoesNotFit`."""
        result: Reservation = self._caller.call(
            "ResourceManager.reserve", (unit_id, needs, seconds), Reservation, deadline=deadline, retry=True
        )
        return result

    def release(self, unit_id: str, *, deadline: float | None = None) -> None:
        """Give a slot back; an unknown unit has none."""
        self._caller.call("ResourceManager.release", (unit_id,), None, deadline=deadline, retry=True)


class ExecutionManagerAsync(AsyncStub):
    """Runs job units on its node."""

    service = "ExecutionManager"

    async def start_unit(self, order: UnitOrder, *, deadline: float | None = None) -> None:
        """Start a unit, once: the same order again changes nothing. Acknowledged means durable.

        The user's signature and certificate on the job are verified here, whatever the Job Manager says.
        """
        await self._caller.call("ExecutionManager.start_unit", (order,), None, deadline=deadline, retry=True)

    async def kill_unit(self, unit_id: str, *, deadline: float | None = None) -> None:
        """Kill every process of a unit; its owner or a machine may. Unknown units are remembered as killed."""
        await self._caller.call("ExecutionManager.kill_unit", (unit_id,), None, deadline=deadline, retry=True)

    async def units(self, unit_ids: list[str], *, deadline: float | None = None) -> list[Unit]:
        """What became of these units; those this node never heard of are left out."""
        result: list[Unit] = await self._caller.call(
            "ExecutionManager.units", (unit_ids,), list[Unit], deadline=deadline, retry=True
        )
        return result

    def output(
        self, unit_id: str, stream: str = "output", follow: bool = False, *, deadline: float | None = None
    ) -> AsyncIterator[Chunk]:
        """What a unit of the caller's has written; *follow* goes on until it ends."""
        return self._caller.stream("ExecutionManager.output", (unit_id, stream, follow), Chunk, deadline=deadline)


class ExecutionManagerXati(BlockingStub):
    """Runs job units on its node."""

    service = "ExecutionManager"

    def start_unit(self, order: UnitOrder, *, deadline: float | None = None) -> None:
        """Start a unit, once: the same order again changes nothing. Acknowledged means durable.

        The user's signature and certificate on the job are verified here, whatever the Job Manager says.
        """
        self._caller.call("ExecutionManager.start_unit", (order,), None, deadline=deadline, retry=True)

    def kill_unit(self, unit_id: str, *, deadline: float | None = None) -> None:
        """Kill every process of a unit; its owner or a machine may. Unknown units are remembered as killed."""
        self._caller.call("ExecutionManager.kill_unit", (unit_id,), None, deadline=deadline, retry=True)

    def units(self, unit_ids: list[str], *, deadline: float | None = None) -> list[Unit]:
        """What became of these units; those this node never heard of are left out."""
        result: list[Unit] = self._caller.call(
            "ExecutionManager.units", (unit_ids,), list[Unit], deadline=deadline, retry=True
        )
        return result

    def output(
        self, unit_id: str, stream: str = "output", follow: bool = False, *, deadline: float | None = None
    ) -> Iterator[Chunk]:
        """What a unit of the caller's has written; *follow* goes on until it ends."""
        return self._caller.stream("ExecutionManager.output", (unit_id, stream, follow), Chunk, deadline=deadline)
