# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of the jobs of a VO that is dissolved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from support.dixi import until
from support.jobs import FakeGrid, People
from xos.aem.api import State
from xos.aem.dissolved import MOST, Watch
from xos.common.errors import StorageFull, XosError
from xos.common.tls import Credential
from xos.dixi.errors import NotConnected


@pytest.fixture
async def grid(people: People, tmp_path: Path, template: Path) -> AsyncIterator[FakeGrid]:
    made = FakeGrid(people, tmp_path, template, dissolved_seconds=0.05)
    made.add("node1")
    await made.begin()
    yield made
    await made.end()


async def test_jobs_that_run_and_jobs_that_wait_are_cancelled_and_say_why(grid: FakeGrid, alice: Credential) -> None:
    node = grid.nodes["node1"]
    node.gate.clear()
    jobs = [await grid.submit(alice) for _ in range(4)]  # two more than fit
    await until(lambda: len(node.running()) == 2)
    grid.dissolved.add("demo")
    ended = await asyncio.gather(*(grid.wait(alice, job_id) for job_id in jobs))
    assert [job.state for job in ended] == [State.CANCELLED] * 4
    assert all("the end of VO demo" in job.reason for job in ended)
    assert node.running() == []


async def test_jobs_of_other_vos_go_on(grid: FakeGrid, people: People, alice: Credential) -> None:
    other = people.user("ann", vo="other")
    grid.nodes["node1"].gate.clear()
    hers, job = await grid.submit(other), await grid.submit(alice)
    grid.dissolved.add("demo")
    assert (await grid.wait(alice, job)).state is State.CANCELLED
    assert not (await grid.info(other, hers)).state.ended
    grid.nodes["node1"].gate.set()
    assert (await grid.wait(other, hers)).state is State.DONE


class ToldXvoms:
    """A bus that leads to an XVOMS that says what it is told to."""

    def __init__(self, *dissolved: str, error: XosError | None = None) -> None:
        self.dissolved, self.error, self.asked = set(dissolved), error, list[tuple[str, ...]]()

    def caller(self, service: str, _: str | None = None) -> Any:
        assert service == "XVOMS"
        return self

    async def call(self, _: str, args: tuple[tuple[str, ...]], *__: object, **___: object) -> list[str]:
        self.asked.append(args[0])
        if self.error is not None:
            raise self.error
        return [vo for vo in args[0] if vo in self.dissolved]


async def test_one_vo_that_cannot_be_closed_now_keeps_no_other_open_and_is_closed_later() -> None:
    closed: list[str] = []
    full = {"a"}

    async def vos() -> Collection[str]:
        return {"a", "b", "c"}

    async def close(vo: str) -> None:
        if vo in full:
            raise StorageFull(path="/var")
        closed.append(vo)

    watch = Watch(ToldXvoms("a", "b"), vos, close, 1.0)  # type: ignore[arg-type]  # all of a bus that it needs
    with pytest.raises(StorageFull):
        await watch.look()
    assert closed == ["b"]
    full.clear()
    await watch.look()
    assert closed == ["b", "a", "b"]


async def test_while_xvoms_is_away_nothing_is_closed_and_it_is_asked_again() -> None:
    closed: list[str] = []
    xvoms = ToldXvoms("v00001", error=NotConnected(address="core", detail="refused"))

    async def vos() -> Collection[str]:
        return {f"v{i:05}" for i in range(MOST + 1)}

    async def close(vo: str) -> None:
        closed.append(vo)

    watch = Watch(xvoms, vos, close, 0.01)  # type: ignore[arg-type]
    running = asyncio.create_task(watch.run())
    await until(lambda: len(xvoms.asked) > 2)
    assert closed == []
    xvoms.error = None
    await until(lambda: bool(closed))
    running.cancel()
    assert set(closed) == {"v00001"}
    assert max(len(asked) for asked in xvoms.asked) == MOST
