# SPDX-License-Identifier: BSD-3-Clause
"""Work on shares in threads: what is to be done to one share is done by one thread, in the order in which it came.

A share is used by one thread at a time anyway. Were each piece of work given to a thread of its own, those threads
would wait for one another's locks, and waking them is dear: seen here, a third of an OSD's CPU time while one file was
read, and more than that at random places.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")


class _Task(NamedTuple):
    work: Callable[[], Any]
    done: asyncio.Future[Any]


class Turns:
    """For one event loop."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._waiting: dict[str, deque[_Task]] = {}
        """By share; one that is not here has no thread."""

    def under_way(self, share: str) -> bool:
        """Whether there is work on that share, or was a moment ago."""
        return share in self._waiting

    async def run(self, share: str, work: Callable[[], T]) -> T:
        """What *work* returns or raises, after all that was asked for of the same share before.

        Who stops waiting before its turn takes it back.
        """
        loop = asyncio.get_running_loop()
        task = _Task(work, loop.create_future())
        waiting = self._waiting.get(share)
        if waiting is None:
            waiting = self._waiting[share] = deque([task])
            self._begin(loop, share, waiting)
        else:
            waiting.append(task)
        return cast("T", await task.done)

    def _begin(self, loop: asyncio.AbstractEventLoop, share: str, waiting: deque[_Task]) -> None:
        ended = partial(loop.call_soon_threadsafe, self._ended, loop, share, waiting)
        self._pool.submit(self._work, loop, waiting).add_done_callback(lambda _: ended())

    @staticmethod
    def _work(loop: asyncio.AbstractEventLoop, waiting: deque[_Task]) -> None:
        """In a thread: all that is there. What comes later is found by `_ended`."""
        while waiting:
            work, done = waiting.popleft()
            if done.cancelled():
                continue
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 -- it is whoever waits for it that must hear of it
                loop.call_soon_threadsafe(_fail, done, error)
            else:
                loop.call_soon_threadsafe(_finish, done, found)

    def _ended(self, loop: asyncio.AbstractEventLoop, share: str, waiting: deque[_Task]) -> None:
        if waiting:
            self._begin(loop, share, waiting)
        else:
            del self._waiting[share]


def _finish(done: asyncio.Future[Any], found: Any) -> None:
    if not done.done():
        done.set_result(found)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
