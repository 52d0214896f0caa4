# SPDX-License-Identifier: BSD-3-Clause
"""The Job Directory: what Job Managers tell it, and to whom it tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.jobs import Crash, FakeBus, FakeGrid, FakeHost, People, acting, machine
from xos.aem.api import Placement, State
from xos.aem.errors import NotYourJob, UnknownJob
from xos.aem.jobs.directory import DirectorySettings, JobDirectoryService
from xos.common.tls import Credential


def placement(number: int, state: State = State.PENDING, owner: str = "alice@demo", manager: str = "core") -> Placement:
    return Placement(f"demo-{number}", owner, "demo", manager, state)


@pytest.fixture
async def directory(people: People, tmp_path: Path) -> AsyncIterator[JobDirectoryService]:
    host = FakeHost(people, tmp_path, FakeBus(FakeGrid(people, tmp_path), Crash()))
    service = JobDirectoryService(host, DirectorySettings())
    await service.start()
    yield service
    await service.stop()


async def tell(directory: JobDirectoryService, *jobs: Placement, by: str = "core") -> None:
    with acting(machine(by)):
        await directory.record(list(jobs))


async def test_it_knows_where_a_job_is_and_how_it_stands(directory: JobDirectoryService, alice: Credential) -> None:
    await tell(directory, placement(1))
    await tell(directory, placement(1, State.RUNNING), placement(1, State.DONE))
    with acting(alice.identity):
        assert await directory.locate("demo-1") == placement(1, State.DONE)
        with pytest.raises(UnknownJob):
            await directory.locate("demo-2")


async def test_it_lists_the_callers_own_jobs_newest_first(
    directory: JobDirectoryService, alice: Credential, bob: Credential
) -> None:
    await tell(directory, placement(1), placement(2), placement(3, owner="bob@demo"))
    await tell(directory, placement(1, State.DONE))
    with acting(alice.identity):
        assert await directory.placements() == [placement(2), placement(1, State.DONE)]
        assert await directory.placements(1) == [placement(2)]
        assert await directory.placements(-1) == []
    with acting(bob.identity):
        assert [one.job_id for one in await directory.placements()] == ["demo-3"]
    with acting(machine("node1")):
        assert await directory.placements() == []


async def test_only_the_owner_and_the_admins_of_the_vo_may_locate_a_job(
    directory: JobDirectoryService, bob: Credential, admin: Credential
) -> None:
    await tell(directory, placement(1))
    with acting(bob.identity), pytest.raises(NotYourJob):
        await directory.locate("demo-1")
    with acting(admin.identity):
        assert (await directory.locate("demo-1")).manager == "core"


async def test_a_machine_speaks_of_its_own_jobs_only(directory: JobDirectoryService, alice: Credential) -> None:
    await tell(directory, placement(1))
    await tell(directory, placement(1, State.DONE), placement(2), by="node1")
    await tell(directory, placement(1, State.DONE, manager="node1"), by="node1")
    with acting(alice.identity):
        assert await directory.placements() == [placement(1)]


async def test_it_is_kept(directory: JobDirectoryService, alice: Credential) -> None:
    await tell(directory, *(placement(number) for number in range(1200)))
    again = JobDirectoryService(directory.host, DirectorySettings())
    await again.start()
    with acting(alice.identity):
        assert len(await again.placements(5000)) == 1200
    await again.stop()


async def test_who_calls_before_it_has_started_waits(directory: JobDirectoryService) -> None:
    early = JobDirectoryService(directory.host, DirectorySettings())
    telling = asyncio.ensure_future(tell(early, placement(1)))
    await asyncio.sleep(0)
    assert not telling.done()
    await early.start()
    await telling
    await early.stop()
