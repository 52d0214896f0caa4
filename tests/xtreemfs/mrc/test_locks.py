# SPDX-License-Identifier: BSD-3-Clause
"""Advisory locks: the rules against a model of single bytes, and many owners at a real MRC."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.dixi import Grid, make_grid, until
from support.mrc import NODE1, Mrc, acting, serving
from xos.xtreemfs.api import Access, Inode, Lock, Open, Session
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc.locking import MOST_END, Range, closes_a_circle, in_the_way, together, without

BYTES = 12


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, int, int, bool | None]:
    first = draw(st.integers(0, BYTES - 1))
    return (
        draw(st.sampled_from("abc")),
        first,
        draw(st.integers(first, BYTES - 1)),
        draw(st.sampled_from([True, False, None])),
    )


@given(st.lists(steps(), max_size=25))
def test_ranges_are_held_as_if_each_byte_had_a_lock_of_its_own(taken: list[tuple[str, int, int, bool | None]]) -> None:
    held: list[Range] = []
    model: list[dict[str, bool]] = [{} for _ in range(BYTES)]
    for who, first, last, exclusive in taken:
        wanted = Range(("s", who), first, last, bool(exclusive), 0, False)
        mine = [lock for lock in held if lock.owner == wanted.owner]
        others = [lock for lock in held if lock.owner != wanted.owner]
        cells = model[first : last + 1]
        if exclusive is None:
            held = others + without(mine, wanted)
            for cell in cells:
                cell.pop(who, None)
            continue
        blocked = any(owner != who and (mode or exclusive) for cell in cells for owner, mode in cell.items())
        assert bool(in_the_way(held, wanted)) == blocked
        if not blocked:
            held = others + together(mine, wanted)
            for cell in cells:
                cell[who] = exclusive
    for number, cell in enumerate(model):
        there = {lock.owner[1]: lock.exclusive for lock in held if lock.first <= number <= lock.last}
        assert there == cell


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20), st.integers(0, 6), st.integers(0, 6))
def test_a_circle_is_found_if_and_only_if_there_is_one(edges: list[tuple[int, int]], me: int, blocker: int) -> None:
    def name(number: int) -> tuple[str, str]:
        return "s", str(number)

    reached, grown = {blocker}, True
    while grown:
        more = {to for from_, to in edges if from_ in reached} - reached
        reached, grown = reached | more, bool(more)
    waits = [(name(from_), frozenset({name(to)})) for from_, to in edges]
    assert closes_a_circle(waits, name(me), [name(blocker)]) == (me in reached)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def mrc(grid: Grid, database: str, tmp_path: Path) -> AsyncIterator[Mrc]:
    async with serving(grid, tmp_path, database=database) as made:
        await made.volume()
        with acting(NODE1):
            yield made


@pytest.fixture
async def session(mrc: Mrc) -> Session:
    return await mrc.session()


@pytest.fixture
async def file(mrc: Mrc, session: Session) -> Inode:
    wanted = Open(Access.READ | Access.WRITE, create=True)
    return (await mrc.service.open_name(session.root.id, b"f", wanted, mrc.ask(session))).inode


def span(
    file: Inode, owner: int, start: int = 0, end: int = MOST_END, *, shared: bool = False, bsd: bool = False
) -> Lock:
    return Lock(file.id, owner, start, end, not shared, 42, bsd)


async def test_a_lock_waits_until_another_client_gives_it_back(mrc: Mrc, session: Session, file: Inode) -> None:
    other = await mrc.session()
    await mrc.service.lock(span(file, 1, 0, 9), False, mrc.ask(session))
    with pytest.raises(Refused) as raised:
        await mrc.service.lock(span(file, 1, 5, 20), False, mrc.ask(other))
    assert raised.value.data["errno"] == errno.EAGAIN
    assert await mrc.service.test_lock(span(file, 1, 5, 20), other.id) == span(file, 1, 0, 9)
    assert await mrc.service.test_lock(span(file, 1, 10, 20), other.id) is None
    await mrc.service.lock(span(file, 1, bsd=True), False, mrc.ask(other))
    waiting = asyncio.ensure_future(mrc.service.lock(span(file, 1, 5, 20), True, mrc.ask(other)))
    await until(lambda: bool(mrc.service._waits))
    await mrc.service.unlock(span(file, 1, 5, 9), mrc.ask(session))
    await asyncio.wait_for(waiting, 15)
    assert await mrc.service.test_lock(span(file, 9, 0, 4), other.id) == span(file, 1, 0, 4)


async def test_who_would_wait_for_itself_is_told(mrc: Mrc, session: Session, file: Inode) -> None:
    other = await mrc.session()
    await mrc.service.lock(span(file, 1, 0, 0), False, mrc.ask(session))
    await mrc.service.lock(span(file, 2, 1, 1), False, mrc.ask(other))
    waiting = asyncio.ensure_future(mrc.service.lock(span(file, 1, 1, 1), True, mrc.ask(session)))
    await until(lambda: bool(mrc.service._waits))
    with pytest.raises(Refused) as raised:
        await mrc.service.lock(span(file, 2, 0, 0), True, mrc.ask(other))
    assert raised.value.data["errno"] == errno.EDEADLK
    await mrc.service.unlock(span(file, 2), mrc.ask(other))
    await asyncio.wait_for(waiting, 15)


async def test_locks_of_a_client_that_goes_are_given_back_and_outlive_the_mrc(
    grid: Grid, database: str, tmp_path: Path
) -> None:
    async with serving(grid, tmp_path, database=database) as mrc:
        await mrc.volume()
        session, other = await mrc.session(), await mrc.session()
        with acting(NODE1):
            wanted = Open(Access.READ | Access.WRITE, create=True)
            file = (await mrc.service.open_name(session.root.id, b"f", wanted, mrc.ask(session))).inode
            await mrc.service.lock(span(file, (1 << 64) - 1), False, mrc.ask(session))
    async with serving(grid, tmp_path, database=database) as mrc:
        mrc.number = 100
        with acting(NODE1):
            waiting = asyncio.ensure_future(mrc.service.lock(span(file, 1), True, mrc.ask(other)))
            await until(lambda: bool(mrc.service._waits))
            await mrc.service.end(session.id)
            await asyncio.wait_for(waiting, 15)


@pytest.mark.timeout(90)
async def test_a_hundred_owners_never_hold_a_byte_together_and_all_get_their_turn(
    mrc: Mrc, session: Session, file: Inode
) -> None:
    rng, inside = random.Random(7), [0] * 8

    async def work(owner: int) -> None:
        for _ in range(2):
            byte = rng.randrange(8)
            await mrc.service.lock(span(file, owner, byte, byte), True, mrc.ask(session))
            inside[byte] += 1
            assert inside[byte] == 1
            await asyncio.sleep(0)
            inside[byte] -= 1
            await mrc.service.unlock(span(file, owner, byte, byte), mrc.ask(session))

    async with asyncio.timeout(75), asyncio.TaskGroup() as tasks:
        for owner in range(100):
            tasks.create_task(work(owner))
    assert not mrc.service._waits


async def test_ranges_that_cannot_be_are_refused(mrc: Mrc, session: Session, file: Inode) -> None:
    for lock in (
        span(file, 1, 5, 4),
        span(file, 1, -1, 4),
        span(file, -1),
        span(file, 1 << 64),
        span(file, 1, 0, 1 << 63),
    ):
        with pytest.raises(Refused) as raised:
            await mrc.service.lock(lock, False, mrc.ask(session))
        assert raised.value.data["errno"] == errno.EINVAL
