# SPDX-License-Identifier: BSD-3-Clause
"""The shim alone: killed at each of its steps, run twice at once, without a daemon."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path

import pytest

from support.crashing import Victims
from support.units import PATIENCE
from xos.aem.execution import hierarchy, kernel
from xos.aem.execution.task import EXIT_DRAFT, RECORD_SIZE, Task


def make_task(place: Path, script: str, *, grouped: bool = True, **changes: object) -> Task:
    """A unit directory and what a shim is told of it."""
    name = f"demo-{secrets.token_hex(6)}.0"
    directory = place / name
    home = directory / "home"
    home.mkdir(parents=True)
    (directory / EXIT_DRAFT).write_bytes(b" " * RECORD_SIZE)
    own = hierarchy.own_group()
    task = Task(
        unit_id=name,
        directory=str(directory),
        group=str(own / f"xos-{place.name}" / name) if grouped and own is not None else "",
        executable="/bin/sh",
        arguments=["-c", script],
        environment={"PATH": "/usr/bin:/bin", "XOS_UNIT_ID": name, "XOS_NODE": place.name},
        cwd=str(home),
        input="",
        output="",
        error="",
        account=None,
        groups=[],
        credential="",
        keyring_name="",
        expires=0.0,
        nice=0,
        wall_time=20.0,
        grace=0.2,
        memory=None,
        processes=None,
        limits=[],
    )
    task.update(changes)  # type: ignore[typeddict-item]
    return task


def record(task: Task) -> dict[str, object]:
    found = json.loads((Path(task["directory"]) / "exit").read_text())
    assert isinstance(found, dict)
    return found


def runs(task: Task) -> int:
    path = Path(task["directory"]) / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def nothing_left(place: Path) -> object:
    """Removes the test's cgroup; fails when something is still in it."""
    own = hierarchy.own_group()
    yield None
    if own is not None and (own / f"xos-{place.name}").exists():
        (own / f"xos-{place.name}").rmdir()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.timeout(60)
async def test_a_shim_killed_at_any_step_runs_the_program_at_most_once(place: Path, grouped: bool) -> None:
    script = 'echo ran >>"$XOS_RUNS"; sleep 0.02; exit 7'
    async with Victims("shim") as victims:
        causes = []
        for step in range(1, 100):
            task = make_task(place, script, grouped=grouped)
            task["environment"]["XOS_RUNS"] = str(Path(task["directory"]) / "runs")
            first = await victims.run(step, task=task)
            before = runs(task)
            assert await victims.run(0, task=task) == ["ended"]
            end = record(task)
            causes.append(end["cause"])
            if end["cause"] == "exited":
                assert end["code"] == 7
                assert runs(task) == 1
            else:
                assert end["cause"] == "lost"
                assert runs(task) == before
                assert before <= 1
            if first == ["ended"]:
                break
        assert step > 12, "the steps of a shim were not counted"
    assert causes.count("exited") >= 3  # killed early, or so late that the record was there
    assert causes.count("lost") >= 3


@pytest.mark.usefixtures("nothing_left")
async def test_two_shims_run_one_unit_once(place: Path) -> None:
    task = make_task(place, "echo ran >>../runs; sleep 0.1")
    async with Victims("shim") as one, Victims("shim") as two, asyncio.timeout(PATIENCE):
        for said in await asyncio.gather(one.run(0, task=task), two.run(0, task=task)):
            assert said == ["ended"]
    assert runs(task) == 1
    assert record(task)["cause"] == "exited"


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("grouped", [True, False])
async def test_what_a_vanished_shim_left_is_killed_by_the_next(place: Path, grouped: bool) -> None:
    script = "(setsid sh -c 'echo $$ >../stray; echo >../ready; exec sleep 1000' &)"
    script += "; echo $$ >../main; read line <../ready; echo >../both; exec sleep 1000"
    task = make_task(place, script, grouped=grouped)
    for name in ("ready", "both"):
        os.mkfifo(Path(task["directory"]) / name)
        (Path(task["directory"]) / name).chmod(0o666)
    if not grouped and os.geteuid() == 0:
        task["account"] = (64_999, 64_999)
        for path in (task["directory"], task["cwd"]):
            Path(path).chmod(0o777)
    async with Victims("shim") as victims, asyncio.timeout(PATIENCE):
        running = asyncio.create_task(victims.run(0, task=task))
        directory = Path(task["directory"])
        await asyncio.to_thread((directory / "both").read_text)  # a FIFO: waits until both have begun
        signed = json.loads((directory / "shim").read_text())
        stray, main = (int((directory / name).read_text()) for name in ("stray", "main"))
        fd = kernel.open_process(signed["pid"], signed["start"])
        assert fd is not None
        os.close(fd)
        os.kill(signed["pid"], 9)
        assert await running == ["died"]
        assert await victims.run(0, task=task) == ["ended"]
    assert kernel.start_time(stray) == 0
    assert kernel.start_time(main) == 0
    assert record(task)["cause"] == "lost"
    assert record(task)["reason"] == "lost: the process that ran it was killed"


