# SPDX-License-Identifier: BSD-3-Clause
"""Small files that are made under a lease: close(2) does not wait for their bytes, and no name comes before them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, Mount, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),
]
BODY = b"x" * 4096


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(1, home=None) as made:
        made.mount()
        made.mount()
        yield made


@pytest.fixture
def one(grid: FileGrid, request: pytest.FixtureRequest) -> Path:
    place: Path = grid.mounts[0].path / request.node.name
    place.mkdir()
    leased(place)
    return place


@pytest.fixture
def other(grid: FileGrid, one: Path) -> Path:
    return grid.mounts[1].path / one.name


def leased(place: Path) -> None:
    """By many files; and the mount has heard how much room the OSD has."""
    for number in range(80):
        (place / f"warm{number}").write_bytes(b"w")


@contextlib.contextmanager
def stopped(grid: FileGrid) -> Iterator[None]:
    """The OSD answers nobody."""
    process = grid.osds[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def promptly(work: Callable[[], object]) -> None:
    """It ends while nothing else happens."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()


def test_who_makes_a_small_file_does_not_wait_for_the_osd_and_reads_it(grid: FileGrid, one: Path, other: Path) -> None:
    seen: list[object] = []

    def work() -> None:
        (one / "new").write_bytes(BODY)
        seen.append((one / "new").read_bytes() == BODY)
        seen.append((one / "new").stat().st_size)

    with stopped(grid):
        promptly(work)
    assert seen == [True, len(BODY)]
    assert (other / "new").read_bytes() == BODY


def test_a_name_is_seen_elsewhere_with_its_bytes(grid: FileGrid, one: Path, other: Path) -> None:
    sizes: list[int] = []
    with stopped(grid):
        promptly(lambda: (one / "new").write_bytes(BODY))
        looker = threading.Thread(target=lambda: sizes.append(len((other / "new").read_bytes())))
        looker.start()
        time.sleep(0.5)
        assert not sizes
    looker.join(30.0)
    assert sizes == [len(BODY)]


def test_what_is_done_next_to_a_file_finds_its_bytes(one: Path, other: Path) -> None:
    for turn in range(15):
        for name in ("append", "cut", "rename", "link", "replace", "gone", "times", "over"):
            (one / f"{name}{turn}").write_bytes(BODY)
            place = one / f"{name}{turn}"
            if name == "append":
                with place.open("ab") as file:
                    file.write(b"more")
            elif name == "cut":
                os.truncate(place, 10)
            elif name == "rename":
                place.rename(one / f"renamed{turn}")
            elif name == "link":
                os.link(place, one / f"linked{turn}")
            elif name == "replace":
                place.replace(one / f"warm{turn}")
            elif name == "gone":
                place.unlink()
            elif name == "times":
                os.utime(place, ns=(1_000, 2_000))
            else:
                place.write_bytes(b"second")
    for turn in range(15):
        assert (other / f"append{turn}").read_bytes() == BODY + b"more"
        assert (other / f"cut{turn}").read_bytes() == BODY[:10]
        for name in ("renamed", "linked", "link", "warm", "times"):
            assert (other / f"{name}{turn}").read_bytes() == BODY
        assert (other / f"times{turn}").stat().st_mtime_ns == 2_000
        assert (other / f"over{turn}").read_bytes() == b"second"
        assert not (other / f"gone{turn}").exists()


def test_times_that_are_set_before_close_stay(one: Path, other: Path) -> None:
    for number in range(20):
        with (one / f"f{number}").open("wb", buffering=0) as file:
            file.write(BODY)
            os.utime(file.fileno(), ns=(1_000, 2_000 + number))
        assert (one / f"f{number}").stat().st_mtime_ns == 2_000 + number
    for number in range(20):
        assert (other / f"f{number}").read_bytes() == BODY
        assert (other / f"f{number}").stat().st_mtime_ns == 2_000 + number


def test_a_mount_that_is_killed_leaves_no_name_without_its_bytes(grid: FileGrid) -> None:
    mount = Mount(grid, "home", "suid,dev")
    grid.mounts.append(mount)
    mount.start()
    place, there = mount.path / "killed", grid.mounts[0].path / "killed"
    place.mkdir()
    leased(place)
    synced: list[str] = []
    failed = threading.Event()

    def work() -> None:
        with contextlib.suppress(OSError):  # the mount is gone
            for number in range(100_000):
                fd = os.open(place / f"f{number}", os.O_CREAT | os.O_WRONLY, 0o644)
                os.write(fd, BODY)
                if number % 100 == 99:
                    os.fsync(fd)
                    synced.append(f"f{number}")
                os.close(fd)
        failed.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    for _ in eventually(30.0):
        if len(synced) >= 3:
            break
    with stopped(grid):  # bytes are under way
        time.sleep(0.2)
        os.kill(mount.pid, signal.SIGKILL)
        assert failed.wait(30.0)
    left = {path.name: path.stat().st_size for path in there.iterdir() if path.name.startswith("f")}
    assert {name for name, size in left.items() if size != len(BODY)} == set()
    assert set(synced) <= set(left)
    mount.end()


def test_an_osd_that_is_killed_gets_the_bytes_again(grid: FileGrid, one: Path, other: Path) -> None:
    process = grid.osds[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    promptly(lambda: (one / "f0").write_bytes(BODY))
    grid.osds[0].kill()
    grid.osds[0].start()
    for number in range(1, 5):
        (one / f"f{number}").write_bytes(BODY)
    assert [(other / f"f{number}").read_bytes() == BODY for number in range(5)] == [True] * 5


def test_two_programs_write_one_directory(one: Path, other: Path) -> None:
    def work(prefix: str) -> None:
        for number in range(200):
            (one / f"{prefix}{number}").write_bytes(prefix.encode() * (1 + number))
            if number % 10 == 0:
                assert (one / f"{prefix}{number}").read_bytes() == prefix.encode() * (1 + number)

    workers = [threading.Thread(target=work, args=(prefix,)) for prefix in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for prefix in "ab":
        for number in range(200):
            assert (other / f"{prefix}{number}").read_bytes() == prefix.encode() * (1 + number)
