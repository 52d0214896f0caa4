# SPDX-License-Identifier: BSD-3-Clause
"""How much is read ahead of who opens small files in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from xos.xtreemfs.api import Beginning, Inode
from xos.xtreemfs.client.early import LEAST_LEFT, MOST_KEPT, EarlyReads
from xos.xtreemfs.client.grants import Grant, Right
from xos.xtreemfs.client.leases import File, Numbers

SIZE = 32 << 10


class Reserved:
    """As far as a reserve is looked at here."""

    read = turns = asked = 0
    follows = Numbers.follows

    def __init__(self, last: int) -> None:
        self.last = last


class Osd:
    """A grant, and the OSD behind it."""

    def __init__(self) -> None:
        self.layout = SimpleNamespace(striping=SimpleNamespace(size=128 << 10))
        self.calls: list[list[int]] = []

    async def borrow(self, place: int, work: Callable[[Any, Right, float], Awaitable[Any]]) -> Any:
        assert place == 0
        return await work(self, Right(bytes(24), None), 1.0)

    async def read_beginnings(
        self, token: bytes, files: list[Beginning], shown: None, *, deadline: float
    ) -> list[bytes]:
        assert (len(token), shown, deadline) == (16, None, 1.0)
        self.calls.append([one.inode for one in files])
        return [bytes(one.length) for one in files]


def reserve(files: dict[int, File], first: int, count: int) -> Numbers:
    made = cast("Numbers", Reserved(first + count - 1))
    for number in range(first, first + count):
        inode = Inode(number, 0o100644, 1, "a@v", "a@v", SIZE, 0, 0, 0, 0)
        files[number] = File(number, inode, made)
    return made


def test_what_is_kept_for_nobody_is_bounded() -> None:
    async def run() -> None:
        files: dict[int, File] = {}
        osd = Osd()
        early = EarlyReads(files, lambda _: False)
        for first in range(1, 40_000, 1000):
            numbers = reserve(files, first, 256)
            for number in range(first, first + 3):
                early.opened(files[number], numbers, cast("Grant", osd))
            await asyncio.sleep(0)
            assert early.size <= MOST_KEPT
        assert len(osd.calls) == 40
        assert early.size > MOST_KEPT - (1 << 20)
        early.clear()
        assert early.size == 0

    asyncio.run(run())


def test_each_file_is_asked_for_once_and_those_written_here_are_not() -> None:
    async def run() -> None:
        files: dict[int, File] = {}
        osd = Osd()
        early = EarlyReads(files, lambda number: number == 1077)
        numbers = reserve(files, 1001, 256)
        there = 0
        for number in range(1001, 1257):
            found = early.opened(files[number], numbers, cast("Grant", osd))
            if found is not None:
                await found.arrived()
                found.until = float("inf")
                content = found.at_hand(0, SIZE, SIZE)
                assert content is not None
                assert bytes(content) == bytes(SIZE)
                there += 1
        asked = [number for call in osd.calls for number in call]
        assert asked == [number for number in range(1003, 1257) if number != 1077]
        assert there == len(asked)
        assert early.size == 0

    asyncio.run(run())


def test_files_at_random_are_not_read_ahead() -> None:
    async def run() -> None:
        files: dict[int, File] = {}
        osd = Osd()
        early = EarlyReads(files, lambda _: False)
        numbers = reserve(files, 1, 256)
        for number in range(1, 257, LEAST_LEFT):
            assert early.opened(files[number], numbers, cast("Grant", osd)) is None
            assert early.opened(files[257 - number], numbers, cast("Grant", osd)) is None
        await asyncio.sleep(0)
        assert osd.calls == []

    asyncio.run(run())
