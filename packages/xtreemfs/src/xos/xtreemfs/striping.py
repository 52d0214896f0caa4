# SPDX-License-Identifier: BSD-3-Clause
"""Which bytes of a file are where: RAID-0 over a row of OSDs (first seed, 3.9.3). Pure.

A file is cut into objects of `size` bytes; object n lies on the OSD at place n mod `width`. An OSD keeps its objects of
a file one behind the other, as one *share*; so a file on one OSD is one file there, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

LEAST_SIZE, MOST_SIZE = 4096, 64 << 20
MOST_WIDTH = 256


class Piece(NamedTuple):
    """A run of a file's bytes that lie on one OSD, within one object."""

    place: int
    """Of the OSD in its row, from 0."""
    object_number: int
    share_offset: int
    """Where it begins in the share of that OSD."""
    file_offset: int
    length: int


class Stretch(NamedTuple):
    """Bytes of a file that lie one behind the other on one OSD: what one call reads or writes."""

    place: int
    """Of the OSD in its row, from 0."""
    share_offset: int
    length: int
    parts: list[tuple[int, int]]
    """Where in the file they belong: offset and length of each part, in the order of the share."""


class Striping(msgspec.Struct, array_like=True, frozen=True):
    """How one replica of a file is laid out."""

    size: int = 128 << 10
    """Bytes of an object: a multiple of 4,096."""
    width: int = 1
    """Number of OSDs."""

    def __post_init__(self) -> None:
        if not LEAST_SIZE <= self.size <= MOST_SIZE or self.size % LEAST_SIZE:
            raise ValueError(f"an object has {LEAST_SIZE} to {MOST_SIZE} bytes, a multiple of {LEAST_SIZE}")
        if not 1 <= self.width <= MOST_WIDTH:
            raise ValueError(f"a file is striped over 1 to {MOST_WIDTH} OSDs")

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """The pieces of *length* bytes from *offset*, in the order of the file."""
        end = offset + length
        while offset < end:
            number, within = divmod(offset, self.size)
            row, place = divmod(number, self.width)
            run = min(self.size - within, end - offset)
            yield Piece(place, number, row * self.size + within, offset, run)
            offset += run

    def stretches(self, offset: int, length: int, most: int) -> list[Stretch]:
        """The same bytes, each OSD's together, in calls of at most *most* bytes."""
        end = offset + length
        if self.width == 1:  # a share is the file, byte for byte: objects do not part it
            cuts = [(at, min(most, end - at)) for at in range(offset, end, most)]
            return [Stretch(0, at, size, [(at, size)]) for at, size in cuts]
        found: list[Stretch] = []
        growing: dict[int, int] = {}
        for piece in self.pieces(offset, length):
            done = 0
            while done < piece.length:
                index = growing.get(piece.place)
                if index is None or found[index].length == most:
                    index = growing[piece.place] = len(found)
                    found.append(Stretch(piece.place, piece.share_offset + done, 0, []))
                last = found[index]
                size = min(most - last.length, piece.length - done)
                last.parts.append((piece.file_offset + done, size))
                found[index] = last._replace(length=last.length + size)
                done += size
        return found

    def share_size(self, file_size: int, place: int) -> int:
        """How long the share of the OSD at *place* is when the file has *file_size* bytes."""
        objects, rest = divmod(file_size, self.size)
        rows, last = divmod(objects, self.width)
        return rows * self.size + (self.size if place < last else rest if place == last else 0)

    def file_size(self, share_sizes: list[int]) -> int:
        """The least size of a file whose shares are so long: where its last byte is."""
        ends = (self.end_of(share, place) for place, share in enumerate(share_sizes))
        return max(ends, default=0)

    def end_of(self, share: int, place: int) -> int:
        """Where in the file the last byte of *share* bytes at *place* ends."""
        if share == 0:
            return 0
        row, within = divmod(share - 1, self.size)
        return (row * self.width + place) * self.size + within + 1
