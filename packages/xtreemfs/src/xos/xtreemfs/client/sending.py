# SPDX-License-Identifier: BSD-3-Clause
"""Which calls bring runs of bytes to the OSDs where they belong: few, however many runs there are. Pure."""

from __future__ import annotations

from typing import NamedTuple

from xos.xtreemfs.api import MOST_PARTS, Part, Striping
from xos.xtreemfs.client.runs import Bytes, Run

PIECE = 1 << 20
"""Bytes of one call at the most."""


class Load(NamedTuple):
    """What one call writes at one OSD."""

    place: int
    """Of the OSD in its row, from 0."""
    parts: list[Part]
    """Of its share, in ascending order."""
    content: Bytes


class _Loading:
    """One that is not full."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.pieces: list[memoryview] = []
        self.size = 0

    def takes(self, length: int) -> bool:
        """Whether a part of so many bytes has room."""
        return self.size + length <= PIECE and len(self.parts) < MOST_PARTS

    def done(self, place: int) -> Load:
        """As it is sent; one piece is not copied."""
        return Load(place, self.parts, self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces))


def loads(runs: list[Run], striping: Striping) -> list[Load]:
    """The calls that write *runs*, which do not overlap and are in the order of the file."""
    found: list[Load] = []
    loading: dict[int, _Loading] = {}
    for run in runs:
        view = memoryview(run.content)
        for one in striping.stretches(run.offset, len(run.content), PIECE):
            own = loading.get(one.place)
            if own is not None and not own.takes(one.length):
                found.append(own.done(one.place))
                own = None
            if own is None:
                own = loading[one.place] = _Loading()
            own.parts.append(Part(one.share_offset, one.length))
            own.pieces += [view[at - run.offset : at - run.offset + size] for at, size in one.parts]
            own.size += one.length
    return found + [own.done(place) for place, own in loading.items()]
