# SPDX-License-Identifier: BSD-3-Clause
"""A text that is written line by line, with indentation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

WIDTH = 120


class Buffer:
    """Collects lines; `text` is what came of it."""

    def __init__(self, indent: str = "    ") -> None:
        self._indent = indent
        self._depth = 0
        self._lines: list[str] = []

    def add(self, *lines: str) -> None:
        """Add lines at the present depth; an empty one stays empty."""
        prefix = self._indent * self._depth
        self._lines += [prefix + line if line else "" for line in lines]

    def fits(self, line: str) -> bool:
        """Whether *line* would stay within the width at the present depth."""
        return len(self._indent) * self._depth + len(line) <= WIDTH

    @contextlib.contextmanager
    def indented(self) -> Iterator[None]:
        """One level deeper."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def add_call(self, start: str, items: Iterable[str], end: str) -> None:
        """Add ``start(items)end``: on one line, else the items on a line of their own, else a line for each."""
        items = list(items)
        if self.fits(one := f"{start}({', '.join(items)}){end}"):
            self.add(one)
            return
        self.add(f"{start}(")
        with self.indented():
            if self.fits(inner := ", ".join(items)):
                self.add(inner)
            else:
                self.add(*(f"{item}," for item in items))
        self.add(f"){end}")

    @property
    def text(self) -> str:
        """Everything added, each line ended."""
        return "\n".join(self._lines) + "\n"
