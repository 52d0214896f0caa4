# SPDX-License-Identifier: BSD-3-Clause
"""Passwords and the limits on guessing them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.vom.errors import PasswordsBusy, WeakPassword
from xos.vom.passwords import Cost, Passwords, check_new_password
from xos.vom.throttle import Limit, Throttle, retry_after_ms


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(Cost(passes=1, memory_kib=8), at_once=2, waiting=2)
    yield made
    made.close()


async def test_only_the_password_itself_matches(passwords: Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await passwords.matches(kept, "correct horse")
    assert not await passwords.matches(kept, "correct horsE")


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


async def test_composed_and_decomposed_accents_are_one_password(passwords: Passwords) -> None:
    assert await passwords.matches(await passwords.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")


async def test_an_unknown_user_never_matches_not_even_the_dummy(passwords: Passwords) -> None:
    assert not await passwords.matches(None, "nobody's password")


async def test_an_unknown_user_costs_as_much_as_a_wrong_password() -> None:
    dear = Passwords(Cost(passes=4, memory_kib=16384), at_once=1)
    try:
        kept = await dear.hash("correct horse")

        async def cpu_seconds(kept: str | None) -> float:
            taken = []
            for _ in range(7):
                started = time.process_time()
                await dear.matches(kept, "wrong password")
                taken.append(time.process_time() - started)
            return min(taken)

        known, unknown = await cpu_seconds(kept), await cpu_seconds(None)
        assert 0.5 < unknown / known < 2
    finally:
        dear.close()


async def test_more_than_may_wait_are_turned_away_at_once_and_counted_until_done(passwords: Passwords) -> None:
    hold = threading.Event()
    waiting = [asyncio.create_task(passwords._run(hold.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusy) as caught:
        await passwords.hash("one more")
    assert caught.value.retry_after_ms == 1000
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    with pytest.raises(PasswordsBusy):  # a caller who goes away frees no thread
        await passwords.hash("one more")
    hold.set()
    await asyncio.gather(*waiting[1:])
    assert await passwords.hash("one more")


async def test_the_event_loop_goes_on_while_a_password_is_worked_out() -> None:
    dear = Passwords(Cost(passes=6, memory_kib=65536), at_once=1)
    try:
        working = asyncio.create_task(dear.hash("correct horse"))
        turns = 0
        while not working.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert turns > 10
    finally:
        dear.close()


@pytest.mark.parametrize("password", ["short", "x" * 1025, "\u00e9" * 513, "Charlotte"])
def test_a_new_password_must_not_be_too_short_too_long_or_the_name(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_new_password(password, "charlotte")


def test_a_burst_is_borne_then_one_try_per_interval() -> None:
    throttle = Throttle(Limit(3, 10.0))
    assert [throttle.charge("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
    assert throttle.charge("b", 0.0) == 0.0
    assert throttle.charge("a", 9.0) == pytest.approx(1.0)
    assert throttle.charge("a", 10.0) == 0.0
    assert throttle.charge("a", 10.0) == pytest.approx(10.0)


def test_what_is_given_back_was_never_charged() -> None:
    throttle = Throttle(Limit(1, 10.0))
    for _ in range(5):
        assert throttle.charge("a", 0.0) == 0.0
        throttle.give_back("a")


def test_the_key_longest_unused_is_forgotten_first() -> None:
    throttle = Throttle(Limit(1, 10.0), most_keys=2)
    for key in ("a", "b", "a", "c"):
        throttle.charge(key, 0.0)
    assert len(throttle) == 2
    assert throttle.charge("a", 0.0) > 0
    assert throttle.charge("b", 0.0) == 0.0


@given(
    st.integers(1, 5),
    st.floats(0.1, 100),
    st.lists(st.floats(0, 50), min_size=1, max_size=60),
)
def test_never_more_tries_than_burst_and_time_allow(burst: int, each: float, gaps: list[float]) -> None:
    throttle = Throttle(Limit(burst, each))
    now, allowed = 0.0, 0
    for gap in gaps:
        now += gap
        wait = throttle.charge("a", now)
        assert wait >= 0
        allowed += not wait
        assert allowed <= burst + now / each + 1e-6


@given(st.integers(1, 5), st.floats(0.1, 100), st.lists(st.floats(0, 5), max_size=30))
def test_after_the_time_it_tells_a_try_is_allowed(burst: int, each: float, gaps: list[float]) -> None:
    throttle = Throttle(Limit(burst, each))
    now = 0.0
    for gap in gaps:
        now += gap
        wait = throttle.charge("a", now)
        if wait:
            now += retry_after_ms(wait) / 1000
            assert throttle.charge("a", now) == 0.0
