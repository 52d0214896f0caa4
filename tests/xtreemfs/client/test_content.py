# SPDX-License-Identifier: BSD-3-Clause
"""The bytes of an open file, with an OSD in memory that is slow or fails when a test wants it."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from xos.common.signing import Signed
from xos.xtreemfs.api import MOST_PARTS, Access, Capability, Inode, Layout, Part, Replica, Striping
from xos.xtreemfs.client.content import Budget, Content
from xos.xtreemfs.client.grants import Grant, Right
from xos.xtreemfs.client.sending import PIECE


class MemoryOsd(Grant):
    """A grant whose OSD is a bytearray."""

    def __init__(self) -> None:
        self.capability = Capability("f", Access.WRITE, "me", 0, 0, Layout(Striping(), (Replica(("osd1",)),)))
        self.share = bytearray()
        self.open = asyncio.Event()
        self.open.set()
        self.full = False
        self.writes = 0

    async def at(self, place: int, work: Callable[..., Awaitable[Any]], *, reads: bool) -> Any:  # noqa: ARG002
        return await work(self, Right(b"", None), 1.0)

    async def write(
        self,
        token: bytes,  # noqa: ARG002
        offset: int,
        content: bytes,
        number: int,  # noqa: ARG002
        shown: Signed | None,  # noqa: ARG002
        *,
        deadline: float,  # noqa: ARG002
    ) -> None:
        await self.open.wait()
        if self.full:
            raise OSError(errno.ENOSPC, "the OSD has no room left")
        self.writes += 1
        self.share += bytes(max(offset + len(content) - len(self.share), 0))
        self.share[offset : offset + len(content)] = content

    async def write_parts(
        self, token: bytes, parts: list[Part], content: bytes, number: int, shown: Signed | None, *, deadline: float
    ) -> None:
        await self.open.wait()
        for part in parts:
            await self.write(token, part.offset, content[: part.length], number, shown, deadline=deadline)
            self.writes -= 1
            content = content[part.length :]
        self.writes += 1
        assert not content

    async def read(self, token: bytes, offset: int, length: int, shown: Signed | None, *, deadline: float) -> bytes:  # noqa: ARG002
        return bytes(self.share[offset : offset + length])


def opened(budget: Budget | None = None) -> tuple[Content, MemoryOsd]:
    content = Content(Inode(1, 0o100644, 1, "a@b", "c@b", 0, 0, 0, 0, 0), budget or Budget(), lambda: 1)
    osd = MemoryOsd()
    content.reader = content.writer = osd
    return content, osd


async def test_an_error_is_told_once_by_who_waits_for_the_bytes() -> None:
    content, osd = opened()
    osd.full = True
    await content.write(0, b"lost")
    await content.landed()  # what goes on behind the program's back swallows nothing
    with pytest.raises(OSError, match="no room") as told:
        await content.settle()
    assert told.value.errno == errno.ENOSPC
    osd.full = False
    await content.write(4, b"kept")
    assert (await content.settle()).size == 8
    assert osd.share == bytes(4) + b"kept"


async def test_small_writes_go_out_as_one() -> None:
    content, osd = opened()
    for at in range(0, PIECE - 4096, 4096):
        await content.write(at, bytes(4096))
    assert osd.writes == 0
    await content.settle()
    assert osd.writes == 1


@pytest.mark.parametrize("width", [1, 3])
async def test_writes_all_over_a_file_take_few_calls(width: int) -> None:
    content, osd = opened()
    row = tuple(f"osd{number}" for number in range(width))
    osd.capability = msgspec.structs.replace(
        osd.capability, layout=Layout(Striping(size=4096, width=width), (Replica(row),))
    )
    shares = {place: MemoryOsd() for place in range(width)}

    async def at(place: int, work: Callable[..., Awaitable[Any]], *, reads: bool) -> Any:
        return await shares[place].at(place, work, reads=reads)

    osd.at = at  # type: ignore[method-assign]
    chance, written = random.Random(2), bytearray(2 << 20)
    for at_ in chance.sample(range(0, len(written) - 4096, 1024), 1000):
        piece = chance.randbytes(700)
        await content.write(at_, piece)
        written[at_ : at_ + len(piece)] = piece
    await content.settle()
    assert sum(share.writes for share in shares.values()) == width
    assert await content.read(0, content.size) == written[: content.size]


async def test_tiny_writes_set_out_before_they_are_too_many_for_one_call() -> None:
    content, osd = opened()
    for at in range(MOST_PARTS + 1):
        await content.write(2 * at, b"x")
    await content.settle()
    assert osd.writes == 2
    assert osd.share == b"x" + b"\0x" * MOST_PARTS


@pytest.mark.parametrize("size", [4096, 128 << 10, 3 << 20])
async def test_a_striped_file_takes_a_call_for_each_osd_and_mebibyte(size: int) -> None:
    content, osd = opened()
    osd.capability = msgspec.structs.replace(
        osd.capability, layout=Layout(Striping(size=size, width=3), (Replica(("osd1", "osd2", "osd3")),))
    )
    shares = {place: MemoryOsd() for place in range(3)}

    async def at(place: int, work: Callable[..., Awaitable[Any]], *, reads: bool) -> Any:
        return await shares[place].at(place, work, reads=reads)

    osd.at = at  # type: ignore[method-assign]
    written = random.Random(1).randbytes(3 * PIECE + 12_345)
    await content.write(0, written)
    await content.settle()
    assert sum(share.writes for share in shares.values()) <= 6
    assert sum(len(share.share) for share in shares.values()) == len(written)
    for offset, length in ((0, len(written)), (5, 2 * PIECE), (PIECE - 1, 4098), (len(written) - 3, 100)):
        assert await content.read(offset, length) == written[offset : offset + length]
    await content.write(PIECE - 2, b"four")
    assert (
        bytes(await content.read(PIECE - 4, 8))
        == written[PIECE - 4 : PIECE - 2] + b"four" + written[PIECE + 2 : PIECE + 4]
    )


async def test_a_later_write_of_the_same_bytes_comes_later() -> None:
    content, osd = opened()
    osd.open.clear()
    await content.write(0, b"a" * PIECE)  # sets out, and waits
    await content.write(10, b"b" * PIECE)
    assert await content.read(5, 10) == b"a" * 5 + b"b" * 5
    osd.open.set()
    await content.settle()
    assert osd.share == b"a" * 10 + b"b" * PIECE


async def test_writers_wait_when_too_much_is_unsent() -> None:
    content, osd = opened(Budget(4 * PIECE))
    osd.open.clear()
    for at in range(4):
        await content.write(at * PIECE, bytes(PIECE))
    waiting = asyncio.ensure_future(content.write(4 * PIECE, b"one more"))
    await asyncio.sleep(0)
    assert not waiting.done()
    osd.open.set()
    await asyncio.wait_for(waiting, 15)
    assert (await content.settle()).size == 4 * PIECE + 8


async def test_a_sync_ends_though_others_go_on_writing() -> None:
    content, osd = opened()
    ended = asyncio.Event()

    async def go_on() -> None:
        at = 0
        while not ended.is_set():
            await content.write(at, bytes(PIECE))
            at += PIECE
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        group.create_task(go_on())
        await asyncio.sleep(0)
        await content.settle()
        ended.set()
    await content.settle()
    assert len(osd.share) == content.size
