# SPDX-License-Identifier: BSD-3-Clause
"""A stage: one service's bounded queue, its concurrency limit and its admission control (seed 1, section 4.1; SEDA).

A call that finds a free place runs at once; one that finds none waits in the queue; one that finds the queue full is
refused at once with the time after which to try again. What a service can answer without waiting (`api.at_once`) it
answers without a task, where it would have found a place. Calls that sleep until something happens (``waits``) take no
place, but their number is bounded too.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from xos.common.errors import InternalError, XosError
from xos.common.log import get_logger
from xos.dixi.api import LATER, CallContext, _current
from xos.dixi.errors import DeadlineExceeded, Overloaded
from xos.dixi.metrics import StageMetrics

if TYPE_CHECKING:
    from xos.dixi.dispatch import Method

log = get_logger("xos.dixi.stage")


class Work:
    """One call on its way through a stage. `finish` is called exactly once, with the value or the error."""

    __slots__ = ("args", "arrived", "begun", "context", "finish", "method", "send", "task", "unwanted")

    def __init__(
        self,
        method: Method,
        args: tuple[Any, ...],
        context: CallContext,
        finish: Callable[[Any, XosError | None], None],
        send: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self.method = method
        self.args = args
        self.context = context
        self.finish = finish
        self.send = send
        """Of a stream: hands on one item, and waits while the reader is behind."""
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.unwanted = False
        self.arrived = time.perf_counter()

    def cancel(self) -> None:
        """Stop the call, running or queued; it finishes with `DeadlineExceeded`, whoever still listens."""
        self.unwanted = True
        # A task that is cancelled before its first step never runs at all, and would never finish its work.
        if self.task is not None and self.begun:
            self.task.cancel()


class Stage:
    """Runs the calls of one service."""

    def __init__(self, name: str, *, limit: int = 64, queue: int = 1024, waiting: int = 20_000) -> None:
        self.name = name
        self.limit = limit
        self.bound = queue
        self.waiting_bound = waiting
        self.metrics = StageMetrics(name)
        self._queue: deque[Work] = deque()
        self._running: set[Work] = set()
        self._waiting: set[Work] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def queued(self) -> int:
        """Calls that wait for a place."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Calls that hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Calls that sleep until something happens, streams among them."""
        return len(self._waiting)

    def submit(self, work: Work) -> None:
        """Start *work*, queue it, or refuse it: then it finishes with `Overloaded` before this returns."""
        if work.method.waits:
            if len(self._waiting) >= self.waiting_bound:
                self._refuse(work)
            else:
                self._start(work, self._waiting)
        elif len(self._running) < self.limit:
            twin = work.method.at_once
            if twin is None or not self._answered(work, twin):
                self._start(work, self._running)
        elif len(self._queue) < self.bound:
            self._queue.append(work)
        else:
            self._refuse(work)

    def _answered(self, work: Work, twin: Callable[..., Any]) -> bool:
        """Whether the service has answered without waiting; then *work* is finished."""
        began = time.perf_counter()
        value: Any = None
        error: XosError | None = None
        before = _current.set(work.context)
        try:
            value = twin(*work.args)
        except XosError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 -- as in `_run`
            error = _incident(work, raised)
        finally:
            _current.reset(before)
        if value is LATER:
            return False
        self.metrics.observe(work, began, error)
        work.finish(value, error)
        return True

    def _refuse(self, work: Work) -> None:
        error = Overloaded(service=self.name, queued=len(self._queue))
        # By then about this many calls will have been served.
        error.retry_after_ms = max(50, int(1000 * self.metrics.mean_service_time * self.bound / self.limit))
        self.metrics.refused += 1
        work.finish(None, error)

    def _start(self, work: Work, place: set[Work]) -> None:
        self._idle.clear()
        place.add(work)
        work.task = asyncio.get_running_loop().create_task(self._run(work, place))

    async def _run(self, work: Work, place: set[Work]) -> None:
        began = time.perf_counter()
        value: Any = None
        error: XosError | None = None
        work.begun = True
        _current.set(work.context)
        try:
            if work.unwanted:
                raise DeadlineExceeded(method=work.method.name)
            if work.send is None:
                value = await work.method.fn(*work.args)
            else:
                await _pump(work.method.fn(*work.args), work.send)
        except XosError as raised:
            error = raised
        except asyncio.CancelledError:
            error = DeadlineExceeded(method=work.method.name)
        except Exception as raised:  # noqa: BLE001 -- whatever a service raises, the daemon goes on and the caller hears
            error = _incident(work, raised)
        place.discard(work)
        self.metrics.observe(work, began, error)
        try:
            work.finish(value, error)
        finally:
            self._next()

    def _next(self) -> None:
        while self._queue and len(self._running) < self.limit:
            work = self._queue.popleft()
            if work.unwanted:
                work.finish(None, DeadlineExceeded(method=work.method.name))
            else:
                self._start(work, self._running)
        if not self._running and not self._waiting and not self._queue:
            self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Wait until the calls under way have ended; cancel what remains after *seconds*, and sleepers at once."""
        for work in list(self._waiting):
            work.cancel()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            for work in [*self._queue, *self._running]:
                work.cancel()
            log.warning("stage.drain-cancelled", service=self.name, running=len(self._running))
            tasks = [work.task for work in [*self._running, *self._waiting] if work.task is not None]
            await asyncio.wait(tasks, timeout=1.0) if tasks else None


async def perform(method: Method, args: tuple[Any, ...], context: CallContext, deadline: float | None) -> Any:
    """Send one call through its stage and wait for the answer, at most *deadline* seconds.

    Raises what the service raises, and `DeadlineExceeded`. Whoever gives up waiting cancels the call.
    """
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def finish(value: Any, error: XosError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    work = Work(method, args, context, finish)
    method.stage.submit(work)
    try:
        async with asyncio.timeout(deadline):
            return await future
    except TimeoutError as error:
        raise DeadlineExceeded(method=method.name) from error
    finally:
        if future.cancelled():  # by whoever waited for it
            work.cancel()


async def _pump(items: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    try:
        async for item in items:
            await send(item)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def _incident(work: Work, raised: Exception) -> XosError:
    incident = secrets.token_hex(4)
    log.error(
        "call.failed",
        method=work.method.name,
        caller=str(work.context.caller),
        incident=incident,
        exc_info=raised,
    )
    return InternalError(incident=incident)
