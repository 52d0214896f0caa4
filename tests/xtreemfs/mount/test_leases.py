# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories: what one mount does in its memory, another one sees as if each had been a call of its own."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, Mount, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),
]
MANY = 60
"""Files that are enough for a lease."""


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


def fill(place: Path, count: int = MANY, start: int = 0) -> None:
    for number in range(start, start + count):
        (place / f"f{number}").write_bytes(b"%d" % number)


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def sync(place: Path) -> None:
    fd = os.open(place, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def count(place: Path) -> int:
    return len(names(place))


def test_what_is_made_and_closed_here_is_there_at_once(one: Path, other: Path) -> None:
    for turn in range(6):
        here, there = (one, other) if turn % 2 == 0 else (other, one)
        fill(here, MANY, turn * MANY)
        assert count(there) == (turn + 1) * MANY
        for number in range(turn * MANY, (turn + 1) * MANY):
            assert (there / f"f{number}").read_bytes() == b"%d" % number
            assert (there / f"f{number}").stat().st_size == len(b"%d" % number)


def test_the_last_that_was_made_is_opened_there_at_once(one: Path, other: Path) -> None:
    for turn in range(40):
        fill(one, 25, turn * 25)
        last = other / f"f{turn * 25 + 24}"
        assert last.read_bytes() == b"%d" % (turn * 25 + 24)


def test_what_is_removed_here_is_gone_there_and_its_name_free(one: Path, other: Path) -> None:
    for turn in range(6):
        here, there = (one, other) if turn % 2 == 0 else (other, one)
        fill(here)
        for number in range(MANY):
            (here / f"f{number}").unlink()
        assert count(there) == 0
        for number in range(MANY):
            with (there / f"f{number}").open("xb"):
                pass
            (there / f"f{number}").unlink()


def test_names_are_renamed_linked_and_replaced_there(one: Path, other: Path) -> None:
    fill(one)
    for number in range(0, MANY, 3):
        (other / f"f{number}").rename(other / f"g{number}")
        os.link(other / f"f{number + 1}", other / f"h{number}")
        (other / f"f{number + 2}").rename(other / f"f{number + 1}")
    fill(one, MANY, MANY)
    for number in range(0, MANY, 3):
        assert (one / f"g{number}").read_bytes() == b"%d" % number
        assert (one / f"h{number}").read_bytes() == b"%d" % (number + 1)
        assert (one / f"f{number + 1}").read_bytes() == b"%d" % (number + 2)
    assert names(one) == names(other)


def test_directories_that_another_mount_works_in_are_removed_only_when_empty(one: Path, other: Path) -> None:
    (one / "d").mkdir()
    fill(one / "d")
    with pytest.raises(OSError, match="not empty") as refused:
        (other / "d").rmdir()
    assert refused.value.errno == errno.ENOTEMPTY
    for number in range(MANY):
        (one / "d" / f"f{number}").unlink()
    (other / "d").rmdir()
    for _ in eventually(10.0):
        if not (one / "d").exists():
            break
    with pytest.raises(FileNotFoundError):
        (one / "d" / "late").touch()


def test_a_file_is_written_on_while_another_mount_takes_the_lease(one: Path, other: Path) -> None:
    fill(one)
    with (one / "open").open("wb", buffering=0) as file:
        file.write(b"before ")
        assert (other / "open").exists()
        file.write(b"after")
        (one / "f1").unlink()
        for _ in eventually(10.0):  # attributes may be believed for a second
            if (other / "open").stat().st_size == 12:
                break
    assert (other / "open").read_bytes() == b"before after"


def test_a_file_that_is_open_here_is_removed_there_and_stays_readable(one: Path, other: Path) -> None:
    fill(one)
    with (one / "f5").open("rb", buffering=0) as file, (one / "f6").open("rb", buffering=0) as second:
        (other / "f5").unlink()
        (one / "f6").unlink()
        fill(one, MANY, MANY)
        assert (file.read(10), second.read(10)) == (b"5", b"6")


def test_attributes_of_what_was_just_made_are_as_they_were_set(one: Path, other: Path) -> None:
    fill(one)
    for number in range(MANY):
        path = one / f"t{number}"
        path.write_bytes(b"content")
        path.chmod(0o640)
        os.utime(path, ns=(1_000_000_001, 2_000_000_002))
        state = path.stat()
        assert (state.st_mode & 0o7777, state.st_atime_ns, state.st_mtime_ns) == (0o640, 1_000_000_001, 2_000_000_002)
    for number in range(MANY):
        state = (other / f"t{number}").stat()
        assert (state.st_mode & 0o7777, state.st_size, state.st_mtime_ns) == (0o640, 7, 2_000_000_002)


def test_groups_and_default_lists_are_handed_down(one: Path, other: Path) -> None:
    os.chown(one, 0, 1234)
    one.chmod(0o2755)
    subprocess.run(["setfacl", "-d", "-m", "u:77:rwx,o::-", str(one)], check=True)
    fill(one)
    here = subprocess.run(["getfacl", "-cn", *sorted(map(str, one.iterdir()))], check=True, capture_output=True).stdout
    there = subprocess.run(
        ["getfacl", "-cn", *sorted(map(str, other.iterdir()))], check=True, capture_output=True
    ).stdout
    assert here == there
    assert here.count(b"user:77:rwx") == MANY
    assert {path.stat().st_gid for path in one.iterdir()} == {1234}


def test_many_small_files_come_and_go(one: Path, other: Path) -> None:
    for number in range(3000):
        path = one / f"f{number}"
        path.write_bytes(b"x" * (number % 50))
        if number >= 100:
            (one / f"f{number - 100}").unlink()
    assert count(other) == 100
    assert {path.stat().st_size for path in other.iterdir()} == set(range(50))


def test_two_mounts_make_files_in_one_directory_at_once(one: Path, other: Path) -> None:
    failed: list[BaseException] = []

    def work(place: Path, prefix: str) -> None:
        try:
            for number in range(150):
                (place / f"{prefix}{number}").write_bytes(prefix.encode())
                if number % 3 == 0:
                    (place / f"{prefix}{number}").unlink()
        except BaseException as error:  # noqa: BLE001 -- it is raised below
            failed.append(error)

    workers = [threading.Thread(target=work, args=each) for each in ((one, "a"), (other, "b"), (one, "c"))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    expected = sorted(f"{prefix}{number}" for prefix in "abc" for number in range(150) if number % 3)
    assert names(one) == expected
    assert names(other) == expected


def test_only_one_of_two_mounts_makes_a_name(one: Path, other: Path) -> None:
    fill(one)
    won: list[str] = []

    def work(place: Path, who: str) -> None:
        for number in range(40):
            try:
                with (place / f"x{number}").open("xb"):
                    won.append(f"{who}{number}")
            except FileExistsError:
                pass

    workers = [threading.Thread(target=work, args=each) for each in ((one, "a"), (other, "b"))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(int(name[1:]) for name in won) == list(range(40))


def test_nothing_is_lost_when_the_mrc_is_killed_while_it_has_not_heard_all(
    grid: FileGrid, one: Path, other: Path
) -> None:
    fill(one)
    process = grid.core.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    more = threading.Thread(target=fill, args=(one, 10, MANY))
    more.start()
    grid.core.kill()
    grid.core.start()
    more.join()
    assert count(other) == MANY + 10
    for number in range(MANY + 10):
        assert (other / f"f{number}").read_bytes() == b"%d" % number


def test_what_a_killed_mount_did_is_seen_and_its_directory_is_free_after_some_seconds(grid: FileGrid) -> None:
    mount = Mount(grid, "home", "suid,dev")
    grid.mounts.append(mount)
    mount.start()
    place = mount.path / "killed"
    place.mkdir()
    fill(place)
    sync(place)
    os.kill(mount.pid, signal.SIGKILL)
    there = grid.mounts[0].path / "killed"
    assert count(there) == MANY  # waits until the lease is taken
    (there / "new").write_bytes(b"")
    mount.end()


def test_a_holder_that_was_away_does_not_go_on_with_a_lease_that_was_taken(
    grid: FileGrid, one: Path, other: Path
) -> None:
    fill(one)
    sync(one)  # the last are told within 50 ms, else with this
    holder = grid.mounts[0].pid
    os.kill(holder, signal.SIGSTOP)
    try:
        assert count(other) == MANY
        (other / "new").write_bytes(b"new")
        (other / "f0").unlink()
    finally:
        os.kill(holder, signal.SIGCONT)
    assert (one / "new").read_bytes() == b"new"
    for _ in eventually(10.0):  # the kernel may believe in it for a second
        if not (one / "f0").exists():
            break
    fill(one, 10, MANY)
    assert names(other) == names(one) == sorted(["new", *(f"f{number}" for number in range(1, MANY + 10))])


def test_all_is_told_before_a_mount_ends(grid: FileGrid) -> None:
    mount = Mount(grid, "home", "suid,dev")
    grid.mounts.append(mount)
    mount.start()
    place = mount.path / "ending"
    place.mkdir()
    fill(place, 300)
    subprocess.run(["umount", str(mount.path)], check=True)
    there = grid.mounts[0].path / "ending"
    assert count(there) == 300
    mount.end()


def test_a_lease_can_be_turned_off(grid: FileGrid) -> None:
    mount = Mount(grid, "home", "suid,dev,leases=off")
    grid.mounts.append(mount)
    mount.start()
    place = mount.path / "off"
    place.mkdir()
    fill(place)
    assert count(grid.mounts[0].path / "off") == MANY
    shutil.rmtree(place)
    assert not (grid.mounts[0].path / "off").exists()
