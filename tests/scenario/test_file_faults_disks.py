# SPDX-License-Identifier: BSD-3-Clause
"""OSDs whose disks lie, are full, read-only or old, and OSDs that are slow: an errno or the right bytes, in time."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemons import Node, eventually
from support.disks import BLOCK, Disk
from support.filegrid import ROOT, FileGrid, Mount
from xos.xtreemfs.api import Ask, Layout, Policy, Update
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCXati

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and /dev/fuse"),
    pytest.mark.timeout(300),
]
PATIENCE = 10.0
"""Seconds, of the impatient mount."""
CONTENT = random.Random(1).randbytes(3 * BLOCK + 5)


class Faulty(FileGrid):
    """Three OSDs, a disk for each, a volume of each kind of file on all three, two mounts of each volume."""

    def __init__(self) -> None:
        super().__init__(3)
        self.disks = {node.name: Disk(node) for node in self.osds}
        self.names = iter(range(1000))

    def start(self) -> None:
        super().start()
        for volume, replicas in ((Update.NONE, 1), (Update.QUORUM, 3)):
            self.make_volume(volume.value, Policy(update=volume, replicas=replicas))
        self.writing = {update: self.mount(update.value) for update in (Update.NONE, Update.QUORUM)}
        self.writing[Update.READ_ONLY] = self.writing[Update.NONE]

    def remove(self) -> None:
        for node in self.osds:
            if node.process is not None and node.process.poll() is None:
                node.kill()
        for disk in self.disks.values():
            disk.remove()
        super().remove()

    def file(self, update: Update, content: bytes = CONTENT) -> File:
        """A new one, on the OSDs' disks."""
        for _ in eventually(60.0):  # the MRC looks every few seconds which OSDs there are, with which disks
            path = self.writing[update].path / f"file{next(self.names)}"
            try:
                with path.open("wb") as opened:
                    opened.write(content)
                    opened.flush()
                    os.fsync(opened.fileno())
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EIO):
                    raise
                continue
            file = File(self, path, path.stat().st_ino)
            if not file.placed_well:
                continue
            if update is Update.READ_ONLY:
                self._freeze(file.inode, 2)
            if file.placed_well:  # its second replica too
                break
        if update is Update.READ_ONLY:
            for _ in eventually(60.0):
                if all(replica.complete for replica in file.layout.replicas):
                    break
        return file

    def _freeze(self, inode: int, replicas: int) -> None:
        with self.bus() as bus:
            for _ in eventually(30.0):  # the MRC hears a moment later that it was closed
                with contextlib.suppress(Refused):
                    MRCXati(bus).change_layout(inode, replicas, Update.READ_ONLY, (), Ask(claim=ROOT), deadline=30.0)
                    break

    def anew(self, update: Update, options: str = "suid,dev") -> Mount:
        """A mount that has nothing of what others have read."""
        return self.mount(self.writing[update].volume, options)


class File:
    """One, and where it is."""

    def __init__(self, grid: Faulty, path: Path, inode: int) -> None:
        self.grid, self.path, self.inode = grid, path, inode

    @property
    def layout(self) -> Layout:
        with self.grid.bus() as bus:
            return MRCXati(bus).layout(self.inode, ROOT)

    @property
    def primary(self) -> Node:
        """Whom clients ask, as long as it answers."""
        return self.nodes[self.layout.primary]

    @property
    def nodes(self) -> list[Node]:
        by_name = {node.name: node for node in self.grid.osds}
        return [by_name[replica.osds[0]] for replica in self.layout.replicas]

    @property
    def placed_well(self) -> bool:
        """Whether it is on the disks that there are: an earlier test may have changed one a moment ago."""
        replicas = self.layout.replicas
        return all(self.grid.disks[one.osds[0]].store == one.stores[0] for one in replicas)

    def disk(self, node: Node) -> Disk:
        return self.grid.disks[node.name]

    def read(self, mount: Mount) -> bytes:
        return (mount.path / self.path.name).read_bytes()

    def write(self, content: bytes, mount: Mount | None = None) -> float:
        """Over its beginning, through fsync(2); how long that took, seconds."""
        began = time.monotonic()
        path = self.path if mount is None else mount.path / self.path.name
        fd = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, content, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def grid() -> Iterator[Faulty]:
    made = Faulty()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def stopped(node: Node) -> Iterator[None]:
    """It runs before and after, but not meanwhile."""
    node.stop()
    try:
        yield
    finally:
        node.start()


