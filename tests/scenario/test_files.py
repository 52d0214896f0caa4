# SPDX-License-Identifier: BSD-3-Clause
"""Files on a local grid: commands, mounts of two nodes, kills of every daemon."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.localgrid import Grid, User
from xos.xtreemfs.osd.store import ShareStore

WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
for number in range(int(sys.argv[2])):
    os.write(fd, b"%08d\\n" % number)
    os.fsync(fd)
    print(number, flush=True)
"""
"""Says a number once it is on disk."""

mounting = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"
)


@contextlib.contextmanager
def mounted(grid: Grid, volume: str, node: str) -> Iterator[Path]:
    """The volume as that node mounts it for all its accounts."""
    path = grid.place / f"{volume}-at-{node}"
    path.mkdir()
    grid.core.run("mount.xtreemfs", volume, str(path), "-o", f"config={grid.root / node / 'dixid.toml'}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False, timeout=30)
        path.rmdir()


def shell(script: str, at: Path, *words: str, seconds: float = 120) -> str:
    """Run a script in a child that stands in the mount; what it prints."""
    argv = ["sh", "-euc", f'cd "$0"; {script}', str(at), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _osds(grid: Grid) -> None:
    """Both OSDs are known."""
    for _ in eventually(20):
        if grid.core.run("xtfs_chstatus").stdout.count("OSD ") == 2:
            return


def test_volumes_are_made_listed_shown_and_removed(grid: Grid, alice: User) -> None:
    made = json.loads(alice.run("mkfs.xtreemfs", "--json", "--width", "2", "--size", "64K", "papers").stdout)
    assert made["owner"] == "alice@demo"
    table = alice.run("lsfs.xtreemfs").stdout.splitlines()
    assert table[0].split() == ["VOLUME", "OWNER", "USED", "QUOTA", "FILES", "STRIPING", "REPLICATION", "MRC"]
    assert [line.split()[:2] for line in table[1:]] == [["home", "root@core"], ["papers", "alice@demo"]]
    shown = alice.run("xtfsutil", "xtreemfs://papers").stdout
    assert re.search("^striping +64K x 2$", shown, re.MULTILINE)
    alice.run("xtfsutil", "--replicas", "2", "xtreemfs://papers")
    assert "Permission denied" in alice.run("xtfsutil", "--quota", "1G", "xtreemfs://papers", status=1).stderr
    grid.core.run("xtfsutil", "--quota", "1G", "--user-quota", "bob@demo=10M", "xtreemfs://papers")
    assert "bob@demo may hold 10M" in alice.run("xtfsutil", "xtreemfs://papers").stdout
    told = json.loads(alice.run("xtfsutil", "--json", "xtreemfs://papers").stdout)["of_volume"]
    assert (told["quota"], told["policy"]["replicas"], told["policy"]["update"]) == (1 << 30, 2, "wqrq")
    bob = grid.user("bob")
    refused = bob.run("rmfs.xtreemfs", "papers", status=1)
    assert refused.stderr.startswith("rmfs.xtreemfs: volume papers: ")
    again = alice.run("mkfs.xtreemfs", "papers", status=1)
    assert os.strerror(errno.EEXIST) in again.stderr
    alice.run("rmfs.xtreemfs", "papers")
    missing = json.loads(alice.run("rmfs.xtreemfs", "--json", "papers", status=1).stderr)
    assert missing["error"]["data"]["errno"] == errno.ENOENT


def test_snapshots_are_made_listed_shown_and_removed(grid: Grid, alice: User) -> None:
    alice.run("mkfs.xtreemfs", "data")
    none = alice.run("xtfsutil", "--snapshots", "xtreemfs://data")
    assert "no snapshots of data yet" in none.stderr
    made = json.loads(alice.run("xtfsutil", "--json", "--create-snapshot", "monday", "xtreemfs://data").stdout)
    assert (made["name"], made["origin"], made["path"], made["owner"]) == ("data@monday", "data", "/", "alice@demo")
    table = alice.run("xtfsutil", "--snapshots", "xtreemfs://data").stdout.splitlines()
    assert table[0].split() == ["SNAPSHOT", "OF", "MADE", "BY", "HOLDS", "FILES"]
    assert table[1].split()[0] == "data@monday"
    assert "snapshot of" in alice.run("xtfsutil", "xtreemfs://data@monday").stdout
    again = alice.run("xtfsutil", "--create-snapshot", "monday", "xtreemfs://data", status=1)
    assert os.strerror(errno.EEXIST) in again.stderr
    refused = grid.user("bob").run("xtfsutil", "--delete-snapshot", "monday", "xtreemfs://data", status=1)
    assert os.strerror(errno.EACCES) in refused.stderr
    assert "xtreemfs.refused" in alice.run("rmfs.xtreemfs", "--json", "data", status=1).stderr
    alice.run("xtfsutil", "--delete-snapshot", "monday", "xtreemfs://data")
    assert json.loads(alice.run("xtfsutil", "--json", "--snapshots", "xtreemfs://data").stdout) == []
    both = alice.run("xtfsutil", "--snapshots", "--quota", "1G", "xtreemfs://data", status=2)
    assert "--snapshots" in both.stderr
    alice.run("rmfs.xtreemfs", "data")


def test_services_are_listed_and_only_administrators_drain_an_osd(alice: User) -> None:
    found = {(one["kind"], one["node"]) for one in json.loads(alice.run("xtfs_chstatus", "--json").stdout)}
    assert found == {("MRC", "core"), ("OSD", "node1"), ("OSD", "node2")}
    refused = alice.run("xtfs_chstatus", "node1", "draining", status=1)
    assert os.strerror(errno.EACCES) in refused.stderr
    assert "no OSD" in alice.run("xtfs_chstatus", "node9", status=1).stderr


def test_osds_look_for_damage_when_told_to(grid: Grid) -> None:
    def rounds(*options: str) -> dict[str, int]:
        told = json.loads(grid.core.run("xtfs_scrub", "--json", *options).stdout)["osds"]
        return {node: health["rounds"] for node, health in told.items()}

    before = rounds()
    assert set(rounds("--start")) == set(before) == {"node1", "node2"}
    for _ in eventually(30.0):
        if all(number > before[node] for node, number in rounds().items()):
            break
    assert "READ" in grid.core.run("xtfs_scrub").stdout


@mounting
def test_what_one_node_writes_another_reads_and_it_has_the_same_owner_there(grid: Grid) -> None:
    grid.core.run("mkfs.xtreemfs", "--mode", "1777", "--width", "2", "--size", "64K", "shared")
    with mounted(grid, "shared", "node1") as one, mounted(grid, "shared", "node2") as two:
        content = os.urandom(300_000)
        (one / "file").write_bytes(content)
        assert (two / "file").read_bytes() == content
        with pytest.raises(PermissionError):  # root of another machine is nobody special
            (two / "file").write_bytes(b"")
        (one / "file").chmod(0o666)
        (two / "file").write_bytes(content[:1000])
        for _ in eventually(3):  # attributes are a second old at most
            if (one / "file").stat().st_size == 1000:
                break
        shell("setpriv --reuid 4711 --regid 4711 --clear-groups sh -c 'umask 077; echo secret >mine'", one)
        assert (one / "mine").stat().st_uid == 4711
        assert (two / "mine").stat().st_uid == 65534, "an account of another machine is nobody here"
        assert shell("setpriv --reuid 4711 --regid 4711 --clear-groups cat mine || echo no", two) == "no\n"
        layout = json.loads(grid.core.run("xtfsutil", "--json", str(one / "file")).stdout)["layout"]
        assert layout["striping"] == {"size": 64 << 10, "width": 2}
        assert sorted(layout["replicas"][0]["osds"]) == ["node1", "node2"]
        assert "of 0 bytes" not in grid.core.run("xtfsutil", str(two / "file")).stdout
    grid.core.run("rmfs.xtreemfs", "--force", "shared")


@mounting
def test_a_writer_loses_nothing_while_every_daemon_is_killed_and_started_again(grid: Grid) -> None:
    grid.core.run("mkfs.xtreemfs", "--mode", "1777", "--width", "2", "--size", "4096", "lasting")
    with mounted(grid, "lasting", "node1") as one:
        count = 400
        argv = [sys.executable, "-c", WRITER, str(one / "log"), str(count)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for node in ("node2", "core", "node1"):
                said = int(writer.stdout.readline())
                grid.kill(node)
                grid.up()
                assert said < count
            rest = [int(line) for line in writer.stdout]
        assert writer.returncode == 0
        assert rest[-1] == count - 1
        with mounted(grid, "lasting", "node2") as two:
            lines = (two / "log").read_text().splitlines()
        assert lines == [f"{number:08d}" for number in range(count)]
    grid.core.run("rmfs.xtreemfs", "--force", "lasting")


@mounting
def test_orphans_are_found_and_deleted_when_told_to_and_files_that_are_there_never(grid: Grid) -> None:
    grid.core.run("mkfs.xtreemfs", "--mode", "1777", "strays")
    with mounted(grid, "strays", "node1") as one:
        (one / "kept").write_bytes(b"k" * 10_000)
        layout = json.loads(grid.core.run("xtfsutil", "--json", str(one / "kept")).stdout)
        node = layout["layout"]["replicas"][0]["osds"][0]
        assert json.loads(grid.core.run("xtfs_cleanup", "--json").stdout) == []
        volume = next(v for v in json.loads(grid.core.run("lsfs.xtreemfs", "--json").stdout) if v["name"] == "strays")
        stray = _stray_share(grid.root / node / "data/OSD", f"{volume['id']}-{layout['inode']['id']:x}", "ffffff")
        found = json.loads(grid.core.run("xtfs_cleanup", "--json", node).stdout)
        assert [(one["file_id"], one["volume"], one["deleted"]) for one in found] == [(stray, "strays", False)]
        grid.core.run("xtfs_cleanup", "--delete")
        assert json.loads(grid.core.run("xtfs_cleanup", "--json").stdout) == []
        assert (one / "kept").read_bytes() == b"k" * 10_000
    grid.core.run("rmfs.xtreemfs", "--force", "strays")


def _stray_share(data: Path, file_id: str, number: str) -> str:
    """What an OSD would hold if the deletion of a file had been lost."""
    volume = file_id.rpartition("-")[0]
    stray = f"{volume}-{number}"
    with contextlib.closing(ShareStore(data)) as store, store.share(stray, create=True) as share:
        share.write(0, b"s" * 5000)
        share.sync()
    return stray


@mounting
def test_new_files_avoid_an_osd_that_is_drained(grid: Grid) -> None:
    grid.core.run("mkfs.xtreemfs", "--mode", "1777", "drained")
    grid.core.run("xtfs_chstatus", "node1", "draining")
    try:
        with mounted(grid, "drained", "node1") as one:
            deadline = time.monotonic() + 30  # the MRC looks at the DIR now and then
            while True:
                (one / f"f{time.monotonic_ns()}").write_text("x")
                osds_of = [
                    json.loads(grid.core.run("xtfsutil", "--json", str(path)).stdout)["layout"]["replicas"][0]["osds"]
                    for path in sorted(one.iterdir())[-4:]
                ]
                if len(osds_of) == 4 and all(osds == ["node2"] for osds in osds_of):
                    break
                assert time.monotonic() < deadline, osds_of
    finally:
        grid.core.run("xtfs_chstatus", "node1", "online")
    grid.core.run("rmfs.xtreemfs", "--force", "drained")


HELPER = Path(__file__).parents[2] / "packages/xtreemfs/libexec/home-volume"


@mounting
def test_a_home_is_made_on_the_volume_by_its_users_own_right_and_is_the_same_on_the_other_node(grid: Grid) -> None:
    with mounted(grid, "home", "node1") as one:
        uid, name = "4711", "uid.4711.node1"  # an account of node1's own is known elsewhere by its number
        home = one / name
        words: list[str | Path] = [HELPER, name, uid, uid, home]
        other = "setpriv --reuid 4712 --regid 4712 --clear-groups"
        assert shell(f"{other} mkdir {name} 2>/dev/null || echo no", one) == "no\n", "a name is its user's"
        at_once = [subprocess.Popen(words, env={}) for _ in range(4)]
        assert [helper.wait(30) for helper in at_once] == [0, 0, 0, 0]
        assert sorted(path.name for path in one.iterdir()) == [name], "no draft is left"
        assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (int(uid), 0o700)
        own = "setpriv --reuid 4711 --regid 4711 --clear-groups"
        skeleton = sorted(path.name for path in Path("/etc/skel").iterdir())
        assert sorted(shell(f"{own} ls -A {name}", one).split()) == skeleton
        shell(f"{own} sh -c 'echo mine >{name}/file'", one)
        assert shell(f"{other} mv {name} mine 2>/dev/null || echo no", one) == "no\n", "its root is sticky"
        assert subprocess.run(words, env={}, check=False, timeout=30).returncode == 0
        assert shell(f"{own} cat {name}/file", one) == "mine\n"
        with mounted(grid, "home", "node2") as two:
            assert (two / name).stat().st_mode & 0o777 == 0o700


def test_where_no_volume_is_mounted_nor_wanted_a_home_is_local(tmp_path: Path) -> None:
    words: list[str | Path] = [HELPER, "alice.demo", "4711", "4711", tmp_path / "alice.demo"]
    assert subprocess.run(words, env={}, check=False, timeout=30).returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dump_of_the_mrc_holds_its_volumes(grid: Grid, alice: User, tmp_path: Path) -> None:
    alice.run("mkfs.xtreemfs", "dumped")
    database = next((grid.root / "core/data/MRC").glob("*.sqlite"))
    alice.run("xtfs_mrcdbtool", "dump", str(database), str(tmp_path / "dump"))
    assert (tmp_path / "dump").stat().st_mode & 0o777 == 0o600
    alice.run("xtfs_mrcdbtool", "restore", str(tmp_path / "new.sqlite"), str(tmp_path / "dump"))
    again = alice.run("xtfs_mrcdbtool", "restore", str(tmp_path / "new.sqlite"), str(tmp_path / "dump"), status=1)
    assert "already" in again.stderr
    alice.run("xtfs_mrcdbtool", "dump", str(tmp_path / "new.sqlite"), str(tmp_path / "other"))
    assert b'"dumped"' in (tmp_path / "other").read_bytes()
    alice.run("rmfs.xtreemfs", "dumped")


@mounting
def test_what_a_job_says_that_it_reads_is_brought_near_its_node(grid: Grid, alice: User) -> None:
    """The hint goes from the job description over the Job Manager to the MRC, which makes a replica there."""
    alice.run("mkfs.xtreemfs", "--mode", "1777", "--osd-selection", "names:node1", "genomes")
    with mounted(grid, "genomes", "node1") as path:
        shell("echo ACGT >genome", path)
        for _ in eventually(30):  # the MRC hears of the close in a moment
            if not grid.core.run("xtfsutil", "--update", "ronly", "xtreemfs://genomes/genome", status=None).returncode:
                break
        alice.run("xtfsutil", "--osd-selection", "usable,near", "--extra", "1", "xtreemfs://genomes")
        alice.run("xsub", "--wait", "--host", "node2", "--reads", "xtreemfs://genomes/genome", "true")
        for _ in eventually(60):
            if "node2" in alice.run("xtfsutil", "xtreemfs://genomes/genome").stdout:
                break
        assert shell("cat genome", path) == "ACGT\n"
