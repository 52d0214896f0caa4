# SPDX-License-Identifier: BSD-3-Clause
"""The ways in which systems mount a volume: fstab, units, autofs, a user for herself; and how mounts end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.systems import Grid, Machine

pytestmark = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounting needs /dev/fuse")
VOLUME = "mounts"
HERE = "/srv/mounts"
FSTAB = (
    f"{VOLUME} {HERE} xtreemfs nosuid,nodev,_netdev,x-systemd.automount,x-systemd.idle-timeout=2s,"
    "x-systemd.mount-timeout=60s 0 0\n"
)
UNITS = {
    "srv-mounts.mount": f"[Mount]\nWhat={VOLUME}\nWhere={HERE}\nType=xtreemfs\nOptions=nosuid,nodev,_netdev\n",
    "srv-mounts.automount": f"[Automount]\nWhere={HERE}\nTimeoutIdleSec=2s\n",
}
BOUND_SECONDS = 60.0
"""How long a program, and who unmounts, may be held up where no server can be reached and patience is short: some calls
are each given 15 s, and the machine may be busy."""


@pytest.fixture(scope="module", autouse=True)
def _volume(grid: Grid) -> Iterator[None]:
    """A volume for everybody."""
    grid.core.wait_for("both OSDs are known", lambda: grid.alice("xtfs_chstatus").count("OSD ") == 2)
    grid.core.run(f"mkfs.xtreemfs --mode 1777 {VOLUME}")
    try:
        yield
    finally:
        grid.core.run(f"rmfs.xtreemfs --force {VOLUME}")


@pytest.fixture
def node(grid: Grid) -> Iterator[Machine]:
    """node1, on which nothing is mounted afterwards."""
    machine = grid.node1
    machine.run(f"mkdir -p {HERE}; cp /etc/fstab /root/fstab")
    try:
        yield machine
    finally:
        machine.run("systemctl stop srv-mounts.automount srv-mounts.mount", check=False, seconds=120.0)
        machine.run(
            f"cp /root/fstab /etc/fstab; rm -f /etc/systemd/system/srv-mounts.*; systemctl daemon-reload;"
            f"while findmnt {HERE}; do umount -l {HERE}; done; rmdir {HERE}",
            check=False,
        )


def mounted(machine: Machine, path: str = HERE) -> bool:
    """Whether XtreemFS is, by the kernel's table: asking the directory would mount it."""
    return f" {path} fuse.xtreemfs " in machine.get("/proc/self/mounts")


def served(machine: Machine) -> str:
    """The processes that serve mounts of it, the volume of homes among them if somebody has logged in."""
    return machine.run("pgrep -f '[x]os.xtreemfs.mount [0-9]'", check=False)


@pytest.mark.parametrize("way", ["fstab", "units"])
def test_a_volume_is_mounted_when_somebody_looks_and_goes_when_nobody_does(node: Machine, way: str) -> None:
    if node.run("test -e /dev/autofs || echo none"):
        pytest.skip("this machine has no autofs")
    if way == "fstab":
        node.run("cat >>/etc/fstab", stdin=FSTAB)
    else:
        for name, text in UNITS.items():
            node.put(f"/etc/systemd/system/{name}", text)
    node.run("systemctl daemon-reload; systemctl start srv-mounts.automount")
    assert not mounted(node)
    node.run(f"echo {way} >{HERE}/{way}")
    assert mounted(node)
    node.wait_for("it goes again", lambda: not mounted(node))
    assert node.get(f"{HERE}/{way}") == f"{way}\n"
    assert mounted(node)


def test_autofs_mounts_by_name(node: Machine) -> None:
    if node.run("{ test -e /dev/autofs && command -v automount >/dev/null; } || echo none"):
        pytest.skip("this machine has no autofs")
    node.put("/etc/auto.xtreemfs", "* -fstype=xtreemfs,nosuid,nodev :&\n")
    node.put("/etc/auto.master.d/xtreemfs.autofs", "/srv/auto /etc/auto.xtreemfs --timeout=2\n")
    try:
        node.run("systemctl restart autofs")
        node.run(f"echo by name >/srv/auto/{VOLUME}/auto")
        assert mounted(node, f"/srv/auto/{VOLUME}")
        assert node.fails("ls /srv/auto/no-such-volume").data["status"] == 2
        node.wait_for("it goes again", lambda: not mounted(node, f"/srv/auto/{VOLUME}"))
    finally:
        node.run("rm /etc/auto.master.d/xtreemfs.autofs; systemctl restart autofs; rm -rf /etc/auto.xtreemfs /srv/auto")