# --- a disk that lies


@pytest.mark.parametrize("sums", [False, True], ids=["bytes", "sums"])
@pytest.mark.parametrize("update", [Update.NONE, Update.READ_ONLY, Update.QUORUM])
def test_damage_is_an_error_or_mended_and_never_wrong_bytes(grid: Faulty, update: Update, sums: bool) -> None:
    file = grid.file(update)
    for node in [file.primary] if update is Update.NONE else file.nodes[:1]:
        file.disk(node).damage(file.inode, sums=sums)
    reading = grid.anew(update)
    if update is Update.NONE:
        with pytest.raises(OSError, match="Input/output"):
            file.read(reading)
        with (reading.path / file.path.name).open("rb") as opened:
            assert os.pread(opened.fileno(), 5, 3 * BLOCK) == CONTENT[-5:], "what is not damaged is read"
    else:
        assert file.read(reading) == CONTENT
    reading.end()


def test_damage_on_all_but_one_replica_is_mended_from_that(grid: Faulty) -> None:
    file = grid.file(Update.QUORUM)
    for node in file.nodes[:2]:
        file.disk(node).damage(file.inode)
    reading = grid.anew(Update.QUORUM)
    assert file.read(reading) == CONTENT
    reading.end()


# --- one that is full


def test_a_full_disk_is_enospc_and_keeps_what_it_had(grid: Faulty) -> None:
    file = grid.file(Update.NONE)
    disk = file.disk(file.primary)
    disk.fill()
    with pytest.raises(OSError, match="No space left") as raised:
        file.write(bytes(4 << 20))
    assert raised.value.errno == errno.ENOSPC
    reading = grid.anew(Update.NONE)
    assert file.read(reading)[len(CONTENT) - 5 : len(CONTENT)] in (CONTENT[-5:], bytes(5))
    disk.make_room()
    file.write(CONTENT)
    assert file.read(reading)[: len(CONTENT)] == CONTENT
    reading.end()


@pytest.mark.parametrize("which", ["primary", "other"])
def test_one_full_disk_of_three_loses_nothing(grid: Faulty, which: str) -> None:
    file = grid.file(Update.QUORUM)
    node = file.primary if which == "primary" else next(one for one in file.nodes if one.name != file.primary.name)
    disk = file.disk(node)
    disk.fill()
    new = CONTENT[::-1] * 8
    if which == "primary":
        with pytest.raises(OSError, match="No space left"):
            file.write(new)
        disk.make_room()
        file.write(new)
    else:
        file.write(new)
        disk.make_room()
    reading = grid.anew(Update.QUORUM)
    assert file.read(reading) == new
    reading.end()


# --- one that has become read-only


@pytest.mark.parametrize("update", [Update.NONE, Update.READ_ONLY, Update.QUORUM])
def test_a_disk_that_has_become_read_only_is_read_and_others_are_written(grid: Faulty, update: Update) -> None:
    file = grid.file(update)
    node = file.primary
    disk = file.disk(node)
    with stopped(node):
        disk.set("ro")
    try:
        reading = grid.anew(update)
        assert file.read(reading) == CONTENT
        if update is Update.NONE:
            with pytest.raises(OSError, match="Input/output"):
                file.write(b"new")
            assert file.read(reading) == CONTENT
        elif update is Update.QUORUM:
            assert file.write(b"new") < PATIENCE
            assert file.read(reading) == b"new" + CONTENT[3:]
        reading.end()
    finally:
        with stopped(node):
            disk.set("rw")
    if update is not Update.READ_ONLY:
        file.write(b"newer")
    reading = grid.anew(update)
    assert file.read(reading) == (CONTENT if update is Update.READ_ONLY else b"newer" + CONTENT[5:])
    reading.end()


