# SPDX-License-Identifier: BSD-3-Clause
"""Open directories: how old what the kernel is given of one may be.

The MRC is a list here, since its answers must be held back and changed at will; `test_mount.py` has a real one.
"""

from __future__ import annotations

import asyncio
import stat
import time
from typing import Any

import pytest

from xos.xtreemfs.api import Changed, Claim, Inode, Row, What
from xos.xtreemfs.fuse.values import Caller, DirectoryEntry
from xos.xtreemfs.mount.directories import PAGE
from xos.xtreemfs.mount.filesystem import VolumeNames
from xos.xtreemfs.mount.identities import UserIdentities

HOME, DIRECTORY = 1, 50
CALLER = Caller(1000, 1000, 7)
BILLION = 1_000_000_000


class Volume:
    """One directory of 300 names; counts what it is asked."""

    root = HOME

    def __init__(self) -> None:
        self.on_change: Any = None
        self.size = 0
        self.asked: list[int] = []
        self.answering = asyncio.Event()
        self.answering.set()

    def seen(self, inode: Inode) -> Inode:
        return inode

    def known(self, number: int) -> None:
        """Nothing is leased."""

    async def getattr(self, number: int) -> Inode:
        return Inode(number, stat.S_IFDIR | 0o755, 2, "a", "g", 0, 0, 0, 0, 0, HOME)

    async def readdir(self, inode: int, after: int, most: int, claim: Claim | None) -> list[Row]:  # noqa: ARG002
        self.asked.append(after)
        rows = [Row(n, b"f%d" % n, self.file(n)) for n in range(after + 1, min(after + most, 300) + 1)]
        await self.answering.wait()
        return rows

    def file(self, n: int) -> Inode:
        return Inode(100 + n, stat.S_IFREG | 0o644, 1, "a", "g", self.size, 0, 0, 0, 0)


class Listing:
    """As the kernel lists the directory."""

    def __init__(self) -> None:
        self.volume = Volume()
        volume: Any = self.volume
        self.fs = VolumeNames(volume, UserIdentities("a", ("g",), 1000, 1000))
        self.fh = self.fs.opendir(CALLER, DIRECTORY, 0).fh

    async def first_behind(self, row: int) -> DirectoryEntry:
        rows = await self.fs.readdir(CALLER, DIRECTORY, self.fh, row + 2, plus=True)
        return next(iter(rows))


@pytest.fixture
async def listing() -> Listing:
    return Listing()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day stays; only what the mount counts with moves."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


async def test_a_page_serves_many_requests_of_the_kernel(listing: Listing) -> None:
    assert PAGE > 300
    for row in (0, 100, 200):
        assert (await listing.first_behind(row)).name == b"f%d" % (row + 1)
    assert listing.volume.asked == [0]


async def test_what_a_page_says_is_believed_since_the_mrc_was_asked(listing: Listing, clock: list[float]) -> None:
    await listing.first_behind(1)
    clock[0] += 0.75
    row = await listing.first_behind(100)
    assert listing.volume.asked == [1]
    assert row.entry is not None
    assert row.entry.entry_valid_ns == row.entry.attr_valid_ns == BILLION // 4


async def test_a_page_that_is_old_is_asked_for_anew(listing: Listing, clock: list[float]) -> None:
    await listing.first_behind(1)
    clock[0] += 1.0
    listing.volume.size = 5
    row = await listing.first_behind(100)
    assert listing.volume.asked == [1, 100]
    assert row.entry is not None
    assert (row.entry.attr.size, row.entry.entry_valid_ns) == (5, BILLION)


@pytest.mark.parametrize("what", [Changed(What.ENTRY, DIRECTORY, b"f101"), None])
async def test_a_directory_that_changed_is_asked_for_anew(listing: Listing, what: Changed | None) -> None:
    await listing.first_behind(1)
    await listing.volume.on_change(what)
    await listing.first_behind(100)
    assert listing.volume.asked == [1, 100]


async def test_what_changed_while_a_page_was_under_way_is_asked_for_anew(listing: Listing) -> None:
    listing.volume.answering.clear()
    under_way = asyncio.create_task(listing.first_behind(1))
    await asyncio.sleep(0)
    listing.fs.touched(DIRECTORY, listing.volume.file(101))
    listing.volume.answering.set()
    await under_way
    await listing.first_behind(100)
    assert listing.volume.asked == [1, 100]


async def test_a_file_that_is_better_known_is_shown_as_it_is_known(listing: Listing, clock: list[float]) -> None:
    await listing.first_behind(1)
    clock[0] += 0.5
    listing.volume.size = 7
    listing.fs.learn(listing.volume.file(101))
    row = await listing.first_behind(100)
    assert row.entry is not None
    assert (row.entry.attr.size, row.entry.attr_valid_ns) == (7, BILLION // 2)


async def test_a_directory_that_was_closed_while_it_was_read_is_not_kept(listing: Listing) -> None:
    listing.volume.answering.clear()
    under_way = asyncio.create_task(listing.first_behind(1))
    await asyncio.sleep(0)
    listing.fs.releasedir(CALLER, DIRECTORY, listing.fh)
    listing.volume.answering.set()
    await under_way
    await listing.first_behind(100)
    assert listing.volume.asked == [1, 100]
