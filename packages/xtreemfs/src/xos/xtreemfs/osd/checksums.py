# SPDX-License-Identifier: BSD-3-Clause
"""Checksums of a share, one CRC-32 for each block, in a file of their own beside it. Pure but for `isal`.

    head (128 bytes, see `Head`)      then a u32 for each block: CRC-32 xor that of a whole block of zeros

So a hole in the share is a hole in the file of sums, and costs nothing in either. The last block's sum is of as many
bytes as it has. All numbers are little-endian.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from isal.isal_zlib import crc32, crc32_combine

BLOCK = 64 << 10
"""Bytes. The sum of a block is checked whenever any of it is read."""
MAGIC = b"XOSSUMS3"
HEAD = struct.Struct("<8sI4x8s9Q32x")
SUM = struct.Struct("<I")
_ZERO_BLOCK = crc32(bytes(BLOCK))
Bytes = bytes | bytearray | memoryview


class Synced(enum.IntEnum):
    """What the sums are worth after a power cut."""

    DIRTY = 0
    """The share was written to since: they may be older than it. Also a file of sums with nothing in it."""
    SYNCED = 1
    """Both were on disk, and fit."""
    CLOSED = 2
    """They fit as long as the kernel runs that the share was written under: it was put away without being synced."""


class Mark(NamedTuple):
    """What an OSD must not forget of a share besides its bytes."""

    epoch: int = 0
    """Of the last truncation; capabilities of an older one are refused."""
    revision: int = 0
    """Of the last revocation; capabilities of an older one are refused."""
    layout: int = 0
    """Version of the layout; capabilities of an older one are refused."""
    promised: int = 0
    """The latest term of a primary that this replica follows."""
    term: int = 0
    """Of the primary that ordered the last change."""
    version: int = 0
    """Number of the last change in that term."""
    snapshot: int = 0
    """By which number it was written last; what snapshots up to it show is kept apart (`osd.snapshots`)."""


class Head(NamedTuple):
    """The beginning of a file of sums. In one sector, so that it is written whole."""

    state: Synced = Synced.DIRTY
    boot: bytes = bytes(8)
    """Of the running kernel that wrote it: after another one began, changes that were not synced may be lost."""
    mark: Mark = Mark()
    synced_term: int = 0
    """What `Mark.term` was when all was synced last."""
    synced_version: int = 0

    def pack(self) -> bytes:
        """As on disk."""
        return HEAD.pack(MAGIC, self.state, self.boot, *self.mark, self.synced_term, self.synced_version)

    @classmethod
    def unpack(cls, content: bytes) -> Head:
        """From disk. What is no head is that of a share that has never been synced."""
        if len(content) < HEAD.size:
            return cls()
        magic, state, boot, *numbers = HEAD.unpack(content[: HEAD.size])
        if magic != MAGIC:
            return cls()
        known = next((one for one in Synced if one == state), Synced.DIRTY)
        return cls(known, boot, Mark(*numbers[:7]), *numbers[7:])

    def found(self, boot: bytes) -> Head:
        """What of it counts after a start on the kernel *boot*."""
        if self.state is Synced.SYNCED or self.boot == boot:
            return self
        mark = self.mark._replace(term=self.synced_term, version=self.synced_version)
        return self._replace(state=Synced.DIRTY, mark=mark)


class Span(NamedTuple):
    """A block, and what of it is meant: number *block*, bytes *start* to *end* of the share."""

    block: int
    start: int
    end: int


def sum_of(content: Bytes) -> int:
    """The number to be kept for a block's *content*."""
    return crc32(content) ^ _ZERO_BLOCK


def replaced(known: int, behind: int, old: Bytes, new: Bytes) -> int:
    """The sum of a block once *new* is where *old*, just as long, was; *behind* bytes of the block follow.

    CRC-32 is linear, so what differs is all that has to be looked at. Damage of other bytes shows in the new sum as it
    did in the known one. So does damage of *old* itself: the block stays damaged until it is written as a whole.
    """
    return known ^ crc32_combine(crc32(old) ^ crc32(new), 0, behind)


def extended(known: int, more: Bytes) -> int:
    """The sum of a block once *more* follows what it had."""
    return crc32(more, known ^ _ZERO_BLOCK) ^ _ZERO_BLOCK


def place_of(index: int) -> int:
    """Where the sum of block *index* is in its file."""
    return HEAD.size + SUM.size * index


def blocks(offset: int, length: int) -> Iterator[Span]:
    """The blocks that *length* bytes from *offset* touch, each with the bytes that are meant."""
    end = offset + length
    while offset < end:
        index = offset // BLOCK
        stop = min((index + 1) * BLOCK, end)
        yield Span(index, offset, stop)
        offset = stop


def whole(index: int, size: int) -> Span:
    """All of block *index* in a share of *size* bytes."""
    return Span(index, index * BLOCK, max(index * BLOCK, min((index + 1) * BLOCK, size)))
