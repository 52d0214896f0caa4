# SPDX-License-Identifier: BSD-3-Clause
"""The archive format of ``hdlist.cz`` (packdrake, ``cz[0``): compressed blocks, a table of contents, a trailer.

A block holds several files, one after another, up to about 400 KB, compressed by gzip. The table names directories,
symbolic links and files, a line each, then gives four big-endian numbers per file: offset and size of its block, offset
and size in that. The trailer has 64 bytes.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping

from xos.image.errors import BadMedia

BLOCK = 400_000
HEADER, FOOTER = b"cz[0", b"0]cz"
TRAILER = struct.Struct(">4sIIII40s4s")
ENTRY = struct.Struct(">IIII")
UNCOMPRESS = b"gzip -d"


def pack(files: Mapping[str, bytes]) -> bytes:
    """An archive of *files*; names are without newlines, and stand in the archive in their order."""
    data = bytearray()
    entries: list[tuple[int, int, int, int]] = []
    block = bytearray()
    waiting: list[tuple[int, int]] = []

    def flush() -> None:
        packed = gzip.compress(bytes(block), 9, mtime=0)
        entries.extend((len(data), len(packed), offset, size) for offset, size in waiting)
        data.extend(packed)
        block.clear()
        waiting.clear()

    for content in files.values():
        waiting.append((len(block), len(content)))
        block += content
        if len(block) >= BLOCK:
            flush()
    if waiting:
        flush()
    names = "".join(f"{name}\n" for name in files).encode()
    table = b"".join(ENTRY.pack(*entry) for entry in entries)
    trailer = TRAILER.pack(HEADER, 0, 0, len(files), len(names), UNCOMPRESS, FOOTER)
    return bytes(data) + names + table + trailer


def unpack(archive: bytes, *, file: str = "hdlist.cz") -> dict[str, bytes]:
    """The files of an archive. Raises `BadMedia`."""
    try:
        header, dirs, links, count, length, method, footer = TRAILER.unpack(archive[-TRAILER.size :])
        if (header, footer) != (HEADER, FOOTER):
            raise BadMedia(file=file, detail="no packdrake archive: its trailer is wrong")
        if method.rstrip(b"\0") not in (b"gzip -d", b"gzip -dc", b"zcat"):
            raise BadMedia(file=file, detail=f"packed by {method!r}")
        toc = len(archive) - TRAILER.size - ENTRY.size * count
        if length > toc:
            raise BadMedia(file=file, detail="its table of contents is longer than the file")
        names = archive[toc - length : toc].decode().splitlines()[dirs + 2 * links :]
        entries = list(ENTRY.iter_unpack(archive[toc : toc + ENTRY.size * count]))
        blocks = {offset: gzip.decompress(archive[offset : offset + size]) for offset, size, _, _ in entries}
    except (struct.error, gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise BadMedia(file=file, detail=str(error)) from error
    if len(names) != count:
        raise BadMedia(file=file, detail=f"{len(names)} names for {count} files")
    found = {name: blocks[e[0]][e[2] : e[2] + e[3]] for name, e in zip(names, entries, strict=True)}
    for name, entry in zip(names, entries, strict=True):
        if len(found[name]) != entry[3]:
            raise BadMedia(file=file, detail=f"{name} is cut off")
    return found
