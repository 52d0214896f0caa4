# SPDX-License-Identifier: BSD-3-Clause
"""Two mounts of one volume: each sees what the other does, locks are between them, restarts are waited for."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, Mount, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(90),
]


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(2, home=None) as made:
        made.mount()
        made.mount()
        yield made


@pytest.fixture
def one(grid: FileGrid, request: pytest.FixtureRequest) -> Path:
    place: Path = grid.mounts[0].path / request.node.name
    place.mkdir()
    return place


@pytest.fixture
def other(grid: FileGrid, one: Path) -> Path:
    return grid.mounts[1].path / one.name


def test_what_was_closed_here_is_read_there(one: Path, other: Path) -> None:
    (one / "f").write_bytes(b"first")
    assert (other / "f").read_bytes() == b"first"
    (one / "f").write_bytes(b"second, longer")
    assert (other / "f").read_bytes() == b"second, longer"
    (other / "f").write_bytes(b"third")
    assert (one / "f").read_bytes() == b"third"


def test_what_is_closed_there_is_read_here_though_the_file_is_as_long_as_before(one: Path, other: Path) -> None:
    (one / "same").write_bytes(b"none")
    for turn in range(30):
        _write_over(one / "same", b"%04d" % turn)
        assert (other / "same").read_bytes() == b"%04d" % turn
        assert (other / "same").read_bytes() == b"%04d" % turn


def test_what_is_closed_there_is_read_here_to_its_end_though_it_was_looked_at_before(one: Path, other: Path) -> None:
    def turns(name: str) -> None:
        for turn in range(40):
            name += str(turn % 10)
            (one / name).write_bytes(b"short")
            assert (other / name).stat().st_size == 5
            (one / name).write_bytes(b"longer than before")
            assert (other / name).read_bytes() == b"longer than before"

    with ThreadPoolExecutor(4) as pool:  # so that what the MRC tells by itself is late
        list(pool.map(turns, "abcd"))


def _write_over(path: Path, content: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(content)


def test_names_that_come_and_go_there_are_seen_here_within_a_second(one: Path, other: Path) -> None:
    assert not (other / "late").exists()  # so that the kernel there knows that it is not
    (one / "late").touch()
    for _ in eventually(10.0):  # a second; the rest is for a busy machine
        if (other / "late").exists():
            break
    (one / "late").unlink()
    for _ in eventually(10.0):
        if not (other / "late").exists():
            break


def test_look_ups_in_order_show_what_was_changed_here_just_before(one: Path) -> None:
    for number in range(300):
        (one / f"f{number}").touch(mode=0o600)
    _forget_names()
    for number in range(0, 300, 10):  # the MRC is asked for what follows too
        assert (one / f"f{number}").stat().st_mode & 0o777 == 0o600
        if number == 100:
            (one / "f101").unlink()
            (one / "f102").rename(one / "f103")
            (one / "f104").chmod(0o644)
            (one / "f105").write_bytes(b"12345")
            _forget_names()
            assert not (one / "f101").exists()
            assert not (one / "f102").exists()
            assert (one / "f103").exists()
            assert (one / "f104").stat().st_mode & 0o777 == 0o644
            assert (one / "f105").stat().st_size == 5
    assert len(list(one.iterdir())) == 298


def test_look_ups_in_order_show_within_a_second_what_is_changed_there(one: Path, other: Path) -> None:
    for number in range(100):
        (one / f"f{number}").touch(mode=0o600)
    for number in range(50):
        assert (other / f"f{number}").exists()
    for number in range(50, 100):
        (one / f"f{number}").unlink()
    for _ in eventually(10.0):  # a second; the rest is for a busy machine
        if not any((other / f"f{number}").exists() for number in range(50, 100)):
            break
    assert len(list(other.iterdir())) == 50


def _forget_names() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("2")


def test_locks_are_between_nodes(one: Path, other: Path) -> None:
    with (one / "lock").open("wb") as here, (other / "lock").open("wb") as there:
        fcntl.lockf(here, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
        with pytest.raises(BlockingIOError):
            fcntl.lockf(there, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        fcntl.lockf(there, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 10)
        fcntl.flock(here, fcntl.LOCK_SH)
        with pytest.raises(BlockingIOError):
            fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
        waiting = threading.Thread(target=fcntl.flock, args=(there, fcntl.LOCK_EX))
        waiting.start()
        fcntl.flock(here, fcntl.LOCK_UN)
        waiting.join(20)
        assert not waiting.is_alive()


def test_counters_behind_a_lock_count_right_from_two_nodes(one: Path, other: Path) -> None:
    (one / "counter").write_text("0")
    code = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "for _ in range(25):\n"
        "    fcntl.lockf(fd, fcntl.LOCK_EX)\n"
        "    n = int(os.pread(fd, 20, 0))\n"
        "    os.pwrite(fd, b'%d' % (n + 1), 0)\n"
        "    fcntl.lockf(fd, fcntl.LOCK_UN)\n"
    )
    with contextlib.ExitStack() as running:
        for place in (one, other, one, other):
            command = [sys.executable, "-c", code, str(place / "counter")]
            running.enter_context(subprocess.Popen(command, cwd="/"))
    assert (one / "counter").read_text() == "100"


def test_a_lock_is_given_up_when_its_process_is_killed(one: Path, other: Path) -> None:
    code = (
        "import fcntl, sys, time\n"
        "f = open(sys.argv[1], 'wb')\n"
        "fcntl.lockf(f, fcntl.LOCK_EX)\n"
        "print(1, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(one / "k")], cwd="/", stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        with (other / "k").open("wb") as there:
            with pytest.raises(BlockingIOError):
                fcntl.lockf(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder.kill()
            fcntl.lockf(there, fcntl.LOCK_EX)


def test_a_file_that_was_removed_is_usable_while_it_is_open(one: Path) -> None:
    with (one / "gone").open("w+b") as file:
        file.write(b"still")
        file.flush()
        (one / "gone").unlink()
        file.write(b" here")
        file.seek(0)
        assert file.read() == b"still here"
        assert os.fstat(file.fileno()).st_nlink == 0


def test_direct_and_mapped_access_see_the_same_bytes(one: Path) -> None:
    with (one / "m").open("w+b") as file:
        file.truncate(1 << 20)
        with mmap.mmap(file.fileno(), 1 << 20) as mapped:
            mapped[4096:8192] = b"m" * 4096
            mapped.flush()
            fd = os.open(one / "m", os.O_RDONLY | os.O_DIRECT)
            try:
                buffer = mmap.mmap(-1, 8192)
                assert os.preadv(fd, [buffer], 0) == 8192
                assert buffer[:8192] == bytes(4096) + b"m" * 4096
            finally:
                os.close(fd)


def test_fallocate_grows_and_punches_holes(one: Path) -> None:
    with (one / "f").open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, 100_000)
        assert os.fstat(file.fileno()).st_size == 100_000
        file.write(b"x" * 50_000)
        file.flush()
        subprocess.run(["fallocate", "-p", "-o", "10", "-l", "20", str(one / "f")], check=True, cwd="/")
        assert os.pread(file.fileno(), 40, 0) == b"x" * 10 + bytes(20) + b"x" * 10


def test_two_appending_descriptors_of_one_mount_lose_nothing(one: Path) -> None:
    with (one / "log").open("ab", buffering=0) as first, (one / "log").open("ab", buffering=0) as second:
        for number in range(20):
            first.write(b"a%02d\n" % number)
            second.write(b"b%02d\n" % number)
    assert len(set((one / "log").read_bytes().splitlines())) == 40


def test_acls_are_kept_and_decide(one: Path) -> None:
    (one / "f").write_bytes(b"for one")
    (one / "f").chmod(0o600)
    one.chmod(0o755)
    command = ["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "cat", str(one / "f")]
    one.parent.chmod(0o755)
    assert subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 1
    acl = bytes.fromhex("0200000001000600ffffffff020004009210000004000000ffffffff10000400ffffffff20000000ffffffff")
    os.setxattr(one / "f", "system.posix_acl_access", acl)
    assert os.getxattr(one / "f", "system.posix_acl_access") == acl
    assert subprocess.run(command, cwd="/", capture_output=True, check=True).stdout == b"for one"


WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for turn in range(12):
    os.write(fd, b"%02d" % turn * 50_000)
    print(turn, flush=True)
    sys.stdin.readline()
    os.fsync(fd)
"""


