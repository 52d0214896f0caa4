# SPDX-License-Identifier: BSD-3-Clause
"""The services of the grid are systemd's: started, stopped, killed and hung, and what was acknowledged is there."""

from __future__ import annotations

import pytest

from support.systems import Grid, Machine


@pytest.fixture(params=["core", "node1"])
def machine(grid: Grid, request: pytest.FixtureRequest) -> Machine:
    """A core and a resource node."""
    return getattr(grid, request.param)  # type: ignore[no-any-return]


def test_the_sample_job_runs_on_both_nodes(grid: Grid) -> None:
    assert "hello" in grid.alice(["xps", "--all"])
    job = grid.submit('echo "I am on $XOS_NODE"', units=2)
    grid.alice(["xwait", job])
    said = grid.alice(["xout", job])
    assert {"node1: I am on node1", "node2: I am on node2"} <= set(said.splitlines())


def test_every_machine_is_up_and_each_package_is_as_it_was_made(grid: Grid) -> None:
    for machine in grid.machines:
        assert machine.state(machine.target) == "active"
        assert machine.state(machine.daemon) == "active"
        assert machine.run(["systemctl", "list-units", "--failed", "--no-legend", "xos*", "dixid*"]) == ""
        assert machine.altered() == ""


def test_stopping_a_target_stops_its_services_and_starting_it_starts_them(machine: Machine) -> None:
    machine.run(["systemctl", "stop", machine.target])
    machine.wait_for("its service has stopped", lambda: machine.state(machine.daemon) == "inactive")
    machine.run(["systemctl", "start", machine.target])
    assert machine.state(machine.daemon) == "active"


def test_a_restart_is_another_process_and_a_reload_is_not(machine: Machine) -> None:
    before = machine.pid(machine.daemon)
    machine.run(["systemctl", "reload", machine.daemon])
    assert machine.pid(machine.daemon) == before
    assert machine.state(machine.daemon) == "active"
    machine.run(["systemctl", "restart", machine.daemon])
    assert machine.pid(machine.daemon) not in (0, before)


def test_a_daemon_that_is_killed_comes_back_with_all_that_it_acknowledged(grid: Grid) -> None:
    core = grid.core
    job = grid.submit("true")
    core.wait_for_another(core.daemon, core.kill(core.daemon, "KILL"))
    grid.alice(["xwait", job])
    assert job in grid.alice(["xps", "--all"])


def test_a_job_outlives_the_daemon_of_its_node(grid: Grid) -> None:
    job = grid.submit("while ! [ -e /run/xos-go ]; do sleep 0.1; done; echo survived", units=2)
    node = grid.node1
    node.wait_for("the unit runs", lambda: node.run(["pgrep", "-f", "xos-go"], check=False) != "")
    node.wait_for_another(node.daemon, node.kill(node.daemon, "KILL"))
    for each in (grid.node1, grid.node2):
        each.put("/run/xos-go", "")
    grid.alice(["xwait", job])
    assert grid.alice(["xout", job]).count("survived") == 2


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(machine: Machine) -> None:
    machine.wait_for_another(machine.daemon, machine.kill(machine.daemon, "STOP"), seconds=90)
    assert "watchdog" in machine.journal(machine.daemon).lower()


def test_a_wrong_configuration_is_told_and_not_tried_again(grid: Grid) -> None:
    node = grid.node2
    kept = node.get("/etc/xos/resource.toml")
    node.put("/etc/xos/resource.toml", kept + "\nnonsense = 1\n")
    try:
        node.fails(["systemctl", "restart", node.daemon])
        assert node.unit(node.daemon, "ExecMainStatus", "NRestarts") == {"ExecMainStatus": "78", "NRestarts": "0"}
        assert "nonsense" in node.journal(node.daemon)
    finally:
        node.put("/etc/xos/resource.toml", kept)
        node.run(["systemctl", "reset-failed", node.daemon])
        node.run(["systemctl", "start", node.daemon])
    assert node.state(node.daemon) == "active"
