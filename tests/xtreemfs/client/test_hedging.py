# SPDX-License-Identifier: BSD-3-Clause
"""Who is slow is passed by, who fails too; nobody is left running."""

from __future__ import annotations

import asyncio

import pytest

from support.dixi import until
from xos.xtreemfs.client.hedging import first_answer

LONG = 60.0
"""Seconds that no test waits for."""


class Asked:
    """Several who can be asked; each answers, fails, or never does."""

    def __init__(self, *answers: object) -> None:
        self.answers = answers
        self.begun: list[int] = []
        self.cancelled: list[int] = []

    def asks(self) -> list[object]:
        return [lambda at=at: self._ask(at) for at in range(len(self.answers))]

    async def _ask(self, at: int) -> object:
        self.begun.append(at)
        answer = self.answers[at]
        if answer is None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(at)
                raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def first(self, seconds: float) -> tuple[int, object]:
        return await first_answer(self.asks(), seconds, (KeyError, ValueError))  # type: ignore[arg-type]


async def test_who_answers_at_once_is_the_only_one_asked() -> None:
    asked = Asked("a", "b")
    assert await asked.first(LONG) == (0, "a")
    assert asked.begun == [0]


async def test_who_is_slow_is_passed_by_and_told_to_stop() -> None:
    asked = Asked(None, None, "c")
    assert await asked.first(0.01) == (2, "c")
    assert asked.cancelled == [0, 1]


async def test_after_a_failure_the_next_is_asked_at_once() -> None:
    asked = Asked(KeyError("a"), "b", "c")
    assert await asked.first(LONG) == (1, "b")
    assert asked.begun == [0, 1]


async def test_a_slow_one_still_counts_when_the_next_fails() -> None:
    slow = asyncio.Event()

    async def late() -> str:
        await slow.wait()
        return "late"

    async def broken() -> str:
        slow.set()
        raise KeyError("broken")

    assert await first_answer([late, broken], 0.01, (KeyError,)) == (0, "late")


async def test_when_all_fail_the_first_failure_is_told() -> None:
    with pytest.raises(ValueError, match="first"):
        await Asked(ValueError("first"), KeyError("second")).first(LONG)


async def test_what_the_next_one_could_not_do_better_is_told_at_once() -> None:
    asked = Asked(None, OSError("no right"), "c")
    with pytest.raises(OSError, match="no right"):
        await asked.first(0.01)
    assert (asked.begun, asked.cancelled) == ([0, 1], [0])


async def test_whoever_gives_up_leaves_nobody_running() -> None:
    asked = Asked(None, None)
    task = asyncio.create_task(asked.first(0.001))
    await until(lambda: len(asked.begun) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked.cancelled == [0, 1]
