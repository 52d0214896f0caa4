# SPDX-License-Identifier: BSD-3-Clause
"""A Job Manager that stops dead at any of its steps, and comes back: nothing acknowledged is lost or run twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from support.jobs import Crash, FakeGrid, People, acting, cut_off, machine, order
from xos.aem.api import State, Unit
from xos.common.signing import Signed
from xos.common.tls import Credential


class Story:
    """One grid over two lives of its Job Manager; the user repeats what was not acknowledged."""

    def __init__(self, grid: FakeGrid, alice: Credential) -> None:
        self.grid, self.alice = grid, alice
        self.orders: dict[str, Signed] = {
            "one": order(alice),
            "two": order(alice, units=2),
            "many": order(alice, units=2),
        }
        self.acknowledged: dict[str, str] = {}

    async def first_life(self, crash: Crash) -> None:
        """Until it stops, or every job has ended."""
        await self.grid.begin(crash=crash)
        await _either(self._use(), crash)
        await self.grid.crash()

    async def _use(self) -> None:
        for name, signed in self.orders.items():
            self.acknowledged[name] = await self.grid.create(self.alice, signed)
        await self.grid.cancel(self.alice, self.acknowledged["two"])
        for job_id in self.acknowledged.values():
            await self.grid.wait(self.alice, job_id)

    async def second_life(self) -> None:
        """Everything ends as it must."""
        await self.grid.begin()
        for name, signed in self.orders.items():
            before = self.acknowledged.get(name)
            job_id = await self.grid.create(self.alice, signed)
            assert before in (None, job_id)
            info = await self.grid.wait(self.alice, job_id)
            expected = {State.DONE, State.CANCELLED} if name == "two" else {State.DONE}
            assert info.state in expected, info
            assert all(unit.state.ended for unit in info.units)
        runs: Counter[str] = sum((node.runs for node in self.grid.nodes.values()), Counter())
        assert set(runs.values()) == {1}
        assert not any(node.running() for node in self.grid.nodes.values())


async def _either(use: object, crash: Crash) -> None:
    acting_user = asyncio.ensure_future(use)  # type: ignore[call-overload]
    stopped = asyncio.ensure_future(crash.happened.wait())
    await asyncio.wait([acting_user, stopped], return_when=asyncio.FIRST_COMPLETED)
    for task in (acting_user, stopped):
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(acting_user, stopped, return_exceptions=True)


async def tell(
    people: People, alice: Credential, template: Path, data: Path, crash: Crash, *, losing: bool = False
) -> Crash:
    """Both lives; the step at which the first one ended."""
    data.mkdir()
    grid = FakeGrid(people, data, template)
    for name in ("node1", "node2"):
        node = grid.add(name)
        if losing:
            node.losing = {"start_unit", "kill_unit"}
    try:
        story = Story(grid, alice)
        await story.first_life(crash)
        for node in grid.nodes.values():
            node.losing = set()
        await story.second_life()
    finally:
        await grid.end()
    return crash


@pytest.mark.parametrize("losing", [False, True], ids=["answers arrive", "answers of nodes are lost"])
@pytest.mark.parametrize("part", range(4))
async def test_a_crash_at_any_step_loses_nothing_and_runs_nothing_twice(
    people: People, alice: Credential, template: Path, tmp_path: Path, part: int, losing: bool
) -> None:
    at = 1 + part
    while True:
        crash = await tell(people, alice, template, tmp_path / str(at), Crash(at=at), losing=losing)
        if not crash.happened.is_set():
            break
        at += 4
    assert at > 20  # each life has that many steps: writes, reservations, starts, kills


async def test_jobs_that_waited_wait_on_in_their_order(grid: FakeGrid, alice: Credential) -> None:
    for node in grid.nodes.values():
        node.gate.clear()
    ids = [await grid.submit(alice) for _ in range(8)]
    for job_id in ids[:4]:
        await grid.until(alice, job_id, State.RUNNING)
    await grid.crash()
    await grid.begin()
    for node in grid.nodes.values():
        node.gate.set()
    ended = [await grid.wait(alice, job_id) for job_id in ids]
    starts = [info.started or 0.0 for info in ended]
    assert max(starts[:4]) <= min(starts[4:])


async def test_a_life_that_ends_in_order_writes_what_is_left(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    await grid.end()
    await grid.begin()
    assert (await grid.info(alice, job_id)).state is State.PENDING


async def test_a_node_that_stays_away_too_long_is_given_up_and_its_units_killed_when_it_returns(
    people: People, alice: Credential, template: Path, tmp_path: Path
) -> None:
    grid = FakeGrid(people, tmp_path, template, node_lost_seconds=0.2)
    for name in ("node1", "node2"):
        grid.add(name).gate.clear()
    await grid.begin()
    job_id = await grid.submit(alice, units=2)
    await asyncio.gather(*(until_running(node) for node in grid.nodes.values()))
    await grid.until(alice, job_id, State.RUNNING)
    grid.go("node1")
    info = await grid.wait(alice, job_id)
    assert (info.state, info.exit_code) == (State.FAILED, None)
    assert "node1 has been silent for 0 s" in info.reason
    assert grid.nodes["node1"].running()
    await grid.crash()  # the debt outlives the Job Manager
    await grid.begin()
    grid.come("node1")
    async with asyncio.timeout(15):
        await grid.nodes["node1"].ended[f"{job_id}.{unit_on(info.units, 'node1')}"].wait()
    assert (await grid.info(alice, job_id)).state is State.FAILED
    await grid.end()


async def until_running(node: object) -> None:
    """Returns when the node's program runs."""
    async with asyncio.timeout(15):
        await node.began.wait()  # type: ignore[attr-defined]


