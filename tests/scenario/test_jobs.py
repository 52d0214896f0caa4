# SPDX-License-Identifier: BSD-3-Clause
"""The main road: jobs on two nodes, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.localgrid import Grid, User
from support.pipes import Pipe

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


def test_a_job_runs_on_two_nodes_and_its_output_comes_back(alice: User) -> None:
    done = alice.run("xsub", "--watch", "-n", "2", "--", "sh", "-c", "echo unit $XOS_UNIT_INDEX of $XOS_UNIT_COUNT")
    job, *changes = done.stdout.splitlines()
    states = [line.split()[2] for line in changes if line.split()[1] == job]
    assert states[-1] == "DONE"
    assert states == [state for state in ("PENDING", "SCHEDULED", "RUNNING", "DONE") if state in states]
    output = alice.run("xout", job).stdout.splitlines()
    assert sorted(line.split(": ")[1] for line in output) == ["unit 0 of 2", "unit 1 of 2"]
    assert {line.split(": ")[0] for line in output} == {"node1", "node2"}


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.jsdl")), ids=lambda path: path.name)
def test_every_example_runs(alice: User, example: Path) -> None:
    done = alice.run("xsub", "--wait", "--file", str(example))
    (shown,) = json.loads(alice.run("xps", "--json", done.stdout.split()[0]).stdout)
    assert shown["state"] == "DONE"


def test_the_exit_status_of_a_job_is_that_of_its_program(alice: User) -> None:
    done = alice.run("xsub", "--wait", "--", "sh", "-c", "exit 7", status=7)
    assert "exit code 7" in done.stderr


def test_a_killed_job_ends_with_all_its_processes(alice: User, grid: Grid) -> None:
    alive = Pipe(grid.effects / "alive")
    job = alice.submit(f"sh -c 'echo $$ > {alive.path}; exec sleep 1000' & wait")
    (pid,) = alive.lines(1)
    assert Path(f"/proc/{pid}").exists()
    alice.run("xkill", job)
    alice.run("xwait", job, status=143)
    assert not Path(f"/proc/{pid}").exists()
    alive.close()


def test_a_job_that_must_wait_says_for_what(alice: User) -> None:
    job = alice.submit("true", units=50)
    (shown,) = json.loads(alice.run("xps", "--json", job).stdout)
    assert shown["state"] == "PENDING"
    assert "50 nodes" in shown["reason"]
    alice.run("xkill", job)


def test_another_user_neither_sees_nor_ends_a_job(alice: User, grid: Grid) -> None:
    bob = grid.user("bob")
    job = alice.submit("sleep 100")
    shown = bob.run("xps", job, status=None)
    assert shown.returncode != 0
    assert bob.run("xkill", job, status=None).returncode != 0
    assert job not in bob.run("xps", "--json").stdout
    assert job in alice.run("xps", "--json").stdout
    alice.run("xkill", job)
