# SPDX-License-Identifier: BSD-3-Clause
"""mount.xtreemfs and umount.xtreemfs as people and mount(8) call them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(90),
]


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(1) as made:
        made.make_volume("home", mode=0o1777)
        yield made


@pytest.fixture
def place(grid: FileGrid, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = grid.place / request.node.name
    path.mkdir()
    yield path
    if _mounted(path):
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=30)


def _mounted(path: Path) -> bool:
    return f" {path} " in Path("/proc/self/mounts").read_text()


def _run(*words: object, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XOS_NO_AGENT": "1", **({"XOS_HOME": str(home)} if home else {})}
    command = [sys.executable, "-m", "xos.dixi", *map(str, words)]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=False, timeout=60)


def test_it_returns_when_the_mount_works_and_unmounting_ends_it(grid: FileGrid, place: Path) -> None:
    # As mount(8) calls it for a line of fstab.
    done = _run("mount.xtreemfs", "demo/home", place, "-o", f"rw,_netdev,config={grid.core.config}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    line = next(line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {place} " in line)
    source, _, kind, options, *_ = line.split()
    assert (source, kind) == ("demo/home", "fuse.xtreemfs")
    assert {"nosuid", "nodev", "allow_other", "default_permissions"} <= set(options.split(","))
    (place / "f").write_text("hello")
    assert _run("umount.xtreemfs", place).returncode == 0
    assert not _mounted(place)
    assert _run("mount.xtreemfs", "home", place, "-o", f"ro,config={grid.core.config}").returncode == 0
    assert (place / "f").read_text() == "hello"
    with pytest.raises(OSError, match="Read-only"):
        (place / "g").touch()


def test_the_end_of_a_terminal_does_not_end_a_mount(grid: FileGrid, place: Path) -> None:
    words = [sys.executable, "-m", "xos.dixi", "mount.xtreemfs", "home", str(place)]
    subprocess.run(
        [*words, "-o", f"config={grid.core.config}"], cwd="/", check=True, timeout=60, start_new_session=True,
        env={**os.environ, "XOS_NO_AGENT": "1", "HERE": str(place)},
    )  # fmt: skip
    (serving,) = [
        int(found.parent.name)
        for found in Path("/proc").glob("[0-9]*/environ")
        if f"HERE={place}\0".encode() in _read(found)
    ]
    assert os.getsid(serving) == os.getpgid(serving) == serving
    assert _mounted(place)


def _read(path: Path) -> bytes:
    """Nothing, of a process that has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_mount_in_use_is_not_taken_away(grid: FileGrid, place: Path) -> None:
    assert _run("mount.xtreemfs", "home", place, "-o", f"config={grid.core.config}").returncode == 0
    with (place / "used").open("w"):
        done = _run("umount.xtreemfs", place)
        assert done.returncode == 1
        assert "busy" in done.stderr
        assert "fuser" in done.stderr
    for _ in eventually(20.0):
        if _run("umount.xtreemfs", place).returncode == 0:
            break


def test_a_user_mounts_for_themselves(grid: FileGrid, place: Path) -> None:
    home = grid.home_of("alice")
    assert _run("mount.xtreemfs", "home", place, home=home).returncode == 0
    (place / "mine").write_text("alice's")
    assert (place / "mine").stat().st_uid == os.getuid()
    with pytest.raises(PermissionError):
        os.chown(place / "mine", 4242, -1)
    nobody = ["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "cat", str(place / "mine")]
    assert subprocess.run(nobody, cwd="/", capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing", "{place}"), "no volume nothing"),
        (("home", "{place}/none"), "does not exist"),
        (("home", "{place}", "-o", "bogus"), "'bogus' is no option"),
        (("/", "{place}"), "names no volume"),
    ],
    ids=["volume", "directory", "option", "source"],
)
def test_what_goes_wrong_is_told_with_a_next_step(
    grid: FileGrid, place: Path, words: tuple[str, ...], said: str
) -> None:
    filled = [word.format(place=place) for word in words]
    done = _run("mount.xtreemfs", *filled, "-o", f"config={grid.core.config}")
    assert done.returncode != 0
    first, second = done.stderr.splitlines()
    assert said in first
    assert second.strip()
    assert not _mounted(place)