def unit_on(units: tuple[Unit, ...], node: str) -> int:
    """Which of the units is on *node*."""
    return next(number for number, unit in enumerate(units) if unit.node == node)


async def test_nodes_that_never_come_back_after_a_restart_are_given_up_too(
    people: People, alice: Credential, template: Path, tmp_path: Path
) -> None:
    grid = FakeGrid(people, tmp_path, template, node_lost_seconds=0.2)
    grid.add("node1").gate.clear()
    await grid.begin()
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.RUNNING)
    await grid.crash()
    grid.go("node1")
    await grid.begin()
    assert (await grid.wait(alice, job_id)).state is State.FAILED
    await grid.end()


async def test_a_late_report_of_a_unit_that_was_given_up_gets_it_killed(
    people: People, alice: Credential, template: Path, tmp_path: Path
) -> None:
    grid = FakeGrid(people, tmp_path, template, node_lost_seconds=0.1)
    node = grid.add("node1")
    node.gate.clear()
    manager = await grid.begin()
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.RUNNING)
    node.errors = {"units": cut_off(), "describe_resource": cut_off(), "kill_unit": cut_off()}
    manager._tracker.trouble("node1", cut_off())
    assert (await grid.wait(alice, job_id)).state is State.FAILED
    del node.errors["kill_unit"]
    with acting(machine("node1")):
        await manager.report([Unit(f"{job_id}.0", "node1", State.RUNNING)])
    async with asyncio.timeout(15):
        await node.ended[f"{job_id}.0"].wait()
    await grid.end()


async def test_nodes_that_left_while_the_directory_was_away_are_noticed(grid: FakeGrid, alice: Credential) -> None:
    manager = grid.manager
    assert manager is not None
    await grid.wait(alice, await grid.submit(alice, units=2))
    del grid.listed["node1"]
    grid.lose_directory()
    tracker = manager._tracker
    async with asyncio.timeout(15):
        while tracker._heard.get("node2") != 2:  # noqa: ASYNC110 -- nothing is signalled when a watch has begun anew
            await asyncio.sleep(0.01)
    tracker._sweep(2)
    job_id = await grid.submit(alice, units=2)
    assert "node1 is away" in (await grid.info(alice, job_id)).reason
