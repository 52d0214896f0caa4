# SPDX-License-Identifier: BSD-3-Clause
"""What rows share while the bench runs: daemons and workers, started on first use, stopped at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

from bench.model import CannotRun

T = TypeVar("T")


class Resources:
    """Keeps one of each thing that rows use; closing it closes them in reverse order."""

    def __init__(
        self, root: Path, build: Path, *, scale: float = 1.0, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = root
        """The checkout."""
        self.build = build
        """``build/bench``: all that the bench writes."""
        self.scale = scale
        """Below 1: fewer jobs and shorter runs, for a quick look."""
        self.say = say
        self._kept: dict[Hashable, Any] = {}
        self._failed: dict[Hashable, str] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Resources:
        return self

    def __exit__(self, *exc: object) -> None:
        self._kept.clear()
        self._stack.close()

    def get(self, key: Hashable, make: Callable[[], contextlib.AbstractContextManager[T]], *, what: str = "") -> T:
        """The thing kept under *key*, made and entered if it is not there yet; what failed once is not tried again."""
        if key in self._failed:
            raise CannotRun(self._failed[key])
        if key not in self._kept:
            if what:
                self.say(f"starting {what}")
            try:
                self._kept[key] = self._stack.enter_context(make())
            except CannotRun as why:
                self._failed[key] = str(why)
                raise
        return cast("T", self._kept[key])

    def scaled(self, count: int, least: int = 1) -> int:
        """*count* pieces of work, fewer on a quick run."""
        return max(least, round(count * self.scale))
