# SPDX-License-Identifier: BSD-3-Clause
"""How replicas change and primaries fail over: the decisions, and the MRC that takes them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.dixi import Grid, make_grid, until
from support.mrc import ADMIN, ALICE, NODE1, Around, Mrc, acting, serving
from xos.xtreemfs.api import (
    Access,
    Ask,
    Closed,
    Layout,
    Open,
    Opened,
    Policy,
    Replica,
    Session,
    ShareState,
    Status,
    Update,
    Wish,
)
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, management
from xos.xtreemfs.mrc.replication import WRITTEN, Goal, Stuck, due, is_settled, next_step, without_dead, without_lost
from xos.xtreemfs.striping import Striping

WRITE = Open(Access.READ | Access.WRITE, create=True, mode=0o644)
OSDS = ("n1", "n2", "n3", "n4", "n5")


def layout(*osds: str, update: Update = Update.QUORUM, primary: int = 0, term: int = 1) -> Layout:
    return Layout(Striping(), tuple(Replica((osd,)) for osd in osds), update, 0, primary, 0, term)


def way(start: Layout, goal: Goal, osds: tuple[str, ...] = OSDS) -> list[Layout | Stuck]:
    """All steps from *start*."""

    def more(not_on: frozenset[str]) -> Replica | None:
        return next((Replica((osd,)) for osd in osds if osd not in not_on), None)

    steps: list[Layout | Stuck] = []
    step: Layout | Stuck | None = start
    while isinstance(step, Layout):
        step = next_step(step, goal, more)
        if step is not None:
            steps.append(step)
        assert len(steps) < 100
    return steps


@given(
    st.integers(1, 5),
    st.sampled_from([Update.NONE, Update.QUORUM, Update.ALL]),
    st.integers(1, 5),
    st.sampled_from([Update.QUORUM, Update.ALL]),
    st.sets(st.sampled_from(OSDS), max_size=4),
)
def test_replicas_change_one_at_a_time_until_the_goal_is_reached_or_osds_are_too_few(
    begin: int, before: Update, count: int, after: Update, without: set[str]
) -> None:
    now = layout(*OSDS[: 1 if before is Update.NONE else begin], update=before)
    goal = Goal(count, after, frozenset(without))
    for step in way(now, goal):
        if isinstance(step, Stuck):
            assert len(OSDS) - len(without) < count
            return
        old, new = set(now.replicas), set(step.replicas)
        assert len(old ^ new) <= 1
        assert step.version == now.version + 1
        assert step.term > now.term or step.update not in WRITTEN
        assert 0 <= step.primary < len(step.replicas)
        now = step
    assert len(now.replicas) == count
    assert now.update is after
    assert not without & {osd for replica in now.replicas for osd in replica.osds}


def test_a_file_with_one_replica_moves_by_having_two_for_a_while() -> None:
    first, second, third = way(layout("n1", update=Update.NONE), Goal(1, Update.NONE, frozenset({"n1"})))
    assert isinstance(first, Layout)
    assert isinstance(second, Layout)
    assert isinstance(third, Layout)
    assert ([len(step.replicas) for step in (first, second, third)], first.update) == ([2, 1, 1], Update.QUORUM)
    assert (third.replicas[0].osds, third.update) == (("n2",), Update.NONE)


def test_the_last_complete_replica_of_a_file_that_does_not_change_is_kept() -> None:
    ronly = Layout(Striping(), (Replica(("n1",)), Replica(("n2",), complete=False)), Update.READ_ONLY)
    assert isinstance(way(ronly, Goal(1, Update.READ_ONLY, frozenset({"n1"})))[-1], Stuck)
    (step,) = way(ronly, Goal(1, Update.READ_ONLY))
    assert isinstance(step, Layout)
    assert step.replicas == ronly.replicas[:1]


def test_a_file_is_frozen_with_its_primary_alone_for_complete() -> None:
    first, *_, last = way(layout("n1", "n2", "n3", primary=1), Goal(4, Update.READ_ONLY))
    assert isinstance(first, Layout)
    assert isinstance(last, Layout)
    assert [replica.complete for replica in first.replicas] == [False, True, False]
    assert [replica.complete for replica in last.replicas] == [False, True, False, False]


def test_replicas_that_lack_something_leave_before_the_file_may_change_again() -> None:
    ronly = Layout(Striping(), (Replica(("n1",), complete=False), Replica(("n2",))), Update.READ_ONLY, primary=1)
    steps = way(ronly, Goal(2, Update.QUORUM))
    first, last = steps[0], steps[-1]
    assert isinstance(first, Layout)
    assert isinstance(last, Layout)
    assert ([replica.osds for replica in first.replicas], first.primary) == ([("n2",)], 0)
    assert (len(last.replicas), last.update, last.primary) == (2, Update.QUORUM, 0)


def test_what_a_file_is_on_its_way_to_is_in_its_layout_until_it_is_there() -> None:
    first, *_, last = way(layout("n1", update=Update.NONE), Goal(1, Update.NONE, frozenset({"n1"})))
    assert isinstance(first, Layout)
    assert isinstance(last, Layout)
    assert (first.wish, last.wish) == (Wish(1, Update.NONE), None)
    assert due(first, frozenset({"n1"})) == Goal(1, Update.NONE, frozenset({"n1"}))
    assert due(last, frozenset({"n1"})) is None


def test_something_is_due_where_osds_are_to_be_left_replicas_are_too_few_or_lack_something() -> None:
    three = layout("n1", "n2", "n3", update=Update.ALL)
    assert due(three, frozenset({"n4"})) is None
    assert due(three, frozenset({"n3", "n4"})) == Goal(3, Update.ALL, frozenset({"n3"}))
    left = without_dead(three, "n1", states(n2=5, n3=5))
    assert left is not None
    assert due(left, frozenset()) == Goal(3, Update.ALL)
    lacking = Layout(Striping(), (Replica(("n1",)), Replica(("n2",), complete=False)), Update.READ_ONLY)
    assert due(lacking, frozenset()) == Goal(2, Update.READ_ONLY)


def test_one_of_two_goes_on_alone_only_if_it_has_all_that_was_acknowledged() -> None:
    two = layout("n1", "n2", term=3)
    removed = Goal(2, Update.QUORUM, frozenset({"n1"}))
    left = without_lost(two, removed, {"n2": ShareState("f", 0, 0, 3, 9)})
    assert left is not None
    assert (left.replicas, left.term, left.version, left.wish) == (two.replicas[1:], 4, 1, Wish(2, Update.QUORUM))
    assert without_lost(two, removed, {"n2": ShareState("f", 0, 0, 2, 9)}) is None
    assert without_lost(two, removed, {}) is None
    assert without_lost(two, Goal(2, Update.QUORUM), {"n2": ShareState("f", 0, 0, 3, 9)}) is None
    assert without_lost(two, removed, {"n1": ShareState("f", 0, 0, 3, 9), "n2": ShareState("f", 0, 0, 3, 9)}) is None
    assert without_lost(layout("n1", "n2"), removed, {"n2": ShareState("f", 0, 0, 0, 0)}) is not None


def test_a_replica_on_a_disk_that_is_gone_is_due_to_be_made_again_if_need_be_on_the_same_osd() -> None:
    replicas = tuple(Replica((osd,), stores=(f"old-{osd}",)) for osd in ("n1", "n2", "n3"))
    three = msgspec.structs.replace(layout("n1", "n2", "n3"), replicas=replicas)
    now = {"n1": "old-n1", "n2": "new-n2", "n3": "old-n3"}
    assert due(three, frozenset(), {"n1": "old-n1", "n2": "old-n2"}) is None
    goal = due(three, frozenset(), now)
    assert goal == Goal(3, Update.QUORUM, lost=frozenset({"old-n2"}))
    assert goal is not None

    def more(not_on: frozenset[str]) -> Replica | None:
        return next((Replica((osd,), stores=(store,)) for osd, store in now.items() if osd not in not_on), None)

    first = next_step(three, goal, more)
    assert isinstance(first, Layout)
    assert ([one.osds[0] for one in first.replicas], first.wish) == (["n1", "n3"], Wish(3, Update.QUORUM))
    second = next_step(first, goal, more)
    assert isinstance(second, Layout)
    assert {pair for one in second.replicas for pair in zip(one.osds, one.stores, strict=True)} == set(now.items())
    assert next_step(second, goal, more) is None


def states(**versions: int) -> dict[str, ShareState]:
    return {osd: ShareState("f", 0, 0, 1, version) for osd, version in versions.items()}


def test_the_replica_with_the_newest_becomes_primary_if_a_majority_answers() -> None:
    three = layout("n1", "n2", "n3")
    taken = without_dead(three, "n1", states(n2=4, n3=5))
    assert taken is not None
    assert (taken.primary, taken.term, taken.replicas) == (2, 2, three.replicas)
    assert without_dead(three, "n1", states(n2=4)) is None
    assert without_dead(three, "n2", states(n1=4, n3=4)) == three


def test_write_all_goes_on_without_what_does_not_answer() -> None:
    taken = without_dead(layout("n1", "n2", "n3", update=Update.ALL), "n1", states(n3=5))
    assert taken is not None
    assert ([replica.osds[0] for replica in taken.replicas], taken.primary, taken.term) == (["n3"], 0, 2)
    assert without_dead(layout("n1", update=Update.NONE), "n1", {}) is None


@given(st.lists(st.sampled_from(OSDS), min_size=1, max_size=5, unique=True), st.data())
def test_every_majority_of_the_next_step_has_one_that_was_settled(osds: list[str], data: st.DataObject) -> None:
    now = layout(*osds, term=7)
    goal = Goal(data.draw(st.integers(1, 5)), Update.QUORUM, frozenset(data.draw(st.sets(st.sampled_from(OSDS)))))
    settled = data.draw(st.sets(st.sampled_from(osds)))
    seen = {osd: ShareState("f", 0, 0, 7 if osd in settled else 6, 0) for osd in osds}
    assert is_settled(now, seen) == (2 * len(settled) > len(osds))
    steps = [step for step in way(now, goal)[:1] if isinstance(step, Layout)]
    if is_settled(now, seen) and steps:
        following = [replica.osds[0] for replica in steps[0].replicas]
        majority = data.draw(st.permutations(following))[: len(following) // 2 + 1]
        assert settled & set(majority)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def mrc(grid: Grid, tmp_path: Path) -> AsyncIterator[Mrc]:
    async with serving(grid, tmp_path, around=Around("n1", "n2", "n3", "n4")) as made:
        await made.volume(policy=Policy(update=Update.QUORUM, replicas=3))
        yield made


@pytest.fixture
async def session(mrc: Mrc) -> Session:
    return await mrc.session()


@pytest.fixture
async def made(mrc: Mrc, session: Session) -> Opened:
    with acting(NODE1):
        return await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))


async def test_a_dead_primary_is_replaced_once_by_a_new_term(mrc: Mrc, session: Session, made: Opened) -> None:
    before = mrc.capability(made).layout
    assert (len(before.replicas), before.term) == (3, 1)
    dead = before.replicas[0].osds[0]
    mrc.around.osds[dead].up = False
    with acting(NODE1):
        after = mrc.capability(await mrc.service.fail_over(made.handle, 1, dead, mrc.ask(session))).layout
        assert (after.term, after.version, after.replicas) == (2, before.version, before.replicas)
        assert after.replicas[after.primary].osds != (dead,)
        await until(lambda: mrc.around.records[dead].suspect)
        late = await mrc.service.fail_over(made.handle, 1, dead, mrc.ask(session))
        assert mrc.capability(late).layout == after
        for osd in mrc.around.osds.values():
            osd.up = False
        with pytest.raises(Refused) as raised:
            await mrc.service.fail_over(made.handle, 2, after.replicas[after.primary].osds[0], mrc.ask(session))
        assert raised.value.data["errno"] == errno.EAGAIN
        new = await mrc.service.open_name(session.root.id, b"g", WRITE, mrc.ask(session))
        assert dead not in {replica.osds[0] for replica in mrc.capability(new).layout.replicas}


async def test_replicas_leave_an_osd_in_step_and_its_share_is_deleted(mrc: Mrc, made: Opened) -> None:
    before = mrc.capability(made)
    gone = before.layout.replicas[0].osds[0]
    with acting(ALICE):
        after = await mrc.service.change_layout(made.inode.id, 3, Update.QUORUM, (gone,), Ask())
    assert gone not in {replica.osds[0] for replica in after.replicas}
    assert (len(after.replicas), after.term) == (3, 3)
    await until(lambda: mrc.around.osds[gone].deleted == [before.file_id])
    terms = [mrc.read(signed).layout.term for osd in mrc.around.osds.values() for signed in osd.presented]
    assert sorted(terms) == [1, 2, 3]
    (renewed,) = [mrc.read(signed) for osd in mrc.around.osds.values() for signed in osd.presented[-1:]][-1:]
    assert renewed.holder == "core"


async def test_a_file_that_is_written_to_cannot_be_frozen_and_one_that_is_frozen_not_written_to(
    mrc: Mrc, session: Session, made: Opened
) -> None:
    with acting(ADMIN):
        with pytest.raises(Refused) as raised:
            await mrc.service.change_layout(made.inode.id, 3, Update.READ_ONLY, (), Ask())
        assert raised.value.data["errno"] == errno.ETXTBSY
    with acting(NODE1):
        await mrc.service.close([Closed(made.handle)], mrc.ask(session))
    with acting(ADMIN):
        frozen = await mrc.service.change_layout(made.inode.id, 4, Update.READ_ONLY, (), Ask())
        assert [replica.complete for replica in frozen.replicas] == [True, False, False, False]
    await until_layouts(mrc, [made.inode.id], lambda found: all(one.complete for one in found[0].replicas))
    with acting(NODE1), pytest.raises(Refused) as raised:
        await mrc.service.open(made.inode.id, WRITE, mrc.ask(session))
    assert raised.value.data["errno"] == errno.EROFS


async def test_replicas_are_the_owner_s_to_change_and_only_as_many_as_there_are_osds(mrc: Mrc, made: Opened) -> None:
    with acting(NODE1), pytest.raises(Refused) as raised:
        await mrc.service.change_layout(made.inode.id, 1, Update.QUORUM, (), Ask())
    assert raised.value.data["errno"] == errno.EPERM
    with acting(ALICE), pytest.raises(Refused) as raised:
        await mrc.service.change_layout(made.inode.id, 5, Update.QUORUM, (), Ask())
    assert raised.value.data["errno"] == errno.ENOSPC
    with acting(ALICE), pytest.raises(Refused) as raised:
        await mrc.service.change_layout(made.inode.id, 2, Update.NONE, (), Ask())
    assert raised.value.data["errno"] == errno.EINVAL


async def layouts(mrc: Mrc, inodes: list[int]) -> list[Layout]:
    with acting(ADMIN):
        return [await mrc.service.layout(inode) for inode in inodes]


async def until_layouts(mrc: Mrc, inodes: list[int], good: Callable[[list[Layout]], bool]) -> None:
    """Nobody is told of what the MRC does by itself."""
    async with asyncio.timeout(15):
        while not good(await layouts(mrc, inodes)):  # noqa: ASYNC110 -- there is no event
            await asyncio.sleep(0.02)


def off(node: str, found: list[Layout]) -> bool:
    """Whether all have as many replicas as wished, none of them there."""
    return all(
        one.wish is None and len(one.replicas) == 3 and node not in {replica.osds[0] for replica in one.replicas}
        for one in found
    )


async def set_status(mrc: Mrc, node: str, status: Status) -> None:
    mrc.around.records[node] = msgspec.structs.replace(mrc.around.records[node], status=status)
    await mrc.service.osds.look()


async def many(mrc: Mrc, session: Session, count: int) -> list[int]:
    """Files, by inode."""
    with acting(NODE1):
        made = [await mrc.service.open_name(session.root.id, b"%d" % n, WRITE, mrc.ask(session)) for n in range(count)]
    return [one.inode.id for one in made]


@pytest.mark.parametrize("status", [Status.DRAINING, Status.REMOVED])
async def test_files_leave_an_osd_that_is_not_wanted_any_more(
    mrc: Mrc, session: Session, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    monkeypatch.setattr(management, "PIECE", 7)
    inodes = await many(mrc, session, 20)
    assert not off("n1", await layouts(mrc, inodes))
    await set_status(mrc, "n1", status)
    await until_layouts(mrc, inodes, partial(off, "n1"))


async def test_a_dead_osd_that_is_removed_is_made_up_for(mrc: Mrc, session: Session) -> None:
    inodes = await many(mrc, session, 10)
    mrc.around.osds["n2"].up = False
    await set_status(mrc, "n2", Status.REMOVED)
    await until_layouts(mrc, inodes, partial(off, "n2"))


async def test_emptying_an_osd_goes_on_after_the_end_of_the_mrc(grid: Grid, tmp_path: Path) -> None:
    around = Around("n1", "n2", "n3", "n4")
    async with serving(grid, tmp_path, around=around) as first:
        await first.volume(policy=Policy(update=Update.QUORUM, replicas=3))
        inodes = await many(first, await first.session(), 10)
        seen = (await layouts(first, inodes))[0]
        step = next_step(seen, Goal(1, Update.NONE, frozenset({"n1"})), lambda _: None)
        assert isinstance(step, Layout)
        await first.service.store.write(lambda db: contents.set_layout(db, inodes[0], step))
    around.records["n1"] = msgspec.structs.replace(around.records["n1"], status=Status.DRAINING)
    async with serving(grid, tmp_path, around=around) as second:
        await until_layouts(second, inodes[1:], partial(off, "n1"))
        await until_layouts(second, inodes[:1], lambda found: found[0].update is Update.NONE)
        (one,) = await layouts(second, inodes[:1])
        assert (len(one.replicas), one.wish) == (1, None)


async def test_the_only_replica_is_not_joined_by_others_while_it_does_not_answer(mrc: Mrc) -> None:
    await mrc.volume("plain")
    session = await mrc.session("plain")
    (inode,) = await many(mrc, session, 1)
    (before,) = await layouts(mrc, [inode])
    (node,) = before.replicas[0].osds
    mrc.around.osds[node].up = False
    with acting(ALICE), pytest.raises(Refused) as raised:
        await mrc.service.change_layout(inode, 1, Update.NONE, (node,), Ask())
    assert raised.value.data["errno"] == errno.EAGAIN
    assert await layouts(mrc, [inode]) == [before]


async def test_a_directory_s_policy_holds_for_what_is_made_below_it(mrc: Mrc, session: Session) -> None:
    import stat

    with acting(ALICE):
        directory = await mrc.service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, Ask())
        await mrc.service.set_policy(directory.id, Policy(Striping(1 << 16, 2)), Ask())
        below = await mrc.service.create(directory.id, b"e", stat.S_IFDIR | 0o755, 0, None, Ask())
        made = await mrc.service.open_name(below.id, b"f", WRITE, Ask())
        with pytest.raises(Refused):
            await mrc.service.set_policy(directory.id, Policy(osd_selection=("no such",)), Ask())
    found = mrc.capability(made).layout
    assert (found.striping, len(found.replicas), found.update) == (Striping(1 << 16, 2), 1, Update.NONE)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Layout) == found
