# SPDX-License-Identifier: BSD-3-Clause
"""The grid of real systems: what it is planned to be, and (slow, as root) that it runs the sample job and goes away."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from xos.image.grid.plan import NETWORK, files, layout
from xos.image.grid.systems import SystemDied, Systems


def test_names_and_addresses_are_each_their_own() -> None:
    nodes = layout(5)
    assert [node.name for node in nodes] == ["core", "node1", "node2", "node3", "node4", "node5"]
    assert len({node.address for node in nodes}) == 6
    assert f"{NETWORK}.1" not in {node.address for node in nodes}


def test_each_role_has_its_package_and_its_target() -> None:
    core, node = layout(1)
    assert ("xos-core" in core.packages, core.target) == (True, "xos-core.target")
    assert ("xos-resource" in node.packages, node.target) == (True, "xos-resource.target")


def test_every_container_knows_every_other_by_name_and_its_own_address() -> None:
    nodes = layout(2)
    for node in nodes:
        made = files(node, nodes)
        for other in nodes:
            assert f"{other.address} {other.name}\n" in made["/etc/hosts"]
        network = configparser.ConfigParser()
        network.read_string(made["/etc/systemd/network/10-grid.network"])
        assert network["Network"]["Address"] == f"{node.address}/24"


def test_what_was_never_started_can_be_stopped_and_does_not_run(tmp_path: Path) -> None:
    systems = Systems(tmp_path / "none")
    systems.destroy()
    assert systems.running() is None
    assert systems.leader("core") is None
    with pytest.raises(SystemDied):
        systems.run("core", ["true"])


def test_a_process_that_only_has_the_same_number_is_not_taken_for_the_containers(tmp_path: Path) -> None:
    (tmp_path / "systems.json").write_text(f'{{"pid": {os.getpid()}, "started": 1, "cgroup": "xos-grid-none"}}')
    systems = Systems(tmp_path)
    assert systems.running() is None
    systems.stop()
    assert not (tmp_path / "systems.json").exists()


def main_process(systems: Systems, unit: str) -> str:
    """Its number, once the unit is up."""
    systems.run("core", ["systemctl", "start", unit])
    return systems.run("core", ["systemctl", "show", "--property=MainPID", "--value", unit])


TOP = Path(__file__).parents[2]
REPO = TOP / "build/repo"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("systemd-nspawn") is None, reason="needs root and systemd-nspawn")
@pytest.mark.skipif(not (REPO / "xtreemos.repo").exists(), reason="needs the repository: make repo")
def test_the_sample_job_runs_on_both_nodes_and_stop_leaves_nothing(tmp_path: Path) -> None:
    def links() -> str:
        return subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout

    mounts, network = Path("/proc/self/mountinfo").read_text(), links()
    command = [str(TOP / ".venv/bin/xos-image"), "grid"]
    state = ["--state", str(tmp_path / "systems")]
    rest = [*state, "--repo", str(REPO), "--job", str(TOP / "docs/examples/hello.jsdl")]
    try:
        done = subprocess.run([*command, "up", *rest], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "on node1" in done.stdout
        assert "on node2" in done.stdout
        systems = Systems(tmp_path / "systems")
        for name, unit in (("core", "xos-core.target"), ("node1", "xos-resource.target"), ("node1", "dixid@resource")):
            assert systems.run(name, ["systemctl", "is-active", unit]) == "active\n"
        assert systems.run("core", ["rpm", "-Va", "xos*"]) == ""
        # New code restarts what runs it, and what it kept is there.
        before = main_process(systems, "dixid@core")
        systems.run("core", ["dnf", "-y", "reinstall", "python3-xos-dixi"])
        assert main_process(systems, "dixid@core") != before
        alice = ["runuser", "-u", "alice", "--", "env", "HOME=/home/alice"]
        assert "DONE" in systems.run("core", [*alice, "xps", "--all"])
        # Stopping the target stops its services.
        systems.run("node2", ["systemctl", "stop", "xos-resource.target"])
        word = systems.run("node2", ["systemctl", "is-active", "dixid@resource"], check=False).strip()
        assert word in {"inactive", "deactivating"}
    finally:
        subprocess.run([*command, "down", *state], check=True, capture_output=True)
    assert not (tmp_path / "systems").exists()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert links() == network