@pytest.mark.usefixtures("nothing_left")
async def test_a_unit_of_another_boot_is_lost_and_its_program_not_run_again(place: Path) -> None:
    task = make_task(place, "echo ran >>../runs")
    (Path(task["directory"]) / "started").write_text('{"at": 1000.5, "boot": "another"}')
    async with Victims("shim") as victims:
        await victims.run(0, task=task)
    assert (record(task)["cause"], record(task)["reason"]) == ("lost", "lost: the node went down")
    assert record(task)["started"] == 1000.5
    assert runs(task) == 0


@pytest.mark.usefixtures("nothing_left")
async def test_a_torn_start_record_counts_as_a_start(place: Path) -> None:
    task = make_task(place, "echo ran >>../runs")
    (Path(task["directory"]) / "started").write_text('{"at": 10')
    async with Victims("shim") as victims:
        await victims.run(0, task=task)
    assert record(task)["cause"] == "lost"
    assert runs(task) == 0


@pytest.mark.usefixtures("nothing_left")
async def test_a_unit_killed_before_it_started_never_runs(place: Path) -> None:
    task = make_task(place, "echo ran >>../runs")
    (Path(task["directory"]) / "killed").touch()
    async with Victims("shim") as victims:
        await victims.run(0, task=task)
    assert record(task)["cause"] == "killed"
    assert runs(task) == 0


@pytest.mark.usefixtures("nothing_left")
async def test_a_unit_directory_that_is_gone_is_left_alone(place: Path) -> None:
    task = make_task(place, "true")
    task["directory"] = str(place / "gone")
    async with Victims("shim") as victims:
        assert await victims.run(0, task=task) == ["ended"]
    assert not (place / "gone").exists()


@pytest.mark.usefixtures("nothing_left")
async def test_a_shim_that_fails_says_so_and_leaves_nothing_running(place: Path) -> None:
    task = make_task(place, "setsid sleep 1000 & sleep 1000")
    del task["wall_time"]  # type: ignore[misc]  # looked at when the program runs already
    async with Victims("shim") as victims, asyncio.timeout(PATIENCE):
        assert await victims.run(0, task=task) == ["ended"]
    assert record(task)["cause"] == "lost"
    assert record(task)["reason"] == "lost: the shim failed (KeyError: 'wall_time')"
    assert kernel.carrying(f"XOS_UNIT_ID={task['unit_id']}".encode(), os.geteuid()) == {}


@pytest.mark.usefixtures("nothing_left")
async def test_a_fork_bomb_is_killed_whole(place: Path) -> None:
    # Bounded, for the machine's sake: 200 processes, each of which starts another when it is told to end.
    script = "for i in $(seq 200); do (trap 'sleep 1000 &' TERM; sleep 1000; sleep 1000) & done; sleep 0.2"
    for grouped in (True, False):
        task = make_task(place, script, grouped=grouped)
        async with Victims("shim") as victims, asyncio.timeout(PATIENCE):
            assert await victims.run(0, task=task) == ["ended"]
        assert record(task)["code"] == 0
        name = f"XOS_UNIT_ID={task['unit_id']}".encode()
        assert kernel.carrying(name, os.geteuid()) == {}


@pytest.mark.usefixtures("nothing_left")
async def test_the_unit_never_becomes_root(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can try")
    task = make_task(place, "id -u", account=(0, 0))
    async with Victims("shim") as victims:
        await victims.run(0, task=task)
    assert record(task)["cause"] == "not-started"
