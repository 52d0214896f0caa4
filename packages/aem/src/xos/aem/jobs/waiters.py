# SPDX-License-Identifier: BSD-3-Clause
"""Those who wait for a job to end, or watch it: woken by what happens, never by a clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from xos.aem.api import JobInfo

BEHIND = 16
"""Changes that a slow watcher may be behind; then the oldest are left out, never the last."""


class Waiters:
    """Futures and watches by job."""

    def __init__(self) -> None:
        self._ends: dict[str, set[asyncio.Future[JobInfo]]] = {}
        self._watches: dict[str, set[_Watch]] = {}

    def watched(self, job_id: str) -> bool:
        """Whether anybody wants to hear of changes of this job."""
        return job_id in self._watches

    def watched_jobs(self) -> list[str]:
        """The jobs that are watched."""
        return list(self._watches)

    async def end(self, job_id: str) -> JobInfo:
        """The job when it has ended; the caller has made sure that it has not yet."""
        future: asyncio.Future[JobInfo] = asyncio.get_running_loop().create_future()
        waiting = self._ends.setdefault(job_id, set())
        waiting.add(future)
        try:
            return await future
        finally:
            waiting.discard(future)
            if not waiting and self._ends.get(job_id) is waiting:
                del self._ends[job_id]

    async def watch(self, first: JobInfo) -> AsyncIterator[JobInfo]:
        """*first*, then each change until the job has ended."""
        if first.state.ended:
            yield first
            return
        watch = _Watch(first)
        watches = self._watches.setdefault(first.job_id, set())
        watches.add(watch)
        try:
            yield first
            while True:
                info = await watch.next()
                yield info
                if info.state.ended:
                    return
        finally:
            watches.discard(watch)
            if not watches and self._watches.get(first.job_id) is watches:
                del self._watches[first.job_id]

    def changed(self, info: JobInfo) -> None:
        """Tell the watchers of a job how it stands; what they know already is not said twice."""
        for watch in self._watches.get(info.job_id, ()):
            watch.tell(info)

    def ended(self, info: JobInfo) -> None:
        """A job has ended, durably."""
        for future in self._ends.pop(info.job_id, ()):
            if not future.done():
                future.set_result(info)
        self.changed(info)


class _Watch:
    """What one watcher has not read yet."""

    def __init__(self, known: JobInfo) -> None:
        self._last = known
        self._unread: deque[JobInfo] = deque(maxlen=BEHIND)
        self._some = asyncio.Event()

    def tell(self, info: JobInfo) -> None:
        if info != self._last:
            self._last = info
            self._unread.append(info)
            self._some.set()

    async def next(self) -> JobInfo:
        while not self._unread:
            self._some.clear()
            await self._some.wait()
        return self._unread.popleft()
