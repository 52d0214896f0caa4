# SPDX-License-Identifier: BSD-3-Clause
"""Rules of stages and deadlines, apart from any network."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.dixi import Probe, until
from xos.common.errors import InternalError, XosError
from xos.common.identity import ANONYMOUS
from xos.dixi.api import LATER, CallContext, Later, at_once, call, current_call, service
from xos.dixi.bus import Local
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import DeadlineExceeded, NotConnected, Overloaded
from xos.dixi.expiry import Expiry
from xos.dixi.metrics import BOUNDS, Histogram
from xos.dixi.stage import Stage, Work


class Bench:
    """A stage with the probe behind it, and what became of the work given to it."""

    def __init__(self, **limits: int) -> None:
        self.probe = Probe()
        self.stage = Stage("Probe", **limits)
        self.dispatcher = Dispatcher()
        self.dispatcher.add(self.probe, self.stage)
        self.ended: list[tuple[str, Any, XosError | None]] = []

    def submit(self, method: str, *args: Any) -> Work:
        found = self.dispatcher.find(f"Probe.{method}")
        context = CallContext(ANONYMOUS, "Probe", method, None, None)
        work = Work(found, args, context, lambda value, error: self.ended.append((method, value, error)))
        self.stage.submit(work)
        return work


async def test_no_more_calls_run_at_once_than_the_limit() -> None:
    bench = Bench(limit=3, queue=10)
    for _ in range(8):
        bench.submit("hold")
    await until(lambda: bench.stage.running == 3)
    assert bench.stage.queued == 5
    bench.probe.opened.set()
    await until(lambda: len(bench.ended) == 8)
    assert {value for _, value, _ in bench.ended} == {"opened"}


async def test_a_refused_call_finishes_before_submit_returns() -> None:
    bench = Bench(limit=1, queue=0)
    bench.submit("hold")
    bench.submit("echo", b"")
    assert isinstance(bench.ended[0][2], Overloaded)
    assert bench.stage.metrics.refused == 1
    bench.probe.opened.set()
    await bench.stage.drain(1.0)


async def test_a_queued_call_that_nobody_wants_any_more_is_never_run() -> None:
    bench = Bench(limit=1, queue=5)
    bench.submit("hold")
    queued = bench.submit("echo", b"")
    queued.cancel()
    bench.probe.opened.set()
    await until(lambda: len(bench.ended) == 2)
    assert isinstance(bench.ended[1][2], DeadlineExceeded)
    assert bench.probe.calls == 0


async def test_a_call_cancelled_before_its_first_step_still_finishes() -> None:
    bench = Bench(limit=1)
    bench.submit("echo", b"").cancel()
    await until(lambda: len(bench.ended) == 1)
    assert isinstance(bench.ended[0][2], DeadlineExceeded)
    assert bench.stage.running == 0


async def test_draining_lets_calls_end_and_cancels_those_that_do_not() -> None:
    bench = Bench(limit=2, queue=5)
    for _ in range(3):
        bench.submit("hold")
    await until(lambda: bench.stage.running == 2)
    await bench.stage.drain(0.05)
    await until(lambda: len(bench.ended) == 3)
    assert all(isinstance(error, DeadlineExceeded) for _, _, error in bench.ended)


@pytest.mark.timeout(60)
@given(st.lists(st.sampled_from(["echo", "hold", "wait", "fail", "crash", "cancel", "open"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_work_finishes_exactly_once_whatever_happens(steps: list[str]) -> None:
    async def run() -> None:
        bench = Bench(limit=2, queue=3, waiting=3)
        submitted: list[Work] = []
        for step in steps:
            if step == "cancel" and submitted:
                submitted[len(submitted) // 2].cancel()
            elif step == "open":
                bench.probe.opened.set()
            elif step != "cancel":
                submitted.append(bench.submit(step, *{"echo": (b"",), "fail": ("x",)}.get(step, ())))
            await asyncio.sleep(0)
        bench.probe.opened.set()
        await bench.stage.drain(5.0)
        await until(lambda: len(bench.ended) == len(submitted))
        assert (bench.stage.running, bench.stage.queued, bench.stage.waiting) == (0, 0, 0)

    loop = asyncio.new_event_loop()  # not asyncio.run: it would leave pytest-asyncio's own loop unclosed
    loop.run_until_complete(run())
    loop.close()


async def test_deadlines_fire_in_order_once_and_only_if_not_discarded() -> None:
    fired: list[int] = []
    expiry = Expiry(asyncio.get_running_loop(), lambda number, _: fired.append(number))
    now = asyncio.get_running_loop().time()
    for number, after in ((1, 0.10), (2, 0.02), (3, 0.06), (4, 0.04)):
        expiry.add(number, now + after, "x")
    expiry.discard(4)
    await until(lambda: len(fired) == 3)
    assert fired == [2, 3, 1]
    expiry.close()


@given(st.lists(st.floats(0, 100), max_size=200))
def test_a_histogram_counts_every_duration_in_one_bucket(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    buckets = dict(histogram.buckets())
    assert buckets["+Inf"] == len(durations)
    for bound in BOUNDS:
        assert buckets[str(bound)] == sum(seconds <= bound for seconds in durations)


async def test_a_local_call_waits_until_its_service_has_started() -> None:
    bench = Bench()
    local = Local("node1", ANONYMOUS, bench.dispatcher)
    local.starting("Probe")
    early = asyncio.create_task(local.call("Probe.anybody", (), str))
    await asyncio.sleep(0.02)
    assert not early.done()
    with pytest.raises(NotConnected, match="has not started"):
        await local.call("Probe.anybody", (), str, deadline=0.01)
    local.started("Probe")
    assert await early == "hello"


@service
class Quick(Protocol):
    """Doubles numbers."""

    @call
    async def double(self, number: int) -> int: ...


class Doubling(Quick):
    """Answers what is odd at once; of what is negative it fails."""

    def __init__(self) -> None:
        self.asked: list[CallContext] = []
        self.gate = asyncio.Event()

    def _double_now(self, number: int) -> int | Later:
        self.asked.append(current_call())
        if number == -1:
            raise NotConnected(address="x", detail="odd")
        if number < 0:
            raise ValueError(number)
        return LATER if number % 2 == 0 else 2 * number

    @at_once(_double_now)
    async def double(self, number: int) -> int:
        await self.gate.wait()
        return 2 * number


class Answering(Bench):
    """The same with `Doubling`."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self.quick = Doubling()
        self.dispatcher.add(self.quick, self.stage)

    def double(self, number: int) -> None:
        context = CallContext(ANONYMOUS, "Quick", "double", None, None, request=str(number))
        found = self.dispatcher.find("Quick.double")
        self.stage.submit(
            Work(found, (number,), context, lambda value, error: self.ended.append(("double", value, error)))
        )


