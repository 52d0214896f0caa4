# SPDX-License-Identifier: BSD-3-Clause
"""Files on real systems: volumes that every node mounts, the same owner everywhere, homes that follow their users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.systems import Grid

pytestmark = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounting needs /dev/fuse")
HOME = "/var/lib/xos/home"
UNIT = "var-lib-xos-home.mount"
MAKE = """
import sqlite3, sys
sqlite3.connect(sys.argv[1]).executescript("create table t (a); insert into t values (1), (2)")
"""
READ = """
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("select sum(a) from t").fetchone())
"""


@pytest.fixture(scope="module", autouse=True)
def _osds(grid: Grid) -> None:
    """Both OSDs are known, and alice is, on both nodes."""
    grid.core.wait_for("both OSDs are known", lambda: grid.alice("xtfs_chstatus").count("OSD ") == 2)
    grid.alice(["xwait", grid.submit("true", units=2)])


@pytest.fixture
def volume(grid: Grid) -> Iterator[str]:
    """A volume that everybody may write to, mounted as root on both nodes."""
    grid.core.run("mkfs.xtreemfs --mode 1777 shared")
    nodes = (grid.node1, grid.node2)
    try:
        for node in nodes:
            node.run("mkdir -p /srv/shared && mount -t xtreemfs -o nosuid,nodev shared /srv/shared")
        yield "/srv/shared"
    finally:
        for node in nodes:
            node.run("umount -l /srv/shared; rmdir /srv/shared", check=False)
        grid.core.run("rmfs.xtreemfs --force shared")


def test_a_file_of_a_vo_user_is_hers_on_every_node(grid: Grid, volume: str) -> None:
    uid = [node.run("id -u alice.demo").strip() for node in (grid.node1, grid.node2)]
    words = [f"setpriv --reuid={number} --regid={number} --clear-groups" for number in uid]
    grid.node1.run(f"{words[0]} sh -c 'umask 077; echo secret >{volume}/mine'")
    assert grid.node2.run(f"stat -c '%U %a' {volume}/mine") == "alice.demo 600\n"
    assert grid.node2.run(f"{words[1]} cat {volume}/mine") == "secret\n"
    assert "Permission denied" in str(grid.node2.fails(f"cat {volume}/mine").data["detail"]), "root is nobody special"
    told = json.loads(grid.alice(["xtfsutil", "--json", "xtreemfs://shared/mine"]))
    assert told["inode"]["owner"] == "alice@demo"
    assert told["layout"]["replicas"][0]["osds"][0] in ("node1", "node2")


def test_programs_run_on_a_volume_and_the_other_node_sees_what_they_made(grid: Grid, volume: str) -> None:
    grid.node1.run(
        f"mkdir {volume}/tree && cd {volume}/tree && tar -C /usr/lib/python3/dist-packages -cf - xos | tar -xf -"
    )
    grid.node2.run(f"cd {volume}/tree && diff -r xos /usr/lib/python3/dist-packages/xos", seconds=120)
    grid.node1.run(["python3", "-c", MAKE, f"{volume}/tree/base.db"])
    assert grid.node1.run(["python3", "-c", READ, f"{volume}/tree/base.db"]) == "3\n"


def test_a_volume_serves_on_after_every_daemon_was_killed(grid: Grid, volume: str) -> None:
    grid.node1.run(
        f"head -c 3000000 /dev/urandom >{volume}/big && sync {volume}/big && sha256sum <{volume}/big >/root/sum"
    )
    for machine in (grid.core, grid.node1, grid.node2):
        pid = machine.kill(machine.daemon, "KILL")
        assert grid.node1.run(f"sha256sum <{volume}/big", seconds=60) == grid.node1.get("/root/sum")
        machine.wait_for_another(machine.daemon, pid)
    assert grid.node2.run(f"sha256sum <{volume}/big", seconds=60) == grid.node1.get("/root/sum")


@pytest.fixture
def homes(grid: Grid) -> Iterator[None]:
    """Homes are on the volume, on both nodes."""
    nodes = (grid.node1, grid.node2)
    try:
        for node in nodes:
            node.run(f"systemctl enable --now {UNIT}")
        yield
    finally:
        for node in nodes:
            node.run(f"systemctl disable --now {UNIT} || umount -l {HOME}", check=False)


@pytest.mark.usefixtures("homes")
def test_a_home_is_made_by_the_first_job_and_the_same_on_every_node(grid: Grid) -> None:
    job = grid.submit('cd; echo "from $(hostname)" >"$(hostname).txt"; stat -c "%U %a" .', units=2)
    grid.alice(["xwait", job])
    for index in (0, 1):
        assert grid.alice(["xout", job, "--unit", str(index)]) == "alice.demo 700\n"
    job = grid.submit("cat ~/node1.txt ~/node2.txt", units=2)
    grid.alice(["xwait", job])
    for index in (0, 1):
        assert grid.alice(["xout", job, "--unit", str(index)]) == "from node1\nfrom node2\n"
    assert grid.node1.run(f"findmnt -n -o FSTYPE {HOME}") == "fuse.xtreemfs\n"


@pytest.mark.usefixtures("homes")
def test_a_home_that_is_wanted_and_not_mounted_is_mounted_by_whoever_needs_it(grid: Grid) -> None:
    grid.node1.run(f"systemctl stop {UNIT}")
    uid = grid.node1.run("id -u alice.demo").strip()
    grid.node1.run(f"/usr/libexec/xos/home-volume alice.demo {uid} {uid} {HOME}/alice.demo")
    assert grid.node1.state(UNIT) == "active"
    grid.node1.run(f"systemctl disable --now {UNIT}")
    done = grid.node1.fails(f"/usr/libexec/xos/home-volume alice.demo {uid} {uid} {HOME}/alice.demo")
    assert done.data["status"] == 1, "no volume is wanted: a local home"
    grid.node1.run(f"systemctl enable --now {UNIT}")
