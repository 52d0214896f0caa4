# SPDX-License-Identifier: BSD-3-Clause
"""Checksums of a share, one CRC-32 for each block, in a file of their own beside it. Pure but for `zlib`.

    "XOSSUMS1"  u32 state  u32 0      then a u32 for each block: CRC-32 xor that of a whole block of zeros

So a hole in the share is a hole in the file of sums, and costs nothing in either. The last block's sum is of as many
bytes as it has. All numbers are little-endian.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 64 << 10
"""Bytes. The sum of a block is checked whenever any of it is read."""
MAGIC = b"XOSSUMS1"
HEAD = struct.Struct("<8sII")
SUM = struct.Struct("<I")
_ZERO_BLOCK = zlib.crc32(bytes(BLOCK))


class State(enum.IntEnum):
    """What the sums are worth after a power cut."""

    DIRTY = 0
    """The share was written to since: they may be older than it. Also a file of sums with nothing in it."""
    SYNCED = 1
    """Both were on disk, and fit."""


class Span(NamedTuple):
    """A block, and what of it is meant: number *block*, bytes *start* to *end* of the share."""

    block: int
    start: int
    end: int


def sum_of(content: bytes | bytearray | memoryview) -> int:
    """The number to be kept for a block's *content*."""
    return zlib.crc32(content) ^ _ZERO_BLOCK


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
