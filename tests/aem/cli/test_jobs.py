# SPDX-License-Identifier: BSD-3-Clause
"""xps, xwait and xkill."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from xos.aem.api import JobInfo, State, Unit
from xos.aem.cli import _show as show
from xos.dixi.errors import UnknownService


async def test_xps_lists_what_has_not_ended(shell: Any, grid: Any, make_job: Any) -> None:
    """Newest first, with state, nodes and reason; --all adds the others."""
    await grid.put(make_job("demo-1", State.DONE))
    await grid.put(make_job("demo-2", State.RUNNING, units=5))
    await grid.put(make_job("demo-3", State.PENDING, reason="waits for 1 node with 8 cores"))
    result = await shell("xps")
    lines = result.out.splitlines()
    assert lines[0].split() == ["JOB", "NAME", "STATE", "UNITS", "SUBMITTED", "TIME", "NODES", "REASON"]
    assert [line.split()[0] for line in lines[1:]] == ["demo-3", "demo-2"]
    assert "waits for 1 node with 8 cores" in lines[1]
    assert "node1,node2,node3 +2" in lines[2]
    assert [line.split()[0] for line in (await shell("xps", "-a")).out.splitlines()[1:]] == [
        "demo-3",
        "demo-2",
        "demo-1",
    ]


async def test_xps_of_some_jobs(shell: Any, grid: Any, make_job: Any) -> None:
    """Named jobs are shown ended or not; an unknown one is an error beside them."""
    await grid.put(make_job("demo-1", State.FAILED, exit_code=3))
    result = await shell("xps", "demo-1", "demo-9")
    assert "exit status 3" in result.out
    assert (result.status, result.err) == (1, "xps: no job demo-9\n     xps lists your jobs.\n")


async def test_xps_units(shell: Any, grid: Any) -> None:
    """A line per unit, with node, exit status, time, CPU time and memory."""
    units = (
        Unit("demo-1.0", "node1", State.DONE, 0, "", 100.0, 165.5, 12.34, 300 * 2**20),
        Unit("demo-1.1", "node2", State.FAILED, 137, "out of memory", 100.0, 3_823.0),
    )
    await grid.put(JobInfo("demo-1", "n", "alice@demo", "demo", State.FAILED, units=units))
    rows = [line.split(None, 7) for line in (await shell("xps", "-u", "demo-1")).out.splitlines()[1:]]
    assert rows == [
        ["demo-1.0", "node1", "DONE", "0", "1:05", "12.3s", "300M"],
        ["demo-1.1", "node2", "FAILED", "137", "1:02:03", "-", "-", "out of memory"],
    ]


async def test_xps_json_has_names(shell: Any, grid: Any, make_job: Any) -> None:
    """Programs read objects with the fields of `JobInfo`, whatever the wire looks like."""
    await grid.put(make_job("demo-1", units=2))
    (found,) = json.loads((await shell("xps", "--json")).out)
    assert found["job_id"] == "demo-1"
    assert found["state"] == "RUNNING"
    assert [unit["node"] for unit in found["units"]] == ["node1", "node2"]
    assert json.loads((await shell("xps", "--json", "-l", "1")).out)
    await grid.put(make_job("demo-1", State.DONE))
    assert json.loads((await shell("xps", "--json")).out) == []


async def test_xps_says_when_there_is_nothing(shell: Any) -> None:
    """A person is told, a pipe gets nothing."""
    assert (await shell("xps", tty=True)).err.startswith("no job waits or runs")
    quiet = await shell("xps")
    assert (quiet.out, quiet.err, quiet.status) == ("", "", 0)


async def test_xps_cuts_to_the_terminal_only(shell: Any, grid: Any, make_job: Any) -> None:
    """Lines fit the terminal; in a pipe nothing is lost. What users wrote cannot move the cursor."""
    await grid.put(make_job("demo-1", State.PENDING, reason="x" * 300 + "\x1b[2J"))
    assert max(map(len, (await shell("xps", tty=True, columns=90)).out.splitlines())) <= 90
    piped = (await shell("xps")).out
    assert "x" * 300 in piped
    assert "\x1b" not in piped


async def test_xps_limit_is_bounded(shell: Any) -> None:
    """A nonsensical limit is a usage error."""
    assert (await shell("xps", "-l", "0")).status == 2


async def test_a_job_at_another_job_manager_is_found(shell: Any, grid: Any, make_job: Any) -> None:
    """The Job Directory says where a job is that the first Job Manager does not know."""
    grid.elsewhere["demo-7"] = make_job("demo-7", State.DONE)
    result = await shell("xwait", "demo-7")
    assert (result.status, result.out) == (0, "demo-7 DONE\n")


async def test_without_a_job_directory_the_job_is_just_unknown(shell: Any, grid: Any) -> None:
    """The user asked for a job, so the answer is about the job."""
    grid.fail("JobDirectory.locate", UnknownService(service="JobDirectory", where=""))
    result = await shell("xkill", "demo-7")
    assert "no job demo-7" in result.err


async def test_xwait_is_told_and_exits_as_the_job_did(shell: Any, grid: Any, make_job: Any) -> None:
    """One call waits for each job; the first status in the command line that is not 0 counts."""
    for n in (1, 2, 3):
        await grid.put(make_job(f"demo-{n}"))
    waiting = asyncio.create_task(shell("xwait", "demo-1", "demo-2", "demo-3"))
    await grid.called("JobManager.wait_job", 3)
    await grid.put(make_job("demo-3", State.FAILED, exit_code=9))
    await grid.put(make_job("demo-2", State.FAILED, exit_code=7))
    await grid.put(make_job("demo-1", State.DONE))
    result = await waiting
    assert result.status == 7
    assert sorted(result.out.splitlines()) == [
        "demo-1 DONE",
        "demo-2 FAILED exit status 7",
        "demo-3 FAILED exit status 9",
    ]
    assert grid.count("JobManager.wait_job") == 3


async def test_xwait_timeout(shell: Any, grid: Any, make_job: Any) -> None:
    """When the time is over the status is 124 and the job goes on."""
    await grid.put(make_job("demo-1"))
    result = await shell("xwait", "--timeout", "1s", "demo-1")
    assert (result.status, result.out) == (124, "")
    assert grid.jobs["demo-1"].state is State.RUNNING
    assert (await shell("xwait", "--timeout", "never", "demo-1")).status == 2


async def test_xwait_of_an_unknown_job_is_125(shell: Any, grid: Any, make_job: Any) -> None:
    """No exit status of a job can be mistaken for it; the others are still waited for."""
    await grid.put(make_job("demo-1", State.DONE))
    result = await shell("xwait", "-q", "demo-9", "demo-1")
    assert (result.status, result.out) == (125, "")
    assert "no job demo-9" in result.err


async def test_xwait_fails_at_once_when_there_is_no_grid(shell: Any, grid: Any) -> None:
    """Patience is for jobs that are known to exist."""
    grid.fail("JobManager.job_info", UnknownService(service="JobManager", where=""))
    assert (await shell("xwait", "demo-1")).status == 125


async def test_xwait_json(shell: Any, grid: Any, make_job: Any) -> None:
    """A line of JSON for each job."""
    await grid.put(make_job("demo-1", State.DONE))
    assert json.loads((await shell("xwait", "--json", "demo-1")).out)["state"] == "DONE"


async def test_xkill(shell: Any, grid: Any, make_job: Any) -> None:
    """Jobs are cancelled; one that has ended stays; an unknown one is an error, and the others are cancelled."""
    await grid.put(make_job("demo-1"))
    await grid.put(make_job("demo-2", State.DONE))
    result = await shell("xkill", "demo-1", "demo-9", "demo-2")
    assert result.out.splitlines() == ["demo-1 CANCELLED", "demo-2 DONE (it had ended)"]
    assert result.status == 1
    assert grid.jobs["demo-1"].state is State.CANCELLED
    grid.dying = True
    await grid.put(make_job("demo-4"))
    assert (await shell("xkill", "demo-4")).out == "demo-4 RUNNING (being killed)\n"
    assert (await shell("xkill", "-q", "demo-2")).out == ""
    assert json.loads((await shell("xkill", "--json", "demo-2")).out)["job_id"] == "demo-2"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (0, "0:00"), (65, "1:05"), (3_723, "1:02:03"), (90_061, "1d 1:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    """Times read as on a clock."""
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "-"), (1, "1B"), (999, "999B"), (1_000, "1.0K"), (1_048_576, "1.0M"), (10 * 2**20, "10M"), (2**60, "1024P")],
)
def test_sizes(size: int, text: str) -> None:
    """Sizes have three digits at most."""
    assert show.size(size) == text


def test_every_state_has_a_colour(make_job: Any) -> None:
    """No state breaks the table."""
    for state in State:
        assert state.value in show.jobs_table([make_job(state=state)], columns=80, colour=True, now=0)
    assert replace(make_job(), name="") != make_job()
