# SPDX-License-Identifier: BSD-3-Clause
"""Replicas come near to where a file is read often, and go again when nobody reads them."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from support.daemons import eventually
from support.dixi import Grid, make_grid, until
from support.mrc import ALICE, BOB, CORE, NODE1, Mrc, acting, serving
from xos.xtreemfs.api import Access, Ask, Change, Layout, Open, Policy, Replica, ServiceRecord, Striping, Update, Wish
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc.reading import MOST_FILES, MOST_MACHINES, Reads, is_far
from xos.xtreemfs.mrc.replication import Goal

HOUR, DAY = 3600.0, 86_400.0


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def osd(node: str, site: str = "") -> ServiceRecord:
    return ServiceRecord("OSD", node, 1 << 40, 1 << 39, attributes=(("site", site),) if site else ())


OSDS = {one.node: one for one in (osd("r1", "rennes"), osd("r2", "rennes"), osd("b1", "bolzano"), osd("x1"))}


def frozen(*nodes: str, least: int = 0, primary: int = 0) -> Layout:
    replicas = tuple(Replica((node,)) for node in nodes)
    return Layout(Striping(), replicas, Update.READ_ONLY, primary=primary, least=least)


def test_a_file_is_read_often_when_it_is_within_the_hour_and_counted_anew_then() -> None:
    clock = Clock()
    reads = Reads(3.0, DAY, clock)
    assert [reads.note(1, "b1") for _ in range(7)] == [False, False, True, False, False, True, False]
    clock.now += 10 * HOUR
    assert [reads.note(1, "b1") for _ in range(3)] == [False, False, True]


def test_who_reads_now_and_then_is_not_often_there() -> None:
    clock = Clock()
    reads = Reads(3.0, DAY, clock)
    for _ in range(100):
        clock.now += 2 * HOUR
        assert not reads.note(1, "b1")


def test_files_and_machines_are_counted_apart_and_only_so_many_kept_in_mind() -> None:
    reads = Reads(3.0, DAY, Clock())
    for number in range(MOST_FILES + 10):
        reads.note(number, "b1")
    for machine in range(MOST_MACHINES + 10):
        reads.note(MOST_FILES, f"m{machine}")
    assert len(reads._files) == MOST_FILES
    assert len(reads._files[MOST_FILES]) == MOST_MACHINES
    assert 0 not in reads._files


@pytest.mark.parametrize(
    ("node", "replicas", "far"),
    [
        ("b1", ("r1",), True),
        ("r2", ("r1",), False),
        ("b1", ("r1", "b1"), False),
        ("x1", ("r1",), True),
        ("x1", ("r1", "x1"), False),
        ("core", ("r1",), False),  # it has no OSD, so nothing can be near to it
    ],
)
def test_far_is_what_is_on_another_site(node: str, replicas: tuple[str, ...], far: bool) -> None:
    layout = frozen(*replicas)
    assert is_far(node, layout, OSDS) == far
    assert not is_far(node, msgspec.structs.replace(layout, update=Update.QUORUM), OSDS)


def test_a_replica_that_nobody_reads_goes_after_a_day_but_never_below_the_wished_number() -> None:
    clock = Clock()
    reads, layout = Reads(3.0, DAY, clock), frozen("r1", "b1", "x1", least=1)
    assert reads.unused(1, layout, OSDS) is None, "it was not counted for long enough"
    clock.now += DAY
    reads.note(1, "x1")
    assert reads.unused(1, layout, OSDS) == Goal(2, Update.READ_ONLY, frozenset({"b1"}))
    reads.note(1, "b1")
    assert reads.unused(1, layout, OSDS) is None
    clock.now += DAY
    assert reads.unused(1, layout, OSDS) == Goal(2, Update.READ_ONLY, frozenset({"x1"}))
    for kept in (frozen("r1"), frozen("r1", "b1"), frozen("r1", "b1", least=2)):
        assert reads.unused(1, kept, OSDS) is None
    assert reads.unused(1, frozen("r1", "b1", least=1, primary=1), OSDS) is None, "it is the primary"
    moving = msgspec.structs.replace(layout, wish=Wish(3, Update.READ_ONLY))
    assert reads.unused(1, moving, OSDS) is None


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def mrc(grid: Grid, tmp_path: Path) -> AsyncIterator[Mrc]:
    async with serving(grid, tmp_path, often=3.0) as made:
        yield made


async def made(mrc: Mrc, extra: int) -> int:
    """A file on node3 that does not change, mode 0640."""
    await mrc.volume(policy=Policy(osd_selection=("names:node3+node2+node1",), extra=extra))
    session = await mrc.session()
    with acting(NODE1):
        wanted = Open(Access.WRITE, create=True, mode=0o644)
        opened = await mrc.service.open_name(session.root.id, b"f", wanted, mrc.ask(session))
        await mrc.service.end(session.id)
    with acting(ALICE):
        layout = await mrc.service.change_layout(opened.inode.id, 1, Update.READ_ONLY, (), Ask())
    assert [one.osds for one in layout.replicas] == [("node3",)]
    return opened.inode.id


async def read(mrc: Mrc, inode: int, times: int) -> None:
    session = await mrc.session()
    for _ in range(times):
        with acting(NODE1):
            await mrc.service.open(inode, Open(Access.READ), mrc.ask(session))


async def nodes(mrc: Mrc, inode: int) -> list[str]:
    with acting(CORE):
        return [one.osds[0] for one in (await mrc.service.layout(inode)).replicas]


async def settled(mrc: Mrc) -> None:
    await until(lambda: not any(task.get_name() == "mrc-near" for task in mrc.host.tasks))


async def test_what_is_read_often_far_off_gets_a_replica_there_which_goes_again(mrc: Mrc) -> None:
    inode = await made(mrc, extra=1)
    await read(mrc, inode, 2)
    await settled(mrc)
    assert await nodes(mrc, inode) == ["node3"]
    await read(mrc, inode, 1)
    await settled(mrc)
    with acting(CORE):
        layout = await mrc.service.layout(inode)
    assert ([one.osds[0] for one in layout.replicas], layout.least) == (["node3", "node1"], 1)
    mrc.service.reads = Reads(3.0, 0.0, Clock())  # as if long had passed
    for _ in eventually(15.0):  # it is filled in one round, found to be unused in another
        await mrc.service.management.round(frozenset(), {})
        if await nodes(mrc, inode) == ["node3"]:
            break


async def test_no_more_replicas_are_made_than_the_policy_allows(mrc: Mrc) -> None:
    inode = await made(mrc, extra=0)
    await read(mrc, inode, 12)
    await settled(mrc)
    assert await nodes(mrc, inode) == ["node3"]


async def test_who_says_where_a_file_is_going_to_be_read_has_a_replica_made_there(mrc: Mrc) -> None:
    inode = await made(mrc, extra=2)
    with acting(BOB):
        await mrc.service.read_soon(inode, ["node2", "nowhere"], Ask())
    await settled(mrc)
    assert await nodes(mrc, inode) == ["node3", "node2"]


async def test_only_who_may_read_a_file_says_where_it_is_going_to_be_read(mrc: Mrc) -> None:
    inode = await made(mrc, extra=2)
    session = await mrc.session()
    with acting(NODE1):
        await mrc.service.setattr(inode, Change(mode=0o600), mrc.ask(session))
    with acting(BOB), pytest.raises(Refused) as refused:
        await mrc.service.read_soon(inode, ["node2"], Ask())
    assert refused.value.data["errno"] == errno.EACCES
    with acting(ALICE), pytest.raises(Refused) as refused:
        await mrc.service.read_soon(inode, ["x"] * 100, Ask())
    assert refused.value.data["errno"] == errno.E2BIG


async def test_a_number_that_somebody_sets_holds_whoever_reads(mrc: Mrc) -> None:
    inode = await made(mrc, extra=1)
    await read(mrc, inode, 3)
    await settled(mrc)
    with acting(ALICE):
        layout = await mrc.service.change_layout(inode, 2, Update.READ_ONLY, (), Ask())
    assert (len(layout.replicas), layout.least) == (2, 0)
    mrc.service.reads = Reads(3.0, 0.0, Clock())
    for _ in range(3):
        await mrc.service.management.round(frozenset(), {})
    assert len(await nodes(mrc, inode)) == 2
