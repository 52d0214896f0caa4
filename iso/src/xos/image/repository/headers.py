# SPDX-License-Identifier: BSD-3-Clause
"""RPM headers as bytes: urpmi keeps two tags of its own in those of an hdlist."""

from __future__ import annotations

import struct

FILENAME_TAG = 1_000_000
FILESIZE_TAG = 1_000_001
INT32, STRING = 4, 6
INTRO = struct.Struct(">8sII")
INDEX = struct.Struct(">IIII")


def with_media_tags(header: bytes, filename: str, size: int) -> bytes:
    """The header (with its magic) and what URPM adds in an hdlist: file name and size of the RPM.

    The new entries come last and their data is appended, so that the immutable region stays as it is.
    """
    magic, count, length = INTRO.unpack_from(header)
    start = INTRO.size + INDEX.size * count
    index, data = header[INTRO.size : start], bytearray(header[start : start + length])
    name_at = len(data)
    data += filename.encode() + b"\0"
    data += bytes(-len(data) % 4)
    size_at = len(data)
    data += struct.pack(">I", size)
    index += INDEX.pack(FILENAME_TAG, STRING, name_at, 1) + INDEX.pack(FILESIZE_TAG, INT32, size_at, 1)
    return INTRO.pack(magic, count + 2, len(data)) + index + bytes(data)


def media_tags(header: bytes) -> tuple[str, int]:
    """What `with_media_tags` added. Raises ``KeyError`` if it is not there."""
    _, count, _ = INTRO.unpack_from(header)
    start = INTRO.size + INDEX.size * count
    tags = {row[0]: row for row in INDEX.iter_unpack(header[INTRO.size : start])}
    name_at = start + tags[FILENAME_TAG][2]
    name = header[name_at : header.index(b"\0", name_at)].decode()
    (size,) = struct.unpack_from(">I", header, start + tags[FILESIZE_TAG][2])
    return name, size