# --- one that was away


@pytest.mark.parametrize("which", ["primary", "other"])
def test_a_replica_that_returns_with_an_old_state_is_brought_up(grid: Faulty, which: str) -> None:
    file = grid.file(Update.QUORUM)
    node = file.primary if which == "primary" else next(one for one in file.nodes if one.name != file.primary.name)
    with stopped(node):
        kept = file.disk(node).copy()
    file.write(b"new")
    with stopped(node):
        file.disk(node).set_back(kept)
    reading = grid.anew(Update.QUORUM)
    assert file.read(reading) == b"new" + CONTENT[3:]
    # With another one away the majority needs the one that was set back.
    other = next(one for one in file.nodes if one.name not in (node.name, file.primary.name))
    with stopped(other):
        file.write(b"newer")
        assert file.read(reading) == b"newer" + CONTENT[5:]
    reading.end()


@pytest.mark.parametrize("update", [Update.NONE, Update.READ_ONLY, Update.QUORUM])
def test_a_replica_that_returns_with_an_empty_disk_is_no_hole(grid: Faulty, update: Update) -> None:
    file = grid.file(update)
    node = file.primary
    kept = file.disk(node).copy()  # other tests' files are on it
    with stopped(node):
        file.disk(node).empty()
    reading = grid.anew(update)
    try:
        if update is Update.NONE:
            with pytest.raises(OSError, match="Input/output"):
                file.read(reading)
        else:
            assert file.read(reading) == CONTENT
    finally:
        with stopped(node):
            file.disk(node).set_back(kept)
    reading.end()


# --- one that is slow


def _bursts(node: Node, until: threading.Event) -> None:
    """It runs a third of the time."""
    assert node.process is not None
    while not until.is_set():
        node.process.send_signal(signal.SIGSTOP)
        until.wait(0.4)
        node.process.send_signal(signal.SIGCONT)
        until.wait(0.2)


@contextlib.contextmanager
def slow(node: Node) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=_bursts, args=(node, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("update", [Update.NONE, Update.READ_ONLY, Update.QUORUM])
def test_a_slow_osd_makes_nothing_wrong(grid: Faulty, update: Update) -> None:
    file = grid.file(update)
    reading = grid.anew(update)
    with slow(file.primary):
        assert file.read(reading) == CONTENT
        for turn in range(10) if update is not Update.READ_ONLY else ():
            file.write(b"%d" % turn)
            assert file.read(reading) == b"%d" % turn + CONTENT[1:]
    reading.end()


def test_an_osd_that_stands_still_is_an_error_after_the_patience_of_the_mount(grid: Faulty) -> None:
    file = grid.file(Update.NONE)
    impatient = grid.anew(Update.NONE, f"suid,dev,patience={PATIENCE:.0f}")
    node = file.primary
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        assert _failing(lambda: file.read(impatient)) < PATIENCE + 20.0
        assert _failing(lambda: file.write(b"new", impatient)) < PATIENCE + 20.0
    finally:
        node.process.send_signal(signal.SIGCONT)
    for _ in eventually(30.0):
        with contextlib.suppress(OSError):
            file.write(b"newer", impatient)
            break
    assert file.read(impatient)[:5] == b"newer"
    impatient.end()


def _failing(work: Callable[[], object]) -> float:
    """Seconds until it has failed with EIO."""
    began = time.monotonic()
    with pytest.raises(OSError, match="Input/output"):
        work()
    return time.monotonic() - began
