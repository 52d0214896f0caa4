# SPDX-License-Identifier: BSD-3-Clause
"""How the job commands call: the right Job Manager, and patience while one is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from xos.aem.api import JobInfo
from xos.aem.errors import UnknownJob
from xos.aem.xati import JobDirectoryAsync, JobManagerAsync
from xos.common.errors import XosError
from xos.dixi.channel import Backoff
from xos.dixi.errors import ConnectionLost, Draining, NotConnected, Overloaded, UnknownService
from xos.dixi.stubs import HasCallers

T = TypeVar("T")
PASSING = (ConnectionLost, NotConnected, Draining, Overloaded, UnknownService)
"""Errors that end when a daemon is back; jobs outlive it."""


async def at_manager(bus: HasCallers, job_id: str, ask: Callable[[JobManagerAsync], Awaitable[T]]) -> T:
    """Ask the Job Manager that has the job; if the first one has not, the Job Directory says which. `UnknownJob`."""
    try:
        return await ask(JobManagerAsync(bus))
    except UnknownJob as unknown:
        try:
            place = await JobDirectoryAsync(bus).locate(job_id)
        except UnknownService:
            raise unknown from None
        return await ask(JobManagerAsync(bus, place.manager))


async def job_info(bus: HasCallers, job_id: str) -> JobInfo:
    """The job as it is now."""
    return await at_manager(bus, job_id, lambda manager: manager.job_info(job_id))


async def ended(bus: HasCallers, job_id: str, trouble: Callable[[XosError], None]) -> JobInfo:
    """The job when it has ended, however often a daemon restarts meanwhile; *trouble* hears of that each time."""
    info = await job_info(bus, job_id)
    backoff = Backoff()
    while not info.state.ended:
        try:
            info = await at_manager(bus, job_id, lambda manager: manager.wait_job(job_id))
        except PASSING as error:
            trouble(error)
            await asyncio.sleep(backoff.next(error))
    return info


async def watched(bus: HasCallers, job_id: str, trouble: Callable[[XosError], None]) -> AsyncIterator[JobInfo]:
    """The job now, then at each change until it has ended, however often a daemon restarts meanwhile."""
    info = await job_info(bus, job_id)
    yield info
    seen = info
    backoff = Backoff()
    while not seen.state.ended:
        try:
            manager = await at_manager(bus, job_id, lambda manager: _holding(manager, job_id))
            async for info in manager.watch_job(job_id):
                backoff = Backoff()
                if info != seen:
                    seen = info
                    yield info
        except PASSING as error:
            trouble(error)
        if not seen.state.ended:
            await asyncio.sleep(backoff.next())


async def _holding(manager: JobManagerAsync, job_id: str) -> JobManagerAsync:
    await manager.job_info(job_id)
    return manager


class Trouble:
    """Tells the user once that the grid is away, not each time it is tried again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = False

    def __call__(self, error: XosError) -> None:
        if not self._told:
            self._told = True
            self._tell(f"{error.message}; the job goes on, trying again")
