# SPDX-License-Identifier: BSD-3-Clause
"""Work on one share comes in turn, in one thread at a time; that on others does not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from xos.xtreemfs.osd.turns import Turns


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


async def test_work_on_one_share_is_done_in_order_and_by_one_thread_at_a_time(pool: ThreadPoolExecutor) -> None:
    turns, order, inside = Turns(pool), list[int](), threading.Semaphore(1)

    def work(number: int) -> int:
        assert inside.acquire(blocking=False)
        order.append(number)
        inside.release()
        return -number

    for first in range(0, 500, 5):  # some find a thread at work, some none
        numbers = range(first, first + 5)
        assert await asyncio.gather(*(turns.run("one", partial(work, n)) for n in numbers)) == [-n for n in numbers]
    assert order == list(range(500))


async def test_another_share_does_not_wait(pool: ThreadPoolExecutor) -> None:
    turns, go_on = Turns(pool), threading.Event()
    slow = asyncio.ensure_future(turns.run("one", lambda: go_on.wait(30)))
    assert await asyncio.wait_for(turns.run("two", lambda: "done"), 10) == "done"
    assert not slow.done()
    go_on.set()
    assert await slow


async def test_an_error_is_told_to_who_asked_and_what_comes_after_is_done(pool: ThreadPoolExecutor) -> None:
    turns = Turns(pool)

    def fail() -> None:
        raise OSError(28, "full")

    failed, done = await asyncio.gather(turns.run("one", fail), turns.run("one", lambda: 1), return_exceptions=True)
    assert isinstance(failed, OSError)
    assert done == 1


async def test_what_nobody_waits_for_any_more_is_not_begun(pool: ThreadPoolExecutor) -> None:
    turns, go_on, done = Turns(pool), threading.Event(), list[str]()
    first = asyncio.ensure_future(turns.run("one", lambda: go_on.wait(30)))
    second = asyncio.ensure_future(turns.run("one", lambda: done.append("second")))
    third = asyncio.ensure_future(turns.run("one", lambda: done.append("third")))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await asyncio.gather(first, third)
    assert done == ["third"]
