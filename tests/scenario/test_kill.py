# SPDX-License-Identifier: BSD-3-Clause
"""No daemon's death loses a job or runs it twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.localgrid import Grid, User
from support.pipes import Pipe

SCRIPT = """set -e
echo "$XOS_UNIT_ID" >> {effects}/trace
echo "$XOS_UNIT_ID" > {effects}/started
read go < {effects}/go
echo "$XOS_UNIT_ID" >> {effects}/end
echo "$XOS_UNIT_ID" > {effects}/ended"""


class Held:
    """A job whose units tell when they run, and wait until they may go on."""

    def __init__(self, grid: Grid) -> None:
        self.effects = grid.effects
        self.script = SCRIPT.format(effects=grid.effects)
        self.started, self.ended, self.go = (Pipe(grid.effects / name) for name in ("started", "ended", "go"))
        for name in ("trace", "end"):  # each node runs alice's units under an account of its own
            (grid.effects / name).touch()
            (grid.effects / name).chmod(0o666)

    def let_go(self, units: int) -> None:
        self.go.write("go\n" * units)

    def ran(self) -> list[list[str]]:
        """Which units began, and which ended, once for each time they did."""
        return [sorted((self.effects / name).read_text().split()) for name in ("trace", "end")]

    def close(self) -> None:
        for pipe in (self.started, self.ended, self.go):
            pipe.close()
        for name in ("trace", "end"):
            (self.effects / name).unlink()


@pytest.fixture
def held(grid: Grid) -> Iterator[Held]:
    made = Held(grid)
    yield made
    made.close()


def once(job: str) -> list[list[str]]:
    """Two units, each begun once and ended once."""
    return [[f"{job}.0", f"{job}.1"]] * 2


def test_each_daemon_is_killed_in_turn_and_the_job_ends_done_having_run_once(
    grid: Grid, alice: User, held: Held
) -> None:
    job = alice.submit(held.script, units=2)
    held.started.lines(2)
    with alice.start("xwait", job) as waiting:
        for node in ("core", "node1", "node2"):
            grid.kill(node)
            assert node not in grid.local.running()
            grid.up()
        assert waiting.poll() is None
        held.let_go(2)
        out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert "DONE" in out
    assert held.ran() == once(job)


def test_a_job_that_ends_while_every_daemon_is_dead_is_done_when_they_are_back(
    grid: Grid, alice: User, held: Held
) -> None:
    job = alice.submit(held.script, units=2)
    held.started.lines(2)
    for node in ("node1", "core", "node2"):
        grid.kill(node)
    held.let_go(2)
    held.ended.lines(2)
    grid.up()
    alice.run("xwait", job)
    assert held.ran() == once(job)


def test_a_job_submitted_while_a_node_is_dead_runs_once_when_it_is_back(grid: Grid, alice: User, held: Held) -> None:
    grid.kill("node2")
    job = alice.submit(held.script, units=2)
    held.let_go(2)
    grid.up()
    alice.run("xwait", job)
    assert held.ran() == once(job)


def test_restart_keeps_jobs_running(grid: Grid, alice: User, held: Held) -> None:
    job = alice.submit(held.script, units=2)
    held.started.lines(2)
    grid.local.restart()
    held.let_go(2)
    alice.run("xwait", job)
    assert held.ran() == once(job)
