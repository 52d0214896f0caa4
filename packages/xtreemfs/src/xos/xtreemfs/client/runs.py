# SPDX-License-Identifier: BSD-3-Clause
"""What was written to a file and is not at its OSDs yet: runs of bytes that do not overlap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MERGE_BYTES = 1 << 20
"""Runs grow by what is written at their end up to this."""
Bytes = bytes | bytearray | memoryview


class Run(NamedTuple):
    """Bytes from *offset* on."""

    offset: int
    content: bytearray

    @property
    def end(self) -> int:
        """Behind its last byte."""
        return self.offset + len(self.content)


class Runs:
    """Runs in the order of the file."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self.size = 0
        """Bytes of all runs."""

    def __bool__(self) -> bool:
        return bool(self._runs)

    def put(self, offset: int, content: Bytes) -> None:
        """Take a copy of *content*; it hides what was at its place."""
        if not len(content):
            return
        end = offset + len(content)
        runs = self._runs
        last = runs[-1] if runs else None
        if last is None or offset > last.end:
            runs.append(Run(offset, bytearray(content)))
            self.size += len(content)
            return
        if offset == last.end and len(last.content) + len(content) <= MERGE_BYTES:
            last.content.extend(content)
            self.size += len(content)
            return
        for run in runs:
            if run.offset <= offset and end <= run.end:
                run.content[offset - run.offset : end - run.offset] = content
                return
        kept: list[Run] = []
        for run in runs:
            if run.offset < offset:
                kept.append(Run(run.offset, run.content[: offset - run.offset]) if run.end > offset else run)
            if run.end > end:
                kept.append(Run(end, run.content[end - run.offset :]) if run.offset < end else run)
        kept.append(Run(offset, bytearray(content)))
        kept.sort(key=_start)
        self._runs = kept
        self.size = sum(len(run.content) for run in kept)

    def take(self) -> list[Run]:
        """All of it; nothing is left."""
        taken, self._runs, self.size = self._runs, [], 0
        return taken

    def overlapping(self, offset: int, end: int) -> Iterator[Run]:
        """Runs that have bytes between *offset* and *end*."""
        return (run for run in self._runs if run.offset < end and offset < run.end)


def _start(run: Run) -> int:
    return run.offset


def lay_over(under: bytearray, offset: int, run: Run) -> None:
    """Put the part of *run* that lies within *under*, which begins at *offset*, over it."""
    start, end = max(run.offset, offset), min(run.end, offset + len(under))
    if start < end:
        under[start - offset : end - offset] = memoryview(run.content)[start - run.offset : end - run.offset]
