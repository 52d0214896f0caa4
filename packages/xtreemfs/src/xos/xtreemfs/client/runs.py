# SPDX-License-Identifier: BSD-3-Clause
"""What was written to a file and is not at its OSDs yet: runs of bytes that do not overlap. Pure."""

from __future__ import annotations

from bisect import bisect_right
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

    def __len__(self) -> int:
        return len(self._runs)

    def put(self, offset: int, content: Bytes) -> None:
        """Take a copy of *content*; it hides what was at its place."""
        if not len(content):
            return
        end = offset + len(content)
        runs = self._runs
        first = bisect_right(runs, offset, key=_start)
        after = first
        if first:
            before = runs[first - 1]
            if end <= before.end:
                before.content[offset - before.offset : end - before.offset] = content
                return
            if offset < before.end:
                first -= 1
        while after < len(runs) and runs[after].offset < end:
            after += 1
        hidden = runs[first:after]
        if first and not hidden:
            before = runs[first - 1]
            if offset == before.end and len(before.content) + len(content) <= MERGE_BYTES:
                before.content.extend(content)
                self.size += len(content)
                return
        laid = [Run(offset, bytearray(content))]
        if hidden and hidden[0].offset < offset:
            laid.insert(0, Run(hidden[0].offset, hidden[0].content[: offset - hidden[0].offset]))
        if hidden and hidden[-1].end > end:
            laid.append(Run(end, hidden[-1].content[end - hidden[-1].offset :]))
        runs[first:after] = laid
        self.size += _bytes(laid) - _bytes(hidden)

    def take(self) -> list[Run]:
        """All of it; nothing is left."""
        taken, self._runs, self.size = self._runs, [], 0
        return taken

    def overlapping(self, offset: int, end: int) -> Iterator[Run]:
        """Runs that have bytes between *offset* and *end*."""
        return (run for run in self._runs if run.offset < end and offset < run.end)


def _start(run: Run) -> int:
    return run.offset


def _bytes(runs: list[Run]) -> int:
    return sum(len(run.content) for run in runs)


def overlap(some: list[Run], others: list[Run]) -> bool:
    """Whether any of *some* has bytes where one of *others* has; both are in the order of the file."""
    if not some or not others or some[0].offset >= others[-1].end or others[0].offset >= some[-1].end:
        return False
    starts = [run.offset for run in others]
    for run in some:
        at = bisect_right(starts, run.offset)
        if (at and others[at - 1].end > run.offset) or (at < len(others) and starts[at] < run.end):
            return True
    return False


def lay_over(under: bytearray, offset: int, run: Run) -> None:
    """Put the part of *run* that lies within *under*, which begins at *offset*, over it."""
    start, end = max(run.offset, offset), min(run.end, offset + len(under))
    if start < end:
        under[start - offset : end - offset] = memoryview(run.content)[start - run.offset : end - run.offset]
