# SPDX-License-Identifier: BSD-3-Clause
"""Small files that are read before they are opened: nobody sees what was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.filegrid import FileGrid, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),
]
MANY = 80
FIRST, NEXT, LAST = 40, 50, 56
"""Files from `FIRST` on are read; then those from `NEXT` to `LAST` are there. A lease takes some files to be had."""
NOBODY = 65534
READ = """
import os, sys
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    sys.stdout.buffer.write(os.read(fd, 8192))
"""
"""What the kernel still has of a file is not what is to be seen."""


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(2, home=None) as made:
        made.mount()
        made.mount()
        yield made


@pytest.fixture
def one(grid: FileGrid, request: pytest.FixtureRequest) -> Path:
    """A directory with files that were made under a lease."""
    place: Path = grid.mounts[0].path / request.node.name
    place.mkdir()
    for number in range(MANY):
        (place / f"f{number}").write_bytes(content(number))
    time.sleep(0.3)  # by then the MRC knows of them
    return place


@pytest.fixture
def other(grid: FileGrid, one: Path) -> Path:
    return grid.mounts[1].path / one.name


def content(number: int) -> bytes:
    return b"%6d" % number * 600


def whole(start: int, end: int) -> bytes:
    return b"".join(map(content, range(start, end)))


def read(place: Path, start: int, end: int, user: int | None = None) -> bytes:
    """By another process, which can be given up."""
    paths = [str(place / f"f{number}") for number in range(start, end)]
    done = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, timeout=20, user=user, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode())
    return done.stdout


def test_files_that_follow_are_there_before_they_are_opened(grid: FileGrid, one: Path) -> None:
    assert read(one, FIRST, NEXT) == whole(FIRST, NEXT)
    pids = [osd.process.pid for osd in grid.osds if osd.process is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert read(one, NEXT, LAST) == whole(NEXT, LAST)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def written(path: Path) -> bytes:
    with path.open("r+b") as file:
        file.write(b"another" + content(0)[7:])
    return b"another" + content(0)[7:]


def cut(path: Path) -> bytes:
    os.truncate(path, 7)
    return content(NEXT)[:7]


def replaced(path: Path) -> bytes:
    new = path.with_name("new")
    new.write_bytes(b"new")
    new.rename(path)
    return b"new"


def anew(path: Path) -> bytes:
    path.unlink()
    path.write_bytes(b"anew")
    return b"anew"


@pytest.mark.parametrize("change", [written, cut, replaced, anew])
def test_what_another_mount_changed_is_read(one: Path, other: Path, change: Callable[[Path], bytes]) -> None:
    assert read(one, FIRST, NEXT) == whole(FIRST, NEXT)
    wanted = change(other / f"f{NEXT}")
    assert read(one, NEXT, NEXT + 1) == wanted
    assert read(one, NEXT + 1, LAST) == whole(NEXT + 1, LAST)


@pytest.mark.parametrize("change", [written, cut, replaced, anew])
def test_what_was_changed_here_is_read(one: Path, change: Callable[[Path], bytes]) -> None:
    assert read(one, FIRST, NEXT) == whole(FIRST, NEXT)
    wanted = change(one / f"f{NEXT}")
    assert read(one, NEXT, NEXT + 1) == wanted
    assert read(one, NEXT + 1, LAST) == whole(NEXT + 1, LAST)


def test_an_open_file_is_read_as_it_is_written_meanwhile(one: Path) -> None:
    assert read(one, FIRST, NEXT) == whole(FIRST, NEXT)
    fd = os.open(one / f"f{NEXT}", os.O_RDONLY)
    try:
        wanted = written(one / f"f{NEXT}")
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.read(fd, 8192) == wanted
    finally:
        os.close(fd)


def test_a_right_that_was_taken_away_opens_nothing(one: Path, other: Path) -> None:
    assert read(one, FIRST, NEXT, NOBODY) == whole(FIRST, NEXT)
    (other / f"f{NEXT}").chmod(0o600)
    with pytest.raises(OSError, match="Permission denied"):
        read(one, NEXT, NEXT + 1, NOBODY)
    assert read(one, NEXT + 1, LAST, NOBODY) == whole(NEXT + 1, LAST)


def test_damage_is_an_error_of_the_one_file(grid: FileGrid, one: Path) -> None:
    wanted = content(NEXT)
    shares = [
        path
        for osd in grid.osds
        for path in (osd.root / "data").rglob("*")
        if path.is_file() and path.stat().st_size == len(wanted) and path.read_bytes() == wanted
    ]
    assert shares
    for share in shares:
        with share.open("r+b") as file:
            file.write(b"x")
    assert read(one, FIRST, NEXT) == whole(FIRST, NEXT)
    with pytest.raises(OSError, match="Input/output error"):
        read(one, NEXT, NEXT + 1)
    assert read(one, NEXT + 1, LAST) == whole(NEXT + 1, LAST)
    (one / f"f{NEXT}").unlink()


def test_osds_that_are_killed_are_waited_for(grid: FileGrid, one: Path) -> None:
    for start in range(FIRST, MANY, 10):
        for osd in grid.osds:
            osd.kill()
            osd.start()
        assert read(one, start, start + 10) == whole(start, start + 10)