def test_a_user_mounts_for_herself_and_nobody_else_may_enter(grid: Grid) -> None:
    grid.alice(f"mkdir -p mnt; mount.xtreemfs {VOLUME} mnt")
    try:
        grid.alice("echo hers >mnt/hers; chmod 644 mnt/hers")
        assert grid.alice("stat -c '%U' mnt/hers") == "alice\n"
        assert "Permission denied" in str(grid.core.fails("cat /home/alice/mnt/hers").data["detail"])
        busy = grid.core.fails("cd mnt; umount.xtreemfs ~/mnt", as_user="alice")
        assert "busy" in str(busy.data["detail"])
    finally:
        grid.alice("umount.xtreemfs mnt; rmdir mnt")
    told = grid.alice(["xtfsutil", f"xtreemfs://{VOLUME}/hers"])
    assert "alice@demo" in told


def test_a_mount_in_use_stays_unless_told_and_what_is_open_goes_on(node: Machine) -> None:
    before = served(node)
    node.run(f"mount -t xtreemfs {VOLUME} {HERE}")
    node.run(f"systemd-run --unit writer --collect --working-directory={HERE} sh -c 'exec sleep infinity >open'")
    try:
        node.wait_for("it is open", lambda: "open" in node.run(f"ls {HERE}"))
        assert "busy" in str(node.fails(f"umount {HERE}").data["detail"])
        assert mounted(node)
        node.run(f"umount -l {HERE}")
        assert not mounted(node)
        pid = node.pid("writer.service")
        node.run(f"echo goes on >/proc/{pid}/fd/1; cat /proc/{pid}/fd/1 | grep -qx 'goes on'")
    finally:
        node.run("systemctl stop writer", check=False)
    node.wait_for("its process ends when nobody uses it", lambda: served(node) == before)
    node.run(f"mount -t xtreemfs {VOLUME} {HERE}")
    assert node.get(f"{HERE}/open") == "goes on\n"


def test_what_was_written_is_there_after_the_unit_was_stopped(grid: Grid, node: Machine) -> None:
    node.run("cat >>/etc/fstab", stdin=FSTAB.replace("x-systemd.automount,x-systemd.idle-timeout=2s,", ""))
    node.run(f"systemctl daemon-reload; systemctl start srv-mounts.mount; head -c 30000000 /dev/urandom >{HERE}/large")
    sums = node.run(f"sha256sum <{HERE}/large")
    node.run("systemctl stop srv-mounts.mount")
    assert node.state("srv-mounts.mount") == "inactive"
    grid.node2.run(f"mkdir -p {HERE}; mount -t xtreemfs {VOLUME} {HERE}")
    try:
        assert grid.node2.run(f"sha256sum <{HERE}/large") == sums
    finally:
        grid.node2.run(f"umount {HERE}; rmdir {HERE}")


def test_with_the_network_gone_programs_get_an_error_and_the_mount_goes_in_time(node: Machine) -> None:
    before = served(node)
    node.run(f"mount -t xtreemfs -o patience=5 {VOLUME} {HERE}; echo before >{HERE}/before")
    node.run("ip link set host0 down")
    try:
        for command in (f"head -c 9000000 /dev/zero >{HERE}/lost", f"cat {HERE}/before"):
            began = time.monotonic()
            failed = node.fails(command, seconds=2 * BOUND_SECONDS)
            assert "Input/output error" in str(failed.data["detail"])
            assert time.monotonic() - began < BOUND_SECONDS
        began = time.monotonic()
        node.run(f"umount {HERE}", seconds=2 * BOUND_SECONDS)
        node.wait_for("its process ends", lambda: served(node) == before, BOUND_SECONDS)
        assert time.monotonic() - began < BOUND_SECONDS
    finally:
        node.run("ip link set host0 up; systemctl restart systemd-networkd")
    node.wait_for("the core answers", lambda: node.run("ping -c 1 -W 1 core >/dev/null && echo yes", check=False) != "")
    node.run(f"mount -t xtreemfs {VOLUME} {HERE}", seconds=120.0)
    assert node.get(f"{HERE}/before") == "before\n"
