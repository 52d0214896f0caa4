# SPDX-License-Identifier: BSD-3-Clause
"""What is large, odd or gone, through mounts of real daemons."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.filegrid import FileGrid, Mount, file_grid
from xos.xtreemfs.api import LEASE_SECONDS

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(300),
]
MANY = """
import os, sys
os.chdir(sys.argv[1])
for number in range(int(sys.argv[2])):
    os.mknod(str(number))
"""
HOLD = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX)
os.pwrite(fd, b"unsent", 0)
os.fsync(fd)
print(1, flush=True)
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(2, limits=None) as made:
        made.mount("limits")
        made.mount("limits")
        yield made


@pytest.fixture
def one(grid: FileGrid) -> Path:
    return grid.mounts[0].path


@pytest.fixture
def other(grid: FileGrid) -> Path:
    return grid.mounts[1].path


def test_a_sparse_file_of_16_tib_has_its_end(one: Path, other: Path) -> None:
    size = (16 << 40) - (1 << 20)
    with (one / "sparse").open("wb") as file:
        file.truncate(size)
        os.pwrite(file.fileno(), b"end", size - 3)
    assert (other / "sparse").stat().st_size == size
    with (other / "sparse").open("rb") as file:
        assert os.pread(file.fileno(), 10, size - 3) == b"end"
        assert os.pread(file.fileno(), 4096, 1 << 43) == bytes(4096)
    (one / "sparse").unlink()


@pytest.mark.parametrize("name", [b"x" * 255, b"\xff\xfe\x80", "größe".encode() * 20, b" ", b"-rf", b"a\nb"], ids=repr)
def test_a_name_is_bytes(one: Path, other: Path, name: bytes) -> None:
    place = one / "names"
    place.mkdir(exist_ok=True)
    path = place / os.fsdecode(name)
    path.touch(exist_ok=False)
    assert name in [os.fsencode(entry.name) for entry in (other / "names").iterdir()]
    path.unlink()
    with pytest.raises(OSError, match="File name too long"):
        (place / f"{path.name}{'y' * 256}").touch()


def test_an_attribute_of_4_kib_is_kept(one: Path, other: Path) -> None:
    (one / "attributes").touch()
    os.setxattr(one / "attributes", "user.large", bytes(range(256)) * 16)
    assert os.getxattr(other / "attributes", "user.large") == bytes(range(256)) * 16
    with pytest.raises(OSError, match="Argument list too long"):
        os.setxattr(one / "attributes", "user.huge", b"x" * 70_000)


def _many(one: Path, other: Path, count: int, seconds: float) -> None:
    place = one / f"many-{count}"
    place.mkdir()
    subprocess.run([sys.executable, "-c", MANY, str(place), str(count)], cwd="/", check=True, timeout=seconds)
    names = [entry.name for entry in (other / place.name).iterdir()]
    assert len(names) == count
    assert {int(name) for name in names} == set(range(count))


def test_a_large_directory_is_listed_whole_elsewhere(one: Path, other: Path) -> None:
    _many(one, other, 2000, 200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_directory_of_100000_entries_is_listed_whole_elsewhere(one: Path, other: Path) -> None:
    _many(one, other, 100_000, 3000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_client_that_vanishes_leaves_its_locks_within_its_lease(grid: FileGrid, other: Path) -> None:
    gone: Mount = grid.mount("limits")
    (other / "held").write_bytes(bytes(100))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(gone.path / "held")], cwd="/", stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        os.kill(gone.pid, signal.SIGKILL)
        began = time.monotonic()
        with (other / "held").open("r+b") as file:
            with pytest.raises(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_EX)
            took = time.monotonic() - began
            assert os.pread(file.fileno(), 6, 0) == b"unsent", "it was on disk before it vanished"
        holder.kill()
    # Its last sign of life may have been a third of the lease before.
    assert took > LEASE_SECONDS / 2, "it might have come back"
    assert took < 3 * LEASE_SECONDS
