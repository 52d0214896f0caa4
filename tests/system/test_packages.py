# SPDX-License-Identifier: BSD-3-Clause
"""Packages come, change and go on systems that run, and what services keep stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.checkouts import commit, snapshot
from support.systems import TOP, Grid, Machine
from xos.image import cache as caches

MARK = "# the next version"
EXECUTION = "/usr/lib/python3/dist-packages/xos/aem/execution/__init__.py"

Publish = Callable[[str, str], None]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """What is in the cache of this machine, and of no build but ours: nobody waits for anybody."""
    shared, own = caches.cache_directory(), tmp_path / "cache"
    own.mkdir()
    (own / "roots").symlink_to(shared / "roots")
    for name in ("rpms", "signed"):
        shutil.copytree(shared / name, own / name, copy_function=os.link)
    return own


@pytest.fixture
def publish(grid: Grid, tmp_path: Path, cache: Path) -> Publish:
    """Builds the next version of a package in which a file has one line more, into the repository of the grid."""

    def build(package: str, changed: str) -> None:
        clone = snapshot(TOP, tmp_path / package)
        with (clone / changed).open("a") as file:
            file.write(f"{MARK}\n")
        # Versions are dates: also after one that another test published, or an earlier run with the same grid.
        commit(clone, "next", int(time.time()) + 3600)
        out = str(tmp_path / f"{package}-rpms")
        for words in (
            ["rpms", package, "--checkout", str(clone), "--out", out],
            ["repo", "--rpms", out, "--out", str(grid.repo), "--url", "file:///repo"],
        ):
            command = [sys.executable, "-m", "xos.image.cli", *words, "--cache", str(cache)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            assert done.returncode == 0, done.stderr

    return build


def upgrade(machine: Machine, package: str = "") -> str:
    """What dnf says."""
    return machine.run(f"dnf -y --refresh upgrade {package} 2>&1", seconds=120)


def test_an_upgrade_restarts_what_it_changed_and_jobs_and_vo_data_stay(grid: Grid, publish: Publish) -> None:
    ended = grid.submit("echo before the upgrade")
    grid.alice(["xwait", ended])
    running = grid.submit("while ! [ -e /run/xos-upgraded ]; do sleep 0.1; done; echo after it", units=2)
    for node in (grid.node1, grid.node2):
        node.wait_for("the job runs", lambda node=node: node.run(["pgrep", "-f", "xos-upgraded"], check=False) != "")  # type: ignore[misc]
    members = grid.core.run("xos-vo list-users demo")
    before = {machine.name: machine.pid(machine.daemon) for machine in grid.machines}

    publish("xos-aem", "packages/aem/src/xos/aem/execution/__init__.py")
    for machine in grid.machines:
        upgrade(machine)

    for machine in grid.machines:
        machine.wait_for_another(machine.daemon, before[machine.name])
        assert machine.altered() == ""
    for node in (grid.node1, grid.node2):
        assert node.get(EXECUTION).endswith(f"{MARK}\n")
        node.put("/run/xos-upgraded", "")
    assert grid.core.run("xos-vo list-users demo") == members
    assert "before the upgrade" in grid.alice(["xout", ended])
    grid.alice(["xwait", running])
    assert grid.alice(["xout", running]).count("after it") == 2
    after = grid.submit("true", units=2)
    grid.alice(["xwait", after])

    # Nothing is left to do, and nothing restarts for it.
    now = {machine.name: machine.pid(machine.daemon) for machine in grid.machines}
    for machine in grid.machines:
        assert "Nothing to do" in upgrade(machine)
        assert machine.pid(machine.daemon) == now[machine.name]


def test_an_upgrade_of_what_no_service_runs_restarts_none(grid: Grid, publish: Publish) -> None:
    before = grid.core.pid(grid.core.daemon)
    publish("xos-setup", "packages/setup/src/xos/setup/__init__.py")
    assert "Upgraded" in upgrade(grid.core, "xos-setup")
    assert grid.core.get("/usr/lib/python3/dist-packages/xos/setup/__init__.py").endswith(f"{MARK}\n")
    assert grid.core.pid(grid.core.daemon) == before


def test_removal_ends_the_services_and_leaves_the_state_and_what_is_installed_again_goes_on(grid: Grid) -> None:
    node = grid.node2
    kept = "cd / && find etc/xos/resource.toml var/lib/xos/resource -type f | sort"
    before = node.run(kept)
    assert "machine.pem" in before
    packages = node.run("rpm -qa --qf '%{NAME} ' 'xos-*' 'python3-xos-*'")
    accounts = node.get("/etc/xos/node.toml")
    node.run("dnf -y remove 'xos-*' 'python3-xos-*'", seconds=120)
    try:
        assert "xos" not in node.run("rpm -qa")
        assert node.state(node.daemon) == "inactive"
        assert node.run(["pgrep", "-f", "dixid"], check=False) == ""
        assert node.run("find / -xdev -xtype l -path '*xos*' -not -path '/proc/*'", check=False) == ""
        assert node.run("systemctl list-unit-files --no-legend 'xos*' 'dixid*'", check=False) == ""
        assert set(before.splitlines()) <= set(node.run(kept).splitlines())
    finally:
        node.run(f"dnf -y install {packages}", seconds=120)
        node.run(["systemctl", "start", node.target])
    assert node.state(node.daemon) == "active"
    assert node.altered() == ""
    assert node.get("/etc/xos/node.toml") == accounts
    job = grid.submit("echo again", units=2)
    grid.alice(["xwait", job])
    assert grid.alice(["xout", job]).count("again") == 2