def test_a_writer_waits_for_services_that_restart(grid: FileGrid, one: Path, other: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(one / "w")]
    # Another process has the file open: whoever forks with it open waits in close(2) for what he kills.
    with subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for turn in range(12):
            assert int(writer.stdout.readline()) == turn
            killed = {3: grid.osds[0], 5: grid.core, 7: grid.osds[1]}.get(turn)
            if killed is not None:
                killed.kill()
            writer.stdin.write(b"\n")
            if killed is not None:
                killed.start()
    assert writer.returncode == 0
    assert (other / "w").read_bytes() == b"".join(b"%02d" % n * 50_000 for n in range(12))


def test_a_file_that_would_be_too_large_is_refused(one: Path) -> None:
    with (one / "f").open("wb") as file, pytest.raises(OSError, match="too large") as told:
        file.truncate(1 << 50)
    assert told.value.errno == errno.EFBIG
    assert (one / "f").stat().st_size == 0


def test_a_mount_that_is_ended_leaves_and_what_was_written_stays(grid: FileGrid) -> None:
    mount: Mount = grid.mount()
    (mount.path / "stays").write_bytes(b"1" * 100_000)
    mount.end()
    assert not mount.mounted
    mount.start()
    assert (mount.path / "stays").read_bytes() == b"1" * 100_000
    assert mount.process is not None
    mount.process.terminate()
    assert mount.process.wait(20) == 0
    assert not mount.mounted
