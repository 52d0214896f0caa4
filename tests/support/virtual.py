# SPDX-License-Identifier: BSD-3-Clause
"""An event loop whose time passes only when everybody sleeps: an hour is over as soon as its work is done."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Never waits."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits, and nothing will happen any more")
            self.loop.now += max(0.0, timeout)
        return ready


class _Task(asyncio.Task[Any]):
    """Sets of these have one order in every run."""

    _number: int

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)
        self._numbers = itertools.count()
        self.set_task_factory(self._make)

    def _make(self, _loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> Any:
        _Task._number = next(self._numbers)  # it is looked at while the task is being made
        task = _Task(work, loop=self, **how)
        task._number = _Task._number
        return task

    def time(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in simulated time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
