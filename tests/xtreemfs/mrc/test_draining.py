# SPDX-License-Identifier: BSD-3-Clause
"""Real OSDs are emptied and replaced while real daemons are killed, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from support.filegrid import ROOT, FileGrid, file_grid
from xos.dixi.bus import GridBus
from xos.xtreemfs.api import Access, Ask, Layout, Open, Policy, Status, Update
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.volume import VolumeClient, opened_volume
from xos.xtreemfs.xati import DIRAsync, MRCAsync, OSDAsync

pytestmark = pytest.mark.timeout(120)  # real daemons, on a machine that may be busy
NEW = Open(Access.READ | Access.WRITE, create=True)
FILES = 12


@pytest.fixture
def grid() -> Iterator[FileGrid]:
    safe, three = Policy(update=Update.QUORUM, replicas=2), Policy(update=Update.QUORUM, replicas=3)
    with file_grid(3, plain=None, safe=safe, three=three) as made:
        yield made


@contextlib.asynccontextmanager
async def bus_of(grid: FileGrid) -> AsyncIterator[GridBus]:
    bus = grid.async_bus()
    try:
        yield bus
    finally:
        bus.close()
        await asyncio.sleep(0.05)  # transports close in the next turns of the loop


def content(number: int) -> bytes:
    return random.Random(number).randbytes(70_000 + 1000 * number)


async def opened(volume: VolumeClient, name: bytes) -> Handle:
    """A new file, once the MRC has heard of enough OSDs."""
    while True:
        try:
            return await volume.open_name(volume.root, name, NEW, ROOT)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        await asyncio.sleep(0.2)


async def fill(volume: VolumeClient) -> list[int]:
    """Files of random content, by inode."""
    made = []
    for number in range(FILES):
        async with await opened(volume, b"%d" % number) as file:
            await file.write(0, content(number))
            await file.sync()
            made.append(file.content.number)
    return made


async def check(volume: VolumeClient, inodes: list[int]) -> None:
    """All is there."""
    for number, inode in enumerate(inodes):
        async with await volume.open(inode, Open(Access.READ), ROOT) as file:
            assert bytes(await file.read(0, 1 << 20)) == content(number)


async def layouts(bus: GridBus, inodes: list[int]) -> list[Layout]:
    return [await MRCAsync(bus).layout(inode, ROOT, deadline=20.0) for inode in inodes]


def stores(layout: Layout) -> dict[str, str]:
    """The disk of each OSD."""
    return {osd: store for one in layout.replicas for osd, store in zip(one.osds, one.stores, strict=True)}


def on(node: str, found: list[Layout]) -> int:
    return sum(node in replica.osds for one in found for replica in one.replicas)


async def until_off(bus: GridBus, node: str, inodes: list[int], replicas: int) -> None:
    """All files have left an OSD, and are as they are to be; nobody tells when."""
    while True:
        found = await layouts(bus, inodes)
        if not on(node, found) and all(len(one.replicas) == replicas and one.wish is None for one in found):
            return
        await asyncio.sleep(0.2)


async def test_an_osd_that_drains_is_emptied_although_the_mrc_is_killed_meanwhile(grid: FileGrid) -> None:
    async with bus_of(grid) as bus:
        async with opened_volume(bus, "plain", client="a test") as volume:
            inodes = await fill(volume)
        frozen = await MRCAsync(bus).change_layout(inodes[0], 1, Update.READ_ONLY, (), Ask(claim=ROOT), deadline=30.0)
        (node,) = frozen.replicas[0].osds
        before = on(node, await layouts(bus, inodes))
        await DIRAsync(bus).set_status(node, Status.DRAINING)
        while on(node, await layouts(bus, inodes)) == before:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.1)
        await asyncio.to_thread(grid.core.kill)
        await asyncio.to_thread(grid.core.start)
        await until_off(bus, node, inodes, 1)
        found = await layouts(bus, inodes)
        assert [one.update for one in found] == [Update.READ_ONLY] + [Update.NONE] * (FILES - 1)
        while await OSDAsync(bus, node).shares("", 100):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        async with opened_volume(bus, "plain", client="a test") as volume:
            await check(volume, inodes)


async def test_replicas_of_an_osd_that_is_dead_and_removed_are_made_elsewhere(grid: FileGrid) -> None:
    dead = grid.osds[0]
    async with bus_of(grid) as bus, opened_volume(bus, "safe", client="a test") as volume:
        inodes = await fill(volume)
        assert on(dead.name, await layouts(bus, inodes))
        await asyncio.to_thread(dead.kill)
        await DIRAsync(bus).set_status(dead.name, Status.REMOVED)
        await until_off(bus, dead.name, inodes, 2)
        await check(volume, inodes)


async def test_an_osd_that_comes_back_with_another_disk_is_given_its_replicas_again(grid: FileGrid) -> None:
    emptied, other = grid.osds[:2]
    async with bus_of(grid) as bus, opened_volume(bus, "three", client="a test") as volume:
        inodes = await fill(volume)
        before = await layouts(bus, inodes)
        await asyncio.to_thread(emptied.kill)
        shutil.rmtree(emptied.root / "data" / "OSD")
        await asyncio.to_thread(emptied.start)
        await check(volume, inodes)
        old = {stores(one)[emptied.name] for one in before}
        while True:
            found = await layouts(bus, inodes)
            if not {stores(one).get(emptied.name) for one in found} & {None, *old}:
                break
            await asyncio.sleep(0.2)
        assert all(len(one.replicas) == 3 and one.wish is None for one in found)
        # With another one away, a majority needs what was made again.
        await asyncio.to_thread(other.kill)
        await check(volume, inodes)


async def test_the_only_replica_on_a_disk_that_is_gone_is_an_error_and_no_hole(grid: FileGrid) -> None:
    async with bus_of(grid) as bus:
        async with opened_volume(bus, "plain", client="a test") as volume:
            (inode, *_) = await fill(volume)
        (found,) = await layouts(bus, [inode])
        node = next(node for node in grid.osds if node.name == found.replicas[0].osds[0])
        await asyncio.to_thread(node.kill)
        shutil.rmtree(node.root / "data" / "OSD")
        await asyncio.to_thread(node.start)
        async with (
            opened_volume(bus, "plain", client="a test") as volume,
            await volume.open(inode, Open(Access.READ), ROOT) as file,
        ):
            with pytest.raises(OSError, match="another disk") as raised:
                await file.read(0, 100)
        assert raised.value.errno == errno.EIO