async def test_what_needs_no_waiting_is_answered_before_submit_returns() -> None:
    bench = Answering(limit=2, queue=2)
    bench.double(3)
    assert bench.ended == [("double", 6, None)]
    assert bench.quick.asked[0].request == "3"
    assert current_call().request == ""
    assert bench.stage.metrics.methods["double"].outcomes == {"ok": 1}
    bench.double(4)
    assert bench.stage.running == 1
    bench.quick.gate.set()
    await until(lambda: len(bench.ended) == 2)
    assert bench.ended[1] == ("double", 8, None)
    assert len(bench.quick.asked) == 2
    assert bench.stage.metrics.methods["double"].outcomes == {"ok": 2}


async def test_what_fails_at_once_is_told_and_the_stage_goes_on() -> None:
    bench = Answering()
    for number in (-1, -2, 1):
        bench.double(number)
    assert [type(error) for _, _, error in bench.ended] == [NotConnected, InternalError, type(None)]
    assert bench.stage.running == 0
    await bench.stage.drain(1.0)


async def test_who_waits_for_a_place_is_not_passed_by_what_could_be_answered_at_once() -> None:
    bench = Answering(limit=1, queue=2)
    for number in (2, 4, 5, 7):
        bench.double(number)
    assert bench.quick.asked == bench.quick.asked[:1]
    assert [type(error) for _, _, error in bench.ended] == [Overloaded]
    bench.quick.gate.set()
    await until(lambda: len(bench.ended) == 4)
    assert [value for _, value, _ in bench.ended[1:]] == [4, 8, 10]
