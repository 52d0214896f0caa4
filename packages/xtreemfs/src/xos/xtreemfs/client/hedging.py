# SPDX-License-Identifier: BSD-3-Clause
"""Asking the next one when one is slow: the first answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


async def first_answer(
    asks: Sequence[Callable[[], Awaitable[_T]]], seconds: float, passing: tuple[type[Exception], ...]
) -> tuple[int, _T]:
    """Which of *asks* answers first, and what; the others are cancelled.

    The next one is asked *seconds* after the last, or at once when one that was asked has failed with one of *passing*.
    Raises what the first to fail raised, when all have; whatever else one raises, at once.
    """
    loop = asyncio.get_running_loop()
    running: dict[asyncio.Future[_T], int] = {}
    failed: Exception | None = None
    todo = list(enumerate(asks))
    try:
        while todo or running:
            if todo:
                at, ask = todo.pop(0)
                running[asyncio.ensure_future(ask(), loop=loop)] = at
            done, _ = await asyncio.wait(
                running, timeout=seconds if todo else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                at = running.pop(task)
                try:
                    return at, task.result()
                except passing as error:
                    failed = failed or error
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)
    assert failed is not None, "there was something to ask"  # noqa: S101
    raise failed
