# SPDX-License-Identifier: BSD-3-Clause
"""Deadlines of the calls on one connection, watched with one timer.

A timer per call costs more than the call's decoding. Here adding and discarding are dictionary operations; the one
timer is set for the earliest deadline that was known when it was set, and looks for the next when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LEEWAY = 0.002
"""Seconds: deadlines this close together are served by one firing."""


class Expiry:
    """Calls *expired(number, what)* once for each entry whose time has come and that was not discarded."""

    __slots__ = ("_due", "_expired", "_loop", "_next", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[int, str], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._due: dict[int, tuple[float, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def add(self, number: int, due: float, what: str) -> None:
        """Watch *number* until loop time *due*."""
        self._due[number] = (due, what)
        if self._timer is None or due < self._next:
            self._arm(due)

    def discard(self, number: int) -> None:
        """Watch *number* no longer; unknown numbers are fine."""
        self._due.pop(number, None)

    def close(self) -> None:
        """Forget everything."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        horizon = self._loop.time() + LEEWAY
        for number, (due, what) in list(self._due.items()):
            if due <= horizon and self._due.pop(number, None) is not None:
                self._expired(number, what)
        if self._due:
            self._arm(min(due for due, _ in self._due.values()))
