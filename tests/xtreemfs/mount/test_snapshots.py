# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots of a volume that is written to, on mounts of real daemons, some of which are killed meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import ROOT, FileGrid, file_grid
from xos.common.errors import XosError
from xos.xtreemfs.api import Ask, Policy, Striping, Update, Volume
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import DIRXati, MRCXati

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(180),
]
WRITER = """
import os, sys
first, second = (os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in sys.argv[1:])
number = 0
while True:
    number += 1
    for fd in (first, second):
        os.pwrite(fd, b"%07d\\n" % number * 20_000, 0)
        os.fsync(fd)
    print(number, flush=True)
"""
"""Writes a number all over one file, then over another, then says it."""


@pytest.fixture
def grid() -> Iterator[FileGrid]:
    striped = Policy(striping=Striping(64 << 10, 2))
    with file_grid(3, striped=striped, safe=Policy(update=Update.QUORUM, replicas=3)) as made:
        yield made


class Writer:
    """A program that writes to two files of a mount."""

    def __init__(self, place: Path) -> None:
        argv = [sys.executable, "-c", WRITER, str(place / "first"), str(place / "second")]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/")
        self.last = 0
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last = int(line)

    def said(self, more: int = 1) -> int:
        """The last number, once so many further ones were said."""
        wanted = self.last + more
        for _ in eventually(60.0):
            if self.last >= wanted:
                break
        return self.last

    def end(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self._listener.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def writing(place: Path) -> Iterator[Writer]:
    writer = Writer(place)
    try:
        writer.said()
        yield writer
    finally:
        writer.end()


def until_placed(place: Path) -> None:
    """The MRC has heard of enough OSDs."""
    for _ in eventually(30.0):
        try:
            (place / "first").touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        else:
            return


def snapshot(grid: FileGrid, volume: str, name: str, seconds: float = 60.0) -> Volume:
    """Made; an OSD that restarts is waited for."""
    with grid.bus() as bus:
        for _ in eventually(seconds):
            try:
                MRCXati(bus).make_snapshot(volume, name, "/", Ask(claim=ROOT), deadline=30.0)
            except Refused as error:
                if error.data["errno"] == errno.EEXIST:  # it was made, and nobody heard the answer
                    break
                if error.data["errno"] != errno.EAGAIN:
                    raise
            except XosError:
                continue
            else:
                break
        (made,) = (one for one in MRCXati(bus).snapshots(volume) if one.name == f"{volume}@{name}")
        for _ in eventually(seconds):
            if any(one.name == made.name for one in DIRXati(bus).volumes()):
                return made
    raise AssertionError(name)


def numbers_in(path: Path) -> tuple[int, int]:
    """The numbers that a file is full of: of a write that was under way at the moment it may have a part."""
    content = path.read_bytes()
    numbers = {int(word) for word in content.split()}
    assert len(content) == 8 * 20_000
    assert max(numbers) <= min(numbers) + 1
    return min(numbers), max(numbers)


def check_moment(place: Path, before: int, after: int) -> tuple[int, int]:
    """Both files are of one moment between two numbers that were said: nothing is there without what came before."""
    first, second = numbers_in(place / "first"), numbers_in(place / "second")
    assert before <= second[0] <= second[1] <= first[0] <= first[1] <= second[0] + 1
    assert first[1] <= after + 1
    return first[1], second[1]


def tree(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("volume", ["striped", "safe"])
def test_a_snapshot_is_of_one_moment_while_programs_write_and_stays_so(grid: FileGrid, volume: str) -> None:
    mount = grid.mount(volume)
    until_placed(mount.path)
    for name in ("kept", "deleted", "replaced"):
        (mount.path / name).write_bytes(name.encode() * 50_000)
    with writing(mount.path) as writer:
        before = writer.said(3)
        snapshot(grid, volume, "one")
        after = writer.last
        there = grid.mount(f"{volume}@one").path
        seen = tree(there)
        first, _ = check_moment(there, before, after)
        (mount.path / "deleted").unlink()
        (mount.path / "replaced").write_bytes(b"another")
        writer.said(3)
        snapshot(grid, volume, "two")
        writer.said(2)
    assert seen["deleted"] == b"deleted" * 50_000
    assert seen["replaced"] == b"replaced" * 50_000
    again = grid.mount(f"{volume}@one").path  # which has nothing in its cache
    assert tree(again) == seen
    two = grid.mount(f"{volume}@two").path
    assert numbers_in(two / "first")[0] > first
    assert (two / "replaced").read_bytes() == b"another"
    assert not (two / "deleted").exists()
    for change in ("touch new", "rm kept", "truncate -s 0 kept", "chmod 777 kept", "mkdir d"):
        said = mount.sh(f"cd {again}; {change} || true")
        assert os.strerror(errno.EROFS) in said
    mount.sh(f"cp -a {again}/deleted . && cmp {again}/deleted deleted")


@pytest.mark.parametrize("victim", ["core", "osd1"])
def test_a_snapshot_stays_what_it_is_although_daemons_are_killed_while_it_is_made(grid: FileGrid, victim: str) -> None:
    mount = grid.mount("striped")
    until_placed(mount.path)
    node = next(one for one in grid.nodes if one.name == victim)
    seen: dict[str, dict[str, bytes]] = {}
    with writing(mount.path) as writer:
        for name in ("one", "two"):
            with grid.bus() as bus:
                before = writer.said()
                with contextlib.suppress(XosError):  # it goes on there when nobody waits for it any more
                    MRCXati(bus).make_snapshot("striped", name, "/", Ask(claim=ROOT), deadline=0.05)
                node.kill()
                node.start()
            made = snapshot(grid, "striped", name)
            after = writer.last
            there = grid.mount(made.name).path
            check_moment(there, before, after)
            seen[name] = tree(there)
            writer.said(2)
            node.kill()
            node.start()
            writer.said(2)
    for name, content in seen.items():
        assert tree(grid.mount(f"striped@{name}").path) == content
