# SPDX-License-Identifier: BSD-3-Clause
"""A mount of the machine that OSDs are on reads their shares itself; real daemons, real mounts."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, Mount, file_grid
from xos.xtreemfs.api import Policy, Striping

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),
]
MIB = 1 << 20
CONTENT = random.Random(1).randbytes(3 * MIB + 4321)


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(2, home=None, striped=Policy(striping=Striping(64 << 10, 2))) as made:
        for volume in ("home", "home", "striped"):
            made.mount(volume)
        yield made


@pytest.fixture
def here(grid: FileGrid, request: pytest.FixtureRequest) -> Path:
    place: Path = grid.mounts[0].path / request.node.name
    place.write_bytes(CONTENT)
    return place


@pytest.fixture
def there(grid: FileGrid, here: Path) -> Path:
    """The same file at the other mount."""
    return grid.mounts[1].path / here.name


def lent(mount: Mount, path: Path) -> list[str]:
    """The shares of a file that its mount has open."""
    links = []
    for entry in Path(f"/proc/{mount.pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return [link for link in links if link.endswith(f"-{path.stat().st_ino:x}.data")]


def borrowed(mount: Mount, path: Path, fd: int, shares: int = 1) -> None:
    """Read until all shares are lent: an OSD that does not answer within a second is asked again later."""
    for _ in eventually(20.0):
        assert whole(fd) == CONTENT
        if len(lent(mount, path)) == shares:
            return


def afresh(fd: int, length: int, offset: int) -> bytes:
    """What is there, and not what the kernel remembers of it."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return os.pread(fd, length, offset)


def whole(fd: int) -> bytes:
    return b"".join(afresh(fd, MIB, at) for at in range(0, len(CONTENT), MIB))


def test_a_large_file_is_lent_while_it_is_open(grid: FileGrid, here: Path) -> None:
    fd = os.open(here, os.O_RDONLY)
    try:
        borrowed(grid.mounts[0], here, fd)
        assert afresh(fd, 100, len(CONTENT) - 7) == CONTENT[-7:]
        for at in random.Random(2).sample(range(len(CONTENT) - 5000), 200):
            assert afresh(fd, 4096, at) == CONTENT[at : at + 4096]
    finally:
        os.close(fd)
    for _ in eventually(20.0):
        if not lent(grid.mounts[0], here):
            break


def test_of_a_striped_file_each_osd_lends_its_share(grid: FileGrid) -> None:
    path = grid.mounts[2].path / "striped"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY)
    try:
        borrowed(grid.mounts[2], path, fd, 2)
        for at in random.Random(3).sample(range(len(CONTENT) - 5000), 100):
            assert afresh(fd, 4500, at) == CONTENT[at : at + 4500]
    finally:
        os.close(fd)


def test_what_another_mount_writes_is_read_at_once(grid: FileGrid, here: Path, there: Path) -> None:
    fd, other = os.open(here, os.O_RDONLY), os.open(there, os.O_WRONLY)
    try:
        borrowed(grid.mounts[0], here, fd)
        for turn in range(100):
            at = turn * 31_000
            os.pwrite(other, b"%08d" % turn, at)
            os.fsync(other)
            assert afresh(fd, 8, at) == b"%08d" % turn
        os.ftruncate(other, 2 * MIB)
        os.pwrite(other, b"behind", 3 * MIB)
        os.fsync(other)
        for _ in eventually(20.0):
            if afresh(fd, 100, 3 * MIB - 2) == b"\0\0behind":
                break
        assert afresh(fd, MIB, 2 * MIB) == bytes(MIB)
    finally:
        os.close(fd)
        os.close(other)


def test_reading_what_somebody_writes_all_the_time_gives_nothing_torn(here: Path, there: Path) -> None:
    code = (
        "import os, sys\n"
        "fd, turn = os.open(sys.argv[1], os.O_WRONLY), 0\n"
        "while True:\n"
        "    turn += 1\n"
        "    os.pwrite(fd, b'%c' % (turn % 256) * 4096, 8192)\n"
        "    os.fsync(fd)\n"
    )
    fd = os.open(here, os.O_RDONLY)
    writer = subprocess.Popen([sys.executable, "-c", code, str(there)], cwd="/")
    try:
        seen = set()
        for _ in eventually(60.0):
            for _ in range(50):
                found = afresh(fd, 4096, 8192)
                if found != CONTENT[8192:12288]:
                    assert len(set(found)) == 1
                    seen.add(found[0])
            if len(seen) >= 10:
                break
    finally:
        writer.kill()
        writer.wait()
        os.close(fd)


def test_damage_on_the_disk_is_an_error_and_never_wrong_bytes(grid: FileGrid, here: Path) -> None:
    fd = os.open(here, os.O_RDONLY)
    try:
        borrowed(grid.mounts[0], here, fd)
        (share,) = lent(grid.mounts[0], here)
        with Path(share).open("r+b") as file:
            file.seek(MIB + 5)
            file.write(bytes([CONTENT[MIB + 5] ^ 4]))
        with pytest.raises(OSError, match="Input/output") as failed:
            afresh(fd, 1, MIB)
        assert failed.value.errno == errno.EIO
        assert afresh(fd, MIB - 4096, 0) == CONTENT[: MIB - 4096]
    finally:
        os.close(fd)


def test_a_file_that_is_removed_is_read_by_who_has_it_open(grid: FileGrid, here: Path, there: Path) -> None:
    fd = os.open(here, os.O_RDONLY)
    try:
        borrowed(grid.mounts[0], here, fd)
        there.unlink()
        assert whole(fd) == CONTENT
    finally:
        os.close(fd)


def test_an_osd_is_killed_and_comes_again(grid: FileGrid, here: Path) -> None:
    fd = os.open(here, os.O_RDWR)
    try:
        borrowed(grid.mounts[0], here, fd)
        os.pwrite(fd, b"late", 100)
        os.fsync(fd)
        for osd in grid.osds:
            assert osd.process is not None
            osd.process.send_signal(signal.SIGKILL)
            osd.process.wait()
            osd.start()
        for at in range(0, len(CONTENT), 50_000):
            expected = CONTENT[:100] + b"late" + CONTENT[104:]
            assert afresh(fd, 4096, at) == expected[at : at + 4096]
        for _ in eventually(20.0):
            if lent(grid.mounts[0], here) and afresh(fd, 4, 100) == b"late":
                break
    finally:
        os.close(fd)


def test_a_users_mount_is_lent_nothing(grid: FileGrid) -> None:
    place, home = grid.place / "alices", grid.home_of("alice")
    place.mkdir()
    grid.make_volume("open", mode=0o777)
    env = {**os.environ, "XOS_HOME": str(home), "XOS_NO_AGENT": "1"}
    command = [sys.executable, "-m", "xos.dixi", "mount.xtreemfs", "open", str(place), "-o", "foreground"]
    with subprocess.Popen(command, env=env, cwd="/") as process:
        try:
            for _ in eventually(60.0):
                if f" {place} " in Path("/proc/self/mounts").read_text():
                    break
            (place / "f").write_bytes(CONTENT)
            fd = os.open(place / "f", os.O_RDONLY)
            assert whole(fd) == whole(fd) == CONTENT
            open_there = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
            assert not [link for link in open_there if link.endswith(".data")]
            os.close(fd)
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False, timeout=60)
            process.terminate()
            process.wait(60)
            place.rmdir()
