# SPDX-License-Identifier: BSD-3-Clause
"""Replicas change at real OSDs while the file is written to and read, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from support.filegrid import ROOT, FileGrid, file_grid
from xos.dixi.bus import GridBus
from xos.xtreemfs.api import Access, Ask, Layout, Open, Policy, Update
from xos.xtreemfs.client.volume import VolumeClient, opened_volume
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCAsync, OSDAsync

pytestmark = pytest.mark.timeout(90)  # real daemons, on a machine that may be busy
NEW = Open(Access.READ | Access.WRITE, create=True)
PIECE, PIECES = 100_000, 12


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(3, home=None, safe=Policy(update=Update.QUORUM, replicas=3)) as made:
        yield made


@contextlib.asynccontextmanager
async def clients(grid: FileGrid, volume: str) -> AsyncIterator[tuple[GridBus, VolumeClient]]:
    bus = grid.async_bus()
    try:
        async with opened_volume(bus, volume, client="a test") as made:
            yield bus, made
    finally:
        bus.close()
        await asyncio.sleep(0.05)  # transports close in the next turns of the loop


async def change(mrc: MRCAsync, number: int, replicas: int, update: Update, without: tuple[str, ...] = ()) -> Layout:
    """Asked again while replicas are being brought into step, as the tools do."""
    for _ in range(60):
        try:
            return await mrc.change_layout(number, replicas, update, without, Ask(claim=ROOT), deadline=60.0)
        except Refused as error:
            if error.data["errno"] != errno.EAGAIN:
                raise
        await asyncio.sleep(0.5)
    raise AssertionError("replicas do not come into step")


def osds(layout: Layout) -> list[str]:
    return [osd for replica in layout.replicas for osd in replica.osds]


async def test_a_file_moves_to_another_osd_while_it_is_written_to(grid: FileGrid) -> None:
    content = random.Random(5).randbytes(PIECE * PIECES)
    async with clients(grid, "home") as (bus, volume):
        mrc = MRCAsync(bus)
        async with await volume.open_name(volume.root, b"moves", NEW, ROOT) as file:
            number, moved = file.content.number, None
            for at in range(0, len(content), PIECE):
                await file.write(at, content[at : at + PIECE])
                await file.sync()
                if at == PIECE * 3:
                    (before,) = osds(await mrc.layout(number))
                    moved = asyncio.ensure_future(change(mrc, number, 1, Update.NONE, (before,)))
            assert moved is not None
            after = await moved
        assert len(osds(after)) == 1
        assert after.update is Update.NONE
        assert before not in osds(after)
        async with await volume.open(number, Open(Access.READ), ROOT) as file:
            assert bytes(await file.read(0, len(content))) == content
        for _ in range(200):  # nobody tells when the old share is gone
            if not any(state.file_id.endswith(f"-{number:x}") for state in await OSDAsync(bus, before).shares("", 100)):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("its old share is there for ever")


async def test_replicas_come_and_go_and_all_have_what_was_written(grid: FileGrid) -> None:
    content = random.Random(6).randbytes(500_000)
    async with clients(grid, "home") as (bus, volume):
        mrc = MRCAsync(bus)
        async with await volume.open_name(volume.root, b"grows", NEW, ROOT) as file:
            await file.write(0, content)
            await file.sync()
            number = file.content.number
            for replicas in (3, 2, 3):
                layout = await change(mrc, number, replicas, Update.QUORUM)
                assert len(osds(layout)) == replicas
                content = content[:-1000] + random.Random(replicas).randbytes(1000)
                await file.write(len(content) - 1000, content[-1000:])
                await file.sync()
                assert bytes(await file.read(0, len(content))) == content
        layout = await change(mrc, number, 1, Update.NONE, tuple(osds(layout)[:2]))
        assert len(osds(layout)) == 1
        async with await volume.open(number, Open(Access.READ), ROOT) as file:
            assert bytes(await file.read(0, len(content))) == content
