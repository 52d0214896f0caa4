# SPDX-License-Identifier: BSD-3-Clause
"""Real daemons: the primary MRC is killed or stopped while programs make and write files; they wait a little."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from support.daemons import eventually
from support.filegrid import ROOT
from support.pairgrid import PairGrid, pair_grid
from xos.dixi.bus import GridBus
from xos.xtreemfs.api import Access, Lock, Open
from xos.xtreemfs.client.volume import VolumeClient, opened_volume
from xos.xtreemfs.xati import DIRXati

pytestmark = pytest.mark.timeout(300)  # daemons that are killed and started, on a machine that may be busy
STALL_SECONDS = 30.0
"""For so long at most a create waits for another MRC; quiet machines take three."""
CLIENTS, BEFORE, AFTER = 4, 40, 40
NEW = Open(Access.READ | Access.WRITE, create=True)


@pytest.fixture(scope="module")
def grid() -> Iterator[PairGrid]:
    with pair_grid() as made:
        yield made


@contextlib.asynccontextmanager
async def client(grid: PairGrid) -> AsyncIterator[VolumeClient]:
    bus: GridBus = grid.async_bus()
    try:
        async with opened_volume(bus, "home", client="a test") as made:
            yield made
    finally:
        bus.close()
        await asyncio.sleep(0.05)


class Maker:
    """Makes directories until it is told to stop; knows those that were acknowledged, and the longest wait."""

    def __init__(self, volume: VolumeClient, name: str) -> None:
        self.volume, self.name = volume, name
        self.made: list[bytes] = []
        self.longest = 0.0
        self.over, self.news = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.over.is_set():
            name, began = f"{self.name}-{len(self.made)}".encode(), loop.time()
            await self.volume.create(self.volume.root, name, 0o040755, 0, None, ROOT)
            self.longest = max(self.longest, loop.time() - began)
            self.made.append(name)
            self.news.set()

    async def until(self, more: int) -> None:
        wanted = len(self.made) + more
        while len(self.made) < wanted:
            self.news.clear()
            await self.news.wait()


def primary(grid: PairGrid) -> str:
    with grid.bus() as bus:
        return grid.in_step(bus).primary


def other(node: str) -> str:
    return "mrc1" if node == "mrc2" else "mrc2"


async def names(volume: VolumeClient) -> list[bytes]:
    found: list[bytes] = []
    after = 0
    while rows := await volume.readdir(volume.root, after, 1000, ROOT):
        found += [row.name for row in rows]
        after = rows[-1].cookie
    return found


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_primary_that_dies_stalls_creates_a_little_and_nothing_acknowledged_is_lost_or_doubled(
    grid: PairGrid, how: str
) -> None:
    old = await asyncio.to_thread(primary, grid)
    node = grid.mrcs[old]
    async with client(grid) as volume, client(grid) as reader, asyncio.TaskGroup() as group:
        file = await volume.open_name(volume.root, how.encode(), NEW, ROOT)
        lock = Lock(file.content.number, 1, 0, 9, exclusive=True)
        await volume.lock(lock, wait=False, claim=ROOT)
        await file.write(0, b"before")
        makers = [Maker(volume, f"{how}{number}") for number in range(CLIENTS)]
        tasks = [group.create_task(maker.run()) for maker in makers]
        await asyncio.gather(*(maker.until(BEFORE) for maker in makers))
        await asyncio.to_thread(node.kill if how == "kill" else lambda: grid.pause(node))
        try:
            await asyncio.gather(*(maker.until(AFTER) for maker in makers))
            for maker in makers:
                maker.over.set()
            await asyncio.gather(*tasks)
            await file.write(6, b" and after")  # what was open is, and what was locked
            await file.flush()
            assert (await reader.test_lock(lock)) is not None
            await file.close()
            found = await names(reader)
        finally:
            await asyncio.to_thread(node.start if how == "kill" else lambda: grid.resume(node))
        acknowledged = [name for maker in makers for name in maker.made]
        assert sorted(name for name in found if name in set(acknowledged)) == sorted(acknowledged)
        async with await reader.open_name(reader.root, how.encode(), Open(Access.READ), ROOT) as again:
            assert bytes(await again.read(0, 100)) == b"before and after"
        assert max(maker.longest for maker in makers) < STALL_SECONDS
    with grid.bus() as bus:
        pair = await asyncio.to_thread(grid.in_step, bus, other(old), 120.0)
        assert pair.backup == old


async def test_a_killed_backup_stalls_creates_a_little_and_comes_back_in_step(grid: PairGrid) -> None:
    leader = await asyncio.to_thread(primary, grid)
    backup = grid.mrcs[other(leader)]
    async with client(grid) as volume, asyncio.TaskGroup() as group:
        maker = Maker(volume, "backup")
        group.create_task(maker.run())
        await maker.until(BEFORE)
        await asyncio.to_thread(backup.kill)
        await maker.until(AFTER)
        await asyncio.to_thread(backup.start)
        with grid.bus() as bus:
            await asyncio.to_thread(grid.in_step, bus, leader, 120.0)
        await maker.until(AFTER)
        maker.over.set()
    assert maker.longest < STALL_SECONDS


async def test_both_killed_come_back_with_all_that_was_acknowledged(grid: PairGrid) -> None:
    await asyncio.to_thread(primary, grid)
    async with client(grid) as volume:
        maker = Maker(volume, "both")
        task = asyncio.create_task(maker.run())
        await maker.until(BEFORE)
        for node in grid.mrcs.values():
            await asyncio.to_thread(node.kill)
        for node in grid.mrcs.values():
            await asyncio.to_thread(node.start)
        await maker.until(AFTER)
        maker.over.set()
        await task
        found = await names(volume)
        assert sorted(name for name in found if name.startswith(b"both-")) == sorted(maker.made)


async def test_while_the_core_is_away_clients_make_and_write_files_by_the_addresses_that_they_know(
    grid: PairGrid,
) -> None:
    await asyncio.to_thread(primary, grid)
    async with client(grid) as volume:
        async with await volume.open_name(volume.root, b"first", NEW, ROOT) as file:
            await file.write(0, b"the OSD is known")
        await asyncio.to_thread(grid.core.kill)
        try:
            async with await volume.open_name(volume.root, b"alone", NEW, ROOT) as file:
                await file.write(0, b"the core is away")
                await file.flush()
            async with await volume.open_name(volume.root, b"alone", Open(Access.READ), ROOT) as file:
                assert bytes(await file.read(0, 100)) == b"the core is away"
        finally:
            await asyncio.to_thread(grid.core.start)
    with grid.bus() as bus:
        for _ in eventually(60.0):
            if len(DIRXati(bus).services("")) == 3:
                break
