# SPDX-License-Identifier: BSD-3-Clause
"""`xos-setup local`: what it promises of starting, stopping, and going on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.localgrid import Grid, network
from support.pipes import Pipe
from xos.setup.cli import NOT_UP
from xos.setup.errors import DiskShort, GridBusy, NotAGrid, PortTaken
from xos.setup.roles import DIXI_PORT

ROOT = os.geteuid() == 0


def setup(grid: Grid, act: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``xos-setup local``."""
    argv = [sys.executable, "-m", "xos.setup.cli", "local", act, "--root", str(grid.root), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def traces(grid: Grid) -> list[str]:
    """Everything of the grid that the kernel still knows: processes, mounts, control groups."""
    mark = str(grid.place)
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if int(entry.name) != os.getpid() and (mark.encode() in told or mark in str((entry / "cwd").readlink())):
                found.append(f"process {entry.name}: {(entry / 'cmdline').read_bytes()!r}")
    return found + [str(path) for path in unit_groups(grid) if path.exists()]


def unit_groups(grid: Grid) -> set[Path]:
    """The control groups that the grid's job units have or had, and those above that are empty now."""
    shims = grid.root.glob("*/data/ExecutionManager/*/*/shim")
    groups = {Path(group) for shim in shims if (group := json.loads(shim.read_text())["group"])}
    above = {group.parent for group in groups}
    return groups | {group for group in above if group.exists() and not any(path.is_dir() for path in group.iterdir())}


def namespaces(pid: int | str) -> set[Path]:
    """The name spaces that a process is in."""
    return {link.readlink() for link in Path(f"/proc/{pid}/ns").iterdir()}


def test_down_leaves_nothing_behind_and_up_goes_on(new_grid: Grid) -> None:
    new_grid.up()
    alice = new_grid.user("alice")
    ended = alice.submit("echo before")
    alice.run("xwait", ended)
    alice.run("xos-agent", "start")
    started = Pipe(new_grid.effects / "started")
    running = alice.submit(f"setsid sleep 1000 & echo > {started.path}; trap '' TERM; sleep 1000", units=2)
    started.lines(2)
    assert {space for process in new_grid.local.running().values() for space in namespaces(process.pid)} <= namespaces(
        "self"
    )
    new_grid.local.down()
    assert traces(new_grid) == []
    assert not new_grid.local.status().up

    began = time.monotonic()
    new_grid.up()
    assert time.monotonic() - began < 60  # it waits for nobody who is gone
    assert alice.run("xout", "--no-prefix", ended).stdout == "before\n"
    alice.run("xwait", running, status=None)
    (shown,) = json.loads(alice.run("xps", "--json", running).stdout)
    assert shown["state"] == "CANCELLED"
    assert "killed" in shown["reason"]
    started.close()


def test_up_twice_changes_nothing(new_grid: Grid) -> None:
    new_grid.up()
    before = new_grid.local.running()
    new_grid.up()
    assert new_grid.local.running() == before


def test_a_taken_port_is_named_with_its_holder_and_nothing_starts(new_grid: Grid) -> None:
    net = network()
    with socket.create_server((f"{net}.3", DIXI_PORT)):
        done = setup(new_grid, "up", "--network", net, "--json")
    assert done.returncode == PortTaken.exit_status
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["code"] == "setup.port-taken"
    assert f"{net}.3:{DIXI_PORT}" in error["message"]
    assert f"process {os.getpid()} (" in error["message"]
    assert "--network" in error["hint"]
    assert not new_grid.local.running()
    new_grid.local.up({"network": net})


def test_two_grids_live_side_by_side(new_grid: Grid, grid: Grid) -> None:
    new_grid.up(nodes=1)
    assert new_grid.local.status().up
    assert grid.local.status().up
    new_grid.local.down()
    assert grid.local.status().up


def test_status_says_what_runs_and_its_exit_status_whether_all_does(new_grid: Grid) -> None:
    assert setup(new_grid, "status").returncode == NOT_UP
    new_grid.up()
    done = setup(new_grid, "status", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert [(node["node"], node["running"], node["registered"]) for node in told["nodes"]] == [
        ("core", True, True),
        ("node1", True, True),
        ("node2", True, True),
    ]
    new_grid.kill("node1")
    done = setup(new_grid, "status", "--json")
    assert done.returncode == NOT_UP
    assert [node["running"] for node in json.loads(done.stdout)["nodes"]] == [True, False, True]


@pytest.mark.parametrize("after", ["core: VO CA", "core: ready", "node1: joining", "node2: joining", "node1: ready"])
def test_up_goes_on_after_kill_9_of_xos_setup_at_any_step(new_grid: Grid, after: str) -> None:
    argv = [sys.executable, "-m", "xos.setup.cli", "local", "up", "--root", str(new_grid.root), "--network", network()]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as up:
        for line in up.stderr or ():
            if line.startswith(after):
                break
        up.send_signal(signal.SIGKILL)
    new_grid.up()
    assert new_grid.local.status().up


def test_a_daemon_whose_record_is_lost_is_found_again(new_grid: Grid) -> None:
    new_grid.up()
    before = new_grid.local.running()
    for record in new_grid.root.glob("*/process.json"):
        record.unlink()
    assert new_grid.local.running() == before
    new_grid.local.down()
    assert traces(new_grid) == []


def test_a_bigger_grid_takes_its_new_node_into_use(new_grid: Grid) -> None:
    new_grid.up(nodes=1)
    kept = new_grid.local.running()["core"]
    alice = new_grid.user("alice")
    job = alice.submit("true", units=2)
    (shown,) = json.loads(alice.run("xps", "--json", job).stdout)
    assert shown["state"] == "PENDING"
    new_grid.up(nodes=2)
    alice.run("xwait", job)
    assert new_grid.local.running()["core"] == kept
    new_grid.up(nodes=1)
    assert sorted(new_grid.local.running()) == ["core", "node1"]


def test_only_one_xos_setup_works_on_a_grid(new_grid: Grid) -> None:
    new_grid.up()
    with new_grid.local._locked(create=False), pytest.raises(GridBusy):
        new_grid.local.down()


def test_destroy_spares_what_is_no_grid(new_grid: Grid) -> None:
    (new_grid.root).mkdir()
    (new_grid.root / "thesis.tex").write_text("years of work")
    with pytest.raises(NotAGrid):
        new_grid.local.destroy()
    assert (new_grid.root / "thesis.tex").exists()


@pytest.fixture
def small_disk(new_grid: Grid) -> Iterator[Path]:
    """The grid's root on a file system of 160 MB."""
    if not ROOT:
        pytest.skip("mounting takes root")
    new_grid.root.mkdir(mode=0o711)
    argv = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=711", "tmpfs", str(new_grid.root)]
    if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    try:
        yield new_grid.root
    finally:
        new_grid.local.down()
        subprocess.run(["umount", str(new_grid.root)], check=True)


def fill(disk: Path, *, but: int = 0) -> Path:
    """Use up all of it but some bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
            file.flush()
    if but:
        os.truncate(ballast, ballast.stat().st_size - but)
    return ballast


def test_nothing_starts_on_a_full_disk(new_grid: Grid, small_disk: Path) -> None:
    ballast = fill(small_disk, but=1 << 20)
    with pytest.raises(DiskShort, match="1 MB left"):
        new_grid.local.up({"network": network()})
    assert not new_grid.local.running()
    ballast.unlink()
    new_grid.up()


def test_a_disk_that_fills_up_refuses_jobs_and_loses_none(new_grid: Grid, small_disk: Path) -> None:
    new_grid.up()
    alice = new_grid.user("alice")
    started, go = Pipe(new_grid.effects / "started"), Pipe(new_grid.effects / "go")
    before = alice.submit(f"echo > {started.path}; read go < {go.path}")
    started.lines(1)
    ballast = fill(small_disk)
    refused = alice.run("xsub", "--json", "--", "true", status=None)
    assert refused.returncode != 0
    assert json.loads(refused.stderr)["error"]["code"] == "storage.full"
    assert sorted(new_grid.local.running()) == ["core", "node1", "node2"]
    go.write("go\n")
    ballast.unlink()
    alice.run("xwait", before)
    alice.run("xwait", alice.submit("true"))
    started.close()
    go.close()
