# SPDX-License-Identifier: BSD-3-Clause
"""How long a file is that somebody else writes."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.dixi import Grid, make_grid
from support.mrc import NODE1, Around, Mrc, acting, serving
from xos.xtreemfs.api import NOW, Access, Closed, Extent, Inode, Open, Opened, Session, ShareState
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc.settling import LOOK_SECONDS

pytestmark = pytest.mark.timeout(60)  # many calls in a row, on a machine that may be busy
WRITE = Open(Access.READ | Access.WRITE, create=True, mode=0o644)
READ = Open(Access.READ)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def mrc(grid: Grid, database: str, tmp_path: Path) -> AsyncIterator[Mrc]:
    async with serving(grid, tmp_path, database=database) as made:
        yield made


@pytest.fixture
async def session(mrc: Mrc) -> Session:
    await mrc.volume()
    return await mrc.session()


async def _written(mrc: Mrc, session: Session, size: int) -> Opened:
    """A file of which the OSD has so many bytes, and the MRC has not heard of them."""
    made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
    _grown(mrc, made, size)
    return made


def _grown(mrc: Mrc, made: Opened, size: int) -> None:
    capability = mrc.capability(made)
    (osd,) = capability.layout.replicas[0].osds
    state = ShareState(capability.file_id, size, capability.epoch, -1, 0)
    mrc.around.osds[osd].states[capability.file_id] = state


async def _looks(mrc: Mrc, root: Inode, number: int, session: Session) -> list[int]:
    """All ways in which a session sees the size of a file."""
    claim = mrc.ask(session).claim
    (row,) = await mrc.service.readdir(root.id, 0, 10, claim, session.id)
    return [
        (await mrc.service.getattr(number, session.id)).size,
        (await mrc.service.lookup(root.id, b"f", claim, session.id)).size,
        row.inode.size,
        (await mrc.service.open(number, READ, mrc.ask(session))).inode.size,
        (await mrc.service.open_name(root.id, b"f", READ, mrc.ask(session))).inode.size,
    ]


async def test_others_see_at_once_what_was_written_and_the_writer_is_not_asked(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        assert await _looks(mrc, session.root, made.inode.id, session) == [0] * 5
        for size in (100, 250):
            _grown(mrc, made, size)
            assert await _looks(mrc, session.root, made.inode.id, other) == [size] * 5
        assert (await mrc.service.resolve("home", "/f", mrc.ask(session).claim)).size == 250


async def test_what_the_writer_says_later_changes_nothing_but_the_time(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 100
        when = time.time_ns()
        await mrc.service.close([Closed(made.handle, Extent(100, 0), when)], mrc.ask(session))
        _grown(mrc, made, 999)
        inode = await mrc.service.getattr(made.inode.id, other.id)
        assert (inode.size, inode.mtime) == (100, when)
        assert inode.ctime >= when
        assert (await mrc.service.quotas("home")) == []
        (volume,) = await mrc.service.volumes()
        assert volume.used == 100


@pytest.mark.parametrize("way", ["lookup", "readdir", "open_name"])
async def test_a_close_that_the_mrc_hears_of_while_somebody_looks_is_seen_by_them(
    mrc: Mrc, session: Session, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await mrc.session()
    claim, root, settle = mrc.ask(other).claim, session.root.id, mrc.service.settling.settle
    with acting(NODE1):
        made = await _written(mrc, session, 100)

        async def late(*given: Any, **more: Any) -> bool:
            """What was looked up is in hand; now the MRC hears of the close."""
            await mrc.service.close([Closed(made.handle, Extent(100, 0), NOW)], mrc.ask(session))
            return await settle(*given, **more)

        monkeypatch.setattr(mrc.service.settling, "settle", late)
        match way:
            case "lookup":
                size = (await mrc.service.lookup(root, b"f", claim, other.id)).size
            case "readdir":
                size = (await mrc.service.readdir(root, 0, 10, claim, other.id))[0].inode.size
            case _:
                size = (await mrc.service.open_name(root, b"f", READ, mrc.ask(other))).inode.size
        assert size == 100


async def test_bytes_of_before_a_truncation_count_no_more(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        await mrc.service.truncate(made.inode.id, 10, made.handle, mrc.ask(session))
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 10
        await mrc.service.close([Closed(made.handle, Extent(100, 0), NOW)], mrc.ask(session))
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 10


async def test_who_writes_is_known_after_a_restart(grid: Grid, database: str, tmp_path: Path) -> None:
    around = Around("node1")
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        await mrc.volume()
        session, other = await mrc.session(), await mrc.session()
        with acting(NODE1):
            made = await _written(mrc, session, 100)
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        with acting(NODE1):
            assert (await mrc.service.getattr(made.inode.id, other.id)).size == 100
            _grown(mrc, made, 200)
            await mrc.service.end(session.id)
            assert (await mrc.service.getattr(made.inode.id, other.id)).size == 200
            _grown(mrc, made, 300)
            assert (await mrc.service.getattr(made.inode.id, other.id)).size == 200


async def test_an_osd_that_is_away_holds_nobody_up_for_long(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        for osd in mrc.around.osds.values():
            osd.up = False
        began = time.monotonic()
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 0
        for osd in mrc.around.osds.values():
            osd.up = True
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 0 or time.monotonic() - began > LOOK_SECONDS


@pytest.mark.parametrize("looks", [True, False])
async def test_a_writer_and_its_osd_that_go_together_lose_nothing(
    mrc: Mrc, session: Session, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        for osd in mrc.around.osds.values():
            osd.up = False
        await mrc.service.end(session.id)
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 0
        for osd in mrc.around.osds.values():
            osd.up = True
        if looks:
            assert (await mrc.service.open(made.inode.id, READ, mrc.ask(other))).inode.size == 100
        else:  # nobody does; then it is asked for all the same
            monkeypatch.setattr("xos.xtreemfs.mrc.settling.PAY_SECONDS", 0.01)
            paying = asyncio.ensure_future(mrc.service.settling.pay())
            async with asyncio.timeout(30.0):
                while mrc.service.settling.owed:  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(0.01)
            paying.cancel()
        _grown(mrc, made, 200)
        assert (await mrc.service.getattr(made.inode.id, other.id)).size == 100


async def test_a_file_that_is_gone_is_gone_for_who_looks(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        await mrc.service.unlink(session.root.id, b"f", mrc.ask(session))
        await mrc.service.close([Closed(made.handle)], mrc.ask(session))
        with pytest.raises(Refused) as told:
            await mrc.service.getattr(made.inode.id, other.id)
        assert told.value.data["errno"] == errno.ESTALE


async def test_looking_ahead_leaves_out_what_others_may_be_writing(mrc: Mrc, session: Session) -> None:
    other = await mrc.session()
    root, claim = session.root.id, mrc.ask(session).claim
    with acting(NODE1):
        made = await _written(mrc, session, 100)
        await mrc.service.open_name(root, b"g", WRITE, mrc.ask(session))
        closed = await mrc.service.open_name(root, b"h", WRITE, mrc.ask(session))
        await mrc.service.close([Closed(closed.handle)], mrc.ask(session))
        own = await mrc.service.look_ahead(root, b"f", 10, claim, session.id)
        assert [row.name for row in own] == [b"f", b"g", b"h"]
        found = await mrc.service.look_ahead(root, b"f", 10, claim, other.id)
        assert [row.name for row in found] == [b"f", b"h"]
        assert found[0].inode.id == made.inode.id
        assert found[0].inode.size == 100
