# SPDX-License-Identifier: BSD-3-Clause
"""Reading ahead for look-ups: what is answered from memory, for whom, for how long, and what changes meanwhile.

The MRC is a list here, since its answers must be held back at will; `test_mount.py` has a real one.
"""

from __future__ import annotations

import asyncio
import errno
import stat
from types import SimpleNamespace
from typing import Any

import pytest

from xos.dixi.errors import UnknownMethod
from xos.xtreemfs.api import Claim, Inode, Row
from xos.xtreemfs.mount import ahead
from xos.xtreemfs.mount.ahead import Ahead, Kept

HOME = 1
ALICE, BOB = Claim("alice@demo", ("users@demo",), "users@demo"), Claim("bob@demo", ("users@demo",), "users@demo")


class Volume:
    """One directory of 1,000 names; counts what it is asked."""

    def __init__(self) -> None:
        self.names = [b"f%03d" % number for number in range(1000)]
        self.mode = 0o644
        self.asked: list[tuple[bytes, int]] = []
        self.refusal: OSError | None = None
        self.answering = asyncio.Event()
        self.answering.set()
        self.held = asyncio.Event()
        """Set once an answer is held back."""

    def seen(self, inode: Inode) -> Inode:
        return inode

    def inode(self, name: bytes) -> Inode:
        if name not in self.names:
            raise OSError(errno.ENOENT, "no such name")
        return Inode(100 + int(name[1:]), stat.S_IFREG | self.mode, 1, "a", "g", 0, 0, 0, 0, 0)

    async def lookup(self, parent: int, name: bytes, claim: Claim | None) -> Inode:  # noqa: ARG002
        self.asked.append((name, 1))
        return self.inode(name)

    async def look_ahead(self, parent: int, name: bytes, most: int, claim: Claim | None) -> list[Row]:  # noqa: ARG002
        self.asked.append((name, most))
        if self.refusal is not None:
            raise self.refusal
        self.inode(name)
        at = self.names.index(name)
        rows = [Row(at + n, each, self.inode(each)) for n, each in enumerate(self.names[at : at + most])]
        if not self.answering.is_set():
            self.held.set()
        await self.answering.wait()
        return rows


class Looking:
    """As the mount looks names up."""

    def __init__(self) -> None:
        self.volume = Volume()
        self.kept: Kept = {}
        volume: Any = self.volume
        self.ahead = Ahead(volume, self.kept)

    async def up(self, name: bytes, claim: Claim | None = ALICE) -> Inode:
        found = self.ahead.find(HOME, name, claim)
        return found.inode if found is not None else await self.ahead.lookup(HOME, name, claim)

    async def all(self, names: list[bytes]) -> None:
        for name in names:
            await self.up(name)


@pytest.fixture
async def looking() -> Looking:
    return Looking()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("xos.xtreemfs.mount.ahead.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


async def test_a_thousand_names_in_order_take_a_few_calls(looking: Looking) -> None:
    await looking.all(looking.volume.names)
    assert [most for _, most in looking.volume.asked] == [1, 1, 8, 32, 128, 256, 256, 256, 256]


async def test_names_here_and_there_are_not_read_ahead_for_long(looking: Looking) -> None:
    await looking.all(looking.volume.names[::-1])
    rows = sum(most for _, most in looking.volume.asked)
    assert len(looking.volume.asked) == 1000
    assert rows < 1000 * 1.5


async def test_nothing_is_believed_for_longer_than_a_second(looking: Looking, clock: list[float]) -> None:
    names = looking.volume.names
    await looking.all(names[:3])
    clock[0] += 0.4
    found = looking.ahead.find(HOME, names[3], ALICE)
    assert found is not None
    assert found.left == pytest.approx(0.6)
    clock[0] += 0.7
    assert looking.ahead.find(HOME, names[4], ALICE) is None


async def test_only_those_are_answered_whom_the_mrc_has_answered_meanwhile(looking: Looking) -> None:
    names = looking.volume.names
    await looking.all(names[:3])
    assert looking.ahead.find(HOME, names[3], BOB) is None
    looking.volume.asked.clear()
    await looking.ahead.lookup(HOME, b"f900", BOB)
    assert looking.ahead.find(HOME, names[4], BOB) is not None


async def test_a_right_that_may_have_gone_is_asked_for_again(looking: Looking) -> None:
    names = looking.volume.names
    await looking.all(names[:3])
    looking.ahead.changed(HOME)
    assert looking.ahead.find(HOME, names[3], ALICE) is None
    assert not any(number in looking.kept for number in range(103, 110))


async def test_a_name_that_went_is_not_answered(looking: Looking) -> None:
    names = looking.volume.names
    await looking.all(names[:3])
    looking.ahead.gone(HOME, names[3])
    assert looking.ahead.find(HOME, names[3], ALICE) is None
    assert looking.ahead.find(HOME, names[4], ALICE) is not None


async def test_what_changes_while_entries_are_under_way_is_not_kept_as_it_was(looking: Looking) -> None:
    names = looking.volume.names
    await looking.all(names[:2])
    looking.volume.answering.clear()
    under_way = asyncio.create_task(looking.ahead.lookup(HOME, names[2], ALICE))
    await looking.volume.held.wait()
    assert (await looking.up(b"f500")).id == 600  # others are not read ahead meanwhile
    looking.ahead.gone(HOME, names[3])
    looking.ahead.changed(104)
    looking.volume.answering.set()
    await under_way
    assert looking.ahead.find(HOME, names[3], ALICE) is None
    assert looking.ahead.find(HOME, names[4], ALICE) is None
    assert looking.ahead.find(HOME, names[5], ALICE) is not None


@pytest.mark.parametrize("what", ["directory", "everything"])
async def test_entries_under_way_are_dropped_when_that_may_all_have_changed(looking: Looking, what: str) -> None:
    names = looking.volume.names
    await looking.all(names[:2])
    looking.volume.answering.clear()
    under_way = asyncio.create_task(looking.ahead.lookup(HOME, names[2], ALICE))
    await looking.volume.held.wait()
    if what == "directory":
        looking.ahead.changed(HOME)
    else:
        looking.ahead.clear()
    looking.volume.answering.set()
    await under_way
    assert all(looking.ahead.find(HOME, name, ALICE) is None for name in names)


@pytest.mark.parametrize("old", [False, True], ids=["may not list", "an older MRC"])
async def test_who_may_not_list_looks_up_one_by_one(looking: Looking, old: bool) -> None:
    looking.volume.refusal = OSError(errno.EIO if old else errno.EACCES, "no")
    if old:
        looking.volume.refusal.__cause__ = UnknownMethod(service="MRC", method="look_ahead")
    await looking.all(looking.volume.names[:60])
    assert [most for _, most in looking.volume.asked].count(8) == 1
    assert len(looking.volume.asked) == 61


async def test_a_name_that_is_not_there_is_said_so(looking: Looking) -> None:
    await looking.all(looking.volume.names[:2])
    with pytest.raises(OSError, match="no such name") as raised:
        await looking.up(b"f9999")
    assert raised.value.errno == errno.ENOENT


async def test_many_directories_are_not_remembered_for_ever(looking: Looking) -> None:
    for parent in range(2, 2 + 3 * ahead.MOST_DIRECTORIES):
        for name in looking.volume.names[:3]:
            await looking.ahead.lookup(parent, name, ALICE)
    assert len(looking.ahead._directories) == ahead.MOST_DIRECTORIES
