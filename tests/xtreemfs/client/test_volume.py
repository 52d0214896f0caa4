# SPDX-License-Identifier: BSD-3-Clause
"""The client library with real daemons: what was acknowledged is there, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from support.filegrid import ROOT, FileGrid, file_grid
from xos.xtreemfs.api import Access, Change, Open, Policy, Striping, Update
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.volume import VolumeClient, opened_volume

pytestmark = pytest.mark.timeout(90)  # real daemons that are killed and started, on a machine that may be busy
NEW = Open(Access.READ | Access.WRITE, create=True)


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    striped = Policy(Striping(size=64 << 10, width=3))
    with file_grid(3, home=None, striped=striped) as made:
        yield made


@contextlib.asynccontextmanager
async def client(grid: FileGrid, volume: str = "home") -> AsyncIterator[VolumeClient]:
    bus = grid.async_bus()
    try:
        async with opened_volume(bus, volume, client="a test") as made:
            yield made
    finally:
        bus.close()
        await asyncio.sleep(0.05)


@pytest.fixture(params=["home", "striped"])
async def volume(request: pytest.FixtureRequest, grid: FileGrid) -> AsyncIterator[VolumeClient]:
    async with client(grid, request.param) as made:
        yield made


async def write(volume: VolumeClient, name: bytes, content: bytes) -> int:
    async with await volume.open_name(volume.root, name, NEW, ROOT) as file:
        await file.write(0, content)
        return file.content.number


async def read(volume: VolumeClient, number: int, size: int) -> bytes:
    async with await volume.open(number, Open(Access.READ), ROOT) as file:
        return bytes(await file.read(0, size))


async def test_what_is_written_is_read_here_before_and_elsewhere_after_it_is_closed(
    grid: FileGrid, volume: VolumeClient
) -> None:
    content = random.Random(1).randbytes(3_000_001)
    async with await volume.open_name(volume.root, b"big", NEW, ROOT) as file:
        for at in range(0, len(content), 300_000):
            await file.write(at, content[at : at + 300_000])
        assert await file.read(123_456, 1_000_000) == content[123_456:1_123_456]
        assert (await volume.getattr(file.content.number)).size == len(content)
        number = file.content.number
    async with client(grid, volume.name) as other:
        assert (await other.getattr(number)).size == len(content)
        assert await read(other, number, len(content) + 10) == content


async def test_what_a_client_closed_just_before_it_died_is_seen_by_others_at_once(
    grid: FileGrid, volume: VolumeClient
) -> None:
    content = random.Random(3).randbytes(200_001)
    bus = grid.async_bus()
    dying = VolumeClient(bus, volume.name, "a test")
    await dying.start()
    number = await write(dying, b"last", content)
    for task in dying._tasks:  # it says nothing more, not even goodbye
        task.cancel()
    bus.close()
    assert await read(volume, number, len(content) + 10) == content
    assert (await volume.getattr(number)).size == len(content)


async def test_a_file_is_seen_as_it_was_closed_before_and_after_the_mrc_has_heard_of_it(volume: VolumeClient) -> None:
    number = await write(volume, b"heard", b"x" * 70_000)
    seen = await volume.getattr(number)
    assert seen.size == 70_000
    async with await volume.open(number, Open(Access.READ | Access.WRITE), ROOT) as file:
        assert await file.read(69_990, 100) == b"x" * 10
        await file.write(70_000, b"more")
    later = await volume.setattr(number, Change(mtime=5_000_000_000), ROOT)
    assert (later.size, later.mtime) == (70_004, 5_000_000_000)
    await volume.sync()
    after = await volume.mrc.getattr(number)
    assert (after.size, after.mtime) == (70_004, 5_000_000_000)
    assert await volume.getattr(number) == after


async def test_a_size_stays_when_the_file_gets_another_name_before_the_mrc_has_heard_of_it(
    volume: VolumeClient,
) -> None:
    number = await write(volume, b"named", b"x" * 1000)
    old = await volume.mrc.link(number, volume.root, b"again", volume.ask(ROOT))
    await volume.sync()
    # An answer that was given before the MRC had heard of the size, and comes after it.
    assert (old.size, volume.seen(old).size) == (0, 1000)
    assert (await volume.getattr(number)).size == 1000


async def test_a_time_that_is_set_stays_though_the_mrc_hears_late_of_who_closed_before(volume: VolumeClient) -> None:
    number = await write(volume, b"touched", b"x" * 1000)
    async with await volume.open(number, Open(Access.WRITE), ROOT):
        await volume.setattr(number, Change(mtime=12_345), ROOT)
    await volume.sync()
    after = await volume.mrc.getattr(number)
    assert (after.size, after.mtime) == (1000, 12_345)


async def test_reads_and_writes_at_random_are_those_of_a_file(volume: VolumeClient) -> None:
    pick, model = random.Random(7), bytearray()
    async with await volume.open_name(volume.root, b"random", NEW, ROOT) as file:
        for _ in range(150):
            at, size = pick.randrange(700_000), pick.randrange(1, 200_000)
            match pick.randrange(8):
                case 0:
                    await file.truncate(at)
                    model = model[:at] + bytes(max(at - len(model), 0))
                case 1:
                    await file.sync()
                case 2 | 3 | 4:
                    content = pick.randbytes(size)
                    model += bytes(max(at - len(model), 0))
                    model[at : at + size] = content
                    await file.write(at, content)
                case _:
                    assert await file.read(at, size) == model[at : at + size]
        number = file.content.number
    assert await read(volume, number, 1 << 20) == model


async def test_a_file_that_is_cut_and_grows_again_has_zeros_there(volume: VolumeClient) -> None:
    number = await write(volume, b"cut", b"secret" * 100_000)
    await volume.truncate(number, 10, None, ROOT)
    await volume.truncate(number, 400_000, None, ROOT)
    assert await read(volume, number, 1 << 20) == b"secretsecr" + bytes(399_990)


async def test_what_does_not_exist_is_refused_as_linux_does(volume: VolumeClient) -> None:
    with pytest.raises(OSError, match="No such file") as told:
        await volume.lookup(volume.root, b"nothing", ROOT)
    assert told.value.errno == errno.ENOENT


async def test_no_acknowledged_write_is_lost_when_an_osd_is_killed(grid: FileGrid, volume: VolumeClient) -> None:
    content = random.Random(2).randbytes(6_000_000)
    async with await volume.open_name(volume.root, b"killed", NEW, ROOT) as file:
        for turn, at in enumerate(range(0, len(content), 500_000)):
            await file.write(at, content[at : at + 500_000])
            if turn in (3, 8):
                osd = grid.osds[turn % 3]
                await asyncio.to_thread(osd.kill)
                await asyncio.to_thread(osd.start)
        await file.flush()
        number = file.content.number
    assert await read(volume, number, len(content)) == content


async def test_names_and_sizes_outlive_a_killed_mrc(grid: FileGrid, volume: VolumeClient) -> None:
    async with await volume.open_name(volume.root, b"outlives", NEW, ROOT) as file:
        await file.write(0, b"before")
        await file.flush()
        await asyncio.to_thread(grid.core.kill)
        making = [
            asyncio.create_task(volume.create(volume.root, b"d%d" % n, 0o040755, 0, None, ROOT)) for n in range(5)
        ]
        await file.write(6, b" and after")
        closing = asyncio.create_task(file.flush())
        await asyncio.to_thread(grid.core.start)
        made = await asyncio.gather(*making)
        await closing
        number = file.content.number
    assert len({inode.id for inode in made}) == 5
    assert await read(volume, number, 100) == b"before and after"
    for n in range(5):
        await volume.rmdir(volume.root, b"d%d" % n, ROOT)


async def test_a_client_whose_session_is_gone_goes_on_with_another(volume: VolumeClient) -> None:
    async with await volume.open_name(volume.root, b"session", NEW, ROOT) as file:
        await file.write(0, b"one")
        await file.flush()
        await volume.mrc.end(volume.session.id)
        await file.write(3, b"two")
        await file.flush()
        number = file.content.number
    assert await read(volume, number, 100) == b"onetwo"


async def placed(volume: VolumeClient, name: bytes) -> Handle:
    """A new file, once the MRC has heard of enough OSDs."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await volume.open_name(volume.root, name, NEW, ROOT)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("update", "blow"),
    [(Update.QUORUM, signal.SIGKILL), (Update.ALL, signal.SIGKILL), (Update.QUORUM, signal.SIGSTOP)],
    ids=["quorum, killed", "all, killed", "quorum, paused"],
)
async def test_a_primary_that_is_gone_stalls_a_writer_but_loses_nothing(update: Update, blow: signal.Signals) -> None:
    policy = Policy(update=update, replicas=3)
    with file_grid(3, safe=policy) as grid:
        content = random.Random(3).randbytes(3_000_000)
        async with client(grid, "safe") as volume:
            async with await placed(volume, b"safe") as file:
                stall, dead = 0.0, None
                for turn, at in enumerate(range(0, len(content), 200_000)):
                    started = asyncio.get_running_loop().time()
                    await file.write(at, content[at : at + 200_000])
                    await file.flush()
                    stall = max(stall, asyncio.get_running_loop().time() - started)
                    if turn == 5:
                        layout = file.grant.layout
                        name = layout.replicas[layout.primary].osds[0]
                        dead = next(osd for osd in grid.osds if osd.name == name)
                        assert dead.process is not None
                        dead.process.send_signal(blow)
                number = file.content.number
            assert stall < 10.0  # five, on a machine that has nothing else to do
            assert await read(volume, number, len(content)) == content
            assert dead is not None
            assert dead.process is not None
            if blow is signal.SIGSTOP:
                dead.process.send_signal(signal.SIGCONT)
            else:
                dead.process.wait()
                await asyncio.to_thread(dead.start)
            assert await read(volume, number, len(content)) == content


async def test_a_dead_replica_is_left_out_where_all_must_have_a_write() -> None:
    with file_grid(3, safe=Policy(update=Update.ALL, replicas=3)) as grid:
        async with client(grid, "safe") as volume:
            async with await placed(volume, b"safe") as file:
                await file.write(0, b"before")
                await file.flush()
                layout = file.grant.layout
                follower = layout.replicas[(layout.primary + 1) % 3].osds[0]
                dead = next(osd for osd in grid.osds if osd.name == follower)
                await asyncio.to_thread(dead.kill)
                await file.write(6, b" and after")
                await file.flush()
                number = file.content.number
            assert await read(volume, number, 100) == b"before and after"
