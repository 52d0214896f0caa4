# SPDX-License-Identifier: BSD-3-Clause
"""The daemon, its starter and its shims are killed (SIGKILL) at every step; no unit runs twice, none is forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from support.crashing import Victims
from support.jobs import People
from support.units import PATIENCE, ListeningManager, Node, shell, unit_order
from xos.aem.api import State
from xos.aem.execution import reports
from xos.aem.execution.launcher.process import ProcessLauncher
from xos.aem.execution.unitdir import read_shim
from xos.common.tls import Credential
from xos.dixi.errors import ConnectionLost


def marks(place: Path) -> Path:
    """A file that any account may write to: each run of a unit adds a line."""
    path = place / "marks"
    path.touch()
    path.chmod(0o666)
    return path


def count(path: Path) -> int:
    return len(path.read_text().splitlines())


def shim_pid(node: Node, unit_id: str) -> int:
    shim = read_shim(node.execution._dirs.live / unit_id)
    assert shim is not None
    return shim.pid


@pytest.mark.timeout(120)
async def test_a_node_killed_at_any_step_runs_each_unit_it_took_exactly_once(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    async with Victims("node") as victims:
        common = {"trust": people.trust.ca_pem().decode(), "core": people.core.pem().decode(), "name": node_name}
        died = 0
        for step in range(1, 200):
            data = place / f"life{step}"
            data.mkdir(mode=0o755)
            path = marks(data)
            order = unit_order(alice, shell(f"echo ran >>{path}; exit 5"))
            given = [msgspec.msgpack.encode(order).hex()]
            said = await victims.run(step, data=str(data), orders=given, **common)
            taken = f"taken {order.unit_id}" in said
            if said[-1] == "died":
                died += 1
                # The Job Manager repeats an order that was not acknowledged, and only that.
                said += await victims.run(0, data=str(data), orders=[] if taken else given, **common)
            assert said[-1] == "ended", said
            assert f"heard {order.unit_id} FAILED" in said, said
            assert count(path) == 1, (step, said)
            if died < step:
                break
        assert died > 20, "the steps of a node were not counted"


async def test_running_units_run_on_and_are_reported_by_the_next_daemon(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    path = marks(place)
    os.mkfifo(place / "go")
    (place / "go").chmod(0o666)
    order = unit_order(alice, shell(f"echo ran >>{path}; read line <{place}/go; exit 6"))
    async with Node(people, place, name=node_name) as node:
        await node.start(order)
        await node.manager.state(order.unit_id, State.RUNNING)
        pid = shim_pid(node, order.unit_id)
    os.kill(pid, 0)  # no daemon, but the unit is there
    async with Node(people, place, name=node_name) as node:
        assert (await node.manager.state(order.unit_id, State.RUNNING)).started is not None
        assert await node.slots_free() == 7
        assert shim_pid(node, order.unit_id) == pid
        await asyncio.to_thread((place / "go").write_text, "\n")
        unit = await node.manager.ended(order.unit_id)
    assert (unit.state, unit.exit_code, count(path)) == (State.FAILED, 6, 1)


async def test_units_that_ended_without_a_daemon_are_reported_by_the_next(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    os.mkfifo(place / "go")
    (place / "go").chmod(0o666)
    order = unit_order(alice, shell(f"read line <{place}/go; exit 6"))
    async with Node(people, place, name=node_name) as node:
        await node.start(order)
        await node.manager.state(order.unit_id, State.RUNNING)
        fd = os.pidfd_open(shim_pid(node, order.unit_id))
    await asyncio.to_thread((place / "go").write_text, "\n")
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, gone.set)
    async with asyncio.timeout(PATIENCE):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(fd)
    os.close(fd)
    async with Node(people, place, name=node_name) as node:
        unit = await node.manager.ended(order.unit_id)
        assert (unit.state, unit.exit_code) == (State.FAILED, 6)
    async with Node(people, place, name=node_name) as node:  # once acknowledged, it is not told again
        assert await node.execution.units([order.unit_id]) == [unit]
        assert node.manager.batches == []


async def test_a_unit_whose_shim_is_killed_is_lost_and_its_processes_with_it(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("setsid sleep 1000 & sleep 1000"))
    await node.start(order)
    await node.manager.state(order.unit_id, State.RUNNING)
    os.kill(shim_pid(node, order.unit_id), signal.SIGKILL)
    unit = await node.manager.ended(order.unit_id)
    assert (unit.state, unit.exit_code) == (State.FAILED, None)
    assert unit.reason == "lost: the process that ran it was killed"
    assert await node.slots_free() == 8


async def test_a_kill_that_a_crash_interrupted_is_carried_out(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    order = unit_order(alice, shell("sleep 1000"))
    async with Node(people, place, name=node_name) as node:
        await node.start(order)
        await node.manager.state(order.unit_id, State.RUNNING)
        (node.execution._dirs.live / order.unit_id / "killed").touch()
    async with Node(people, place, name=node_name) as node:
        assert (await node.manager.ended(order.unit_id)).state is State.CANCELLED


async def test_the_starter_is_replaced_and_units_on_their_way_still_start(
    node: Node, place: Path, alice: Credential
) -> None:
    path = marks(place)
    launcher = node.execution._launcher
    assert isinstance(launcher, ProcessLauncher)
    orders = [unit_order(alice, shell(f"echo ran >>{path}")) for _ in range(6)]
    for number, order in enumerate(orders):
        await node.start(order)
        if number % 2 and launcher._process is not None and launcher._process.returncode is None:
            os.kill(launcher._process.pid, signal.SIGKILL)
    for order in orders:
        assert (await node.manager.ended(order.unit_id)).state is State.DONE
    assert count(path) == len(orders)


async def test_a_power_cut_before_the_start_makes_the_staged_files_again(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xos.aem.api import InputFile
    from xos.aem.execution import kernel

    order = unit_order(alice, shell("cat data"), files=[InputFile("data", b"kept\n")])
    node = Node(people, place, name=node_name)
    async with node:
        with monkeypatch.context() as patch:

            async def never(_: object) -> None:
                return None

            patch.setattr(node.execution, "_launch", never)
            patch.setattr(kernel, "boot_id", lambda: "before")
            await node.start(order)
        home = node.execution._dirs.home(order.unit_id)
        (home / "data").write_bytes(b"")  # its content never reached the disk
    async with Node(people, place, name=node_name) as node:
        assert (await node.manager.ended(order.unit_id)).state is State.DONE
        assert await node.output(order.unit_id) == b"kept\n"


async def test_an_order_that_was_never_whole_is_swept(people: People, place: Path, node_name: str) -> None:
    async with Node(people, place, name=node_name) as node:
        dirs = node.execution._dirs
    (dirs.live / "demo-torn.0").mkdir()
    (dirs.live / "demo-torn.0" / "order").write_bytes(b"\x97\x01")
    (dirs.work / "demo-torn.0" / "home").mkdir(parents=True)
    (dirs.work / "demo-orphan.0").mkdir()
    async with Node(people, place, name=node_name) as node:
        assert await node.execution.units(["demo-torn.0"]) == []
        assert all(path.name.startswith(".trash-") for path in (*dirs.live.iterdir(), *dirs.work.iterdir()))


async def test_two_daemons_cannot_run_units_from_one_directory(people: People, place: Path, node_name: str) -> None:
    from xos.common.errors import StorageBroken

    async with Node(people, place, name=node_name):
        with pytest.raises(StorageBroken, match="another daemon"):
            async with Node(people, place, name=node_name):
                raise AssertionError


async def test_reports_are_repeated_until_the_job_manager_has_them(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "LONGEST_PAUSE", 0.2)  # however long a busy machine takes to start the units
    manager = ListeningManager()
    manager.error = ConnectionLost(address="core", detail="it is down")
    orders = [unit_order(alice, shell("true")) for _ in range(2)]
    async with Node(people, place, name=node_name, manager=manager) as node:
        for order in orders:
            await node.start(order)
        await manager.until(lambda: manager.refused >= 3)
        assert manager.batches == []
        manager.error = None
        for order in orders:
            assert (await manager.ended(order.unit_id)).state is State.DONE


async def test_a_unit_that_the_job_manager_chokes_on_does_not_hold_up_the_others(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    bad = unit_order(alice, shell("true"))

    class Choking(ListeningManager):
        async def report(self, units: list) -> None:  # type: ignore[type-arg]
            if any(unit.unit_id == bad.unit_id for unit in units):
                raise ConnectionLost(address="core", detail="choked")
            await super().report(units)

    async with Node(people, place, name=node_name, manager=Choking()) as node:
        await node.start(bad)
        for _ in range(5):
            order = unit_order(alice, shell("true"))
            await node.start(order)
            assert (await node.manager.ended(order.unit_id)).state is State.DONE


async def test_an_end_that_nobody_wants_to_know_is_told_for_a_day_and_then_put_away(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    manager = ListeningManager()
    manager.error = ConnectionLost(address="core", detail="it is gone for good")
    order = unit_order(alice, shell("true"))
    async with Node(people, place, name=node_name, manager=manager) as node:
        await node.start(order)
        await manager.until(lambda: manager.refused >= 2)
        path = node.execution._dirs.live / order.unit_id / "exit"
    record = json.loads(path.read_bytes())
    for age, stays in ((80_000, True), (90_000, False)):
        path.write_text(json.dumps(record | {"ended": time.time() - age}))
        async with Node(people, place, name=node_name, manager=manager, keep_days=0.5) as node:
            refused = manager.refused
            await manager.until(lambda refused=refused: manager.refused > refused)
        assert path.exists() is stays


async def test_an_order_of_another_release_is_followed_to_its_end(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xos.aem.execution import service

    order = unit_order(alice, shell("sleep 0.2; exit 3"))
    async with Node(people, place, name=node_name) as node:
        await node.start(order)
        await node.manager.state(order.unit_id, State.RUNNING)

    def unreadable(_: object) -> None:
        raise msgspec.ValidationError("not this release's")

    monkeypatch.setattr(service, "read_job", unreadable)
    async with Node(people, place, name=node_name) as node:
        assert (await node.manager.ended(order.unit_id)).exit_code == 3
