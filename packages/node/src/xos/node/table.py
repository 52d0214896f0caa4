# SPDX-License-Identifier: BSD-3-Clause
"""The table that libnss_xos maps into every process: one file, read-only, replaced as a whole. Pure, but for `Table`.

Little-endian. `kernel-modules/nss_xos/table.c` reads it, and no byte before it has checked that it is there.

======  ====================================================================================================
offset  header (128 bytes)
======  ====================================================================================================
0       ``XOSTABLE``
8       u32 version; u32 length of the head (header, ranges, suffixes); u32 CRC-32 of the head, with this and
        the next field zero; u32 *replaced*: not 0 once a newer file is about to take this one's name
24      u64 length of the file; u64 generation
40      u32 flags (1: getpwent lists); then u32 pairs:
44      ranges: number, offset. Pairs of u32: first and last uid or gid
52      suffixes: bytes, offset. ``demo\\0`` …
60      users by name: mask, offset. Buckets of u32 hash, u32 offset of the record (0: empty)
68      users by uid; 76 groups by name; 84 groups by gid: the same
92      users by number: count, offset. u32 offsets of records; 100 groups: the same
======  ====================================================================================================

A record: u32 Adler-32 of all after it, u32 length, u32 kind (1 user, 2 group), u32 number of gids, u32 id, u32 0, the
gids, then strings: of a user the name, its own group's name (also the GECOS field), home, shell; of a group its name.
Hashes: CRC-32 of a name; `id_hash` of a number. From its bucket an entry is at most `PROBES` further; what finds no
place there is left to the daemon.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.node.config import Range

MAGIC = b"XOSTABLE"
VERSION = 1
HEADER = struct.Struct("<8sIIIIQQI21I")
REPLACED_AT = 20
ENUMERATE = 1
PROBES = 32
MAX_RECORD = 64 * 1024
MAX_GIDS = 4096
_HEAD = struct.Struct("<IIIIII")
_USER, _GROUP = 1, 2
_LEAST_BUCKETS = 8
_DOUBLINGS = 3


class User(msgspec.Struct, frozen=True):
    """A line of passwd, with groups."""

    uid: int
    name: str
    own_group: str
    home: str
    shell: str
    gids: tuple[int, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """A line of group."""

    gid: int
    name: str


def id_hash(number: int) -> int:
    """Where a number's bucket is."""
    mixed = (number * 0x9E3779B1) & 0xFFFFFFFF
    return mixed ^ (mixed >> 15)


def name_hash(name: str) -> int:
    """Where a name's bucket is."""
    return zlib.crc32(name.encode())


def record(entry: User | Group) -> bytes:
    """The record of a user or a group."""
    if isinstance(entry, User):
        strings, kind, number, gids = (
            [entry.name, entry.own_group, entry.home, entry.shell],
            _USER,
            entry.uid,
            entry.gids,
        )
    else:
        strings, kind, number, gids = [entry.name], _GROUP, entry.gid, ()
    gids = gids[:MAX_GIDS]
    text = "".join(f"{each}\0" for each in strings).encode()
    size = _HEAD.size + 4 * len(gids) + len(text)
    padding = -size % 8
    body = _HEAD.pack(0, size + padding, kind, len(gids), number, 0)[4:]
    body += struct.pack(f"<{len(gids)}I", *gids) + text + bytes(padding)
    return struct.pack("<I", zlib.adler32(body)) + body


class Builder:
    """Makes tables; records that have not changed are taken from the one before."""

    def __init__(self) -> None:
        self._records: dict[User | Group, bytes] = {}

    def build(
        self,
        users: Sequence[User],
        groups: Sequence[Group],
        *,
        ranges: Iterable[Range],
        suffixes: Iterable[str],
        generation: int,
        enumerate_: bool = False,
    ) -> bytes:
        """The file. *users* and *groups* are in the order of their numbers."""
        spans = b"".join(struct.pack("<II", each.first, each.last) for each in ranges)
        endings = "".join(f"{each}\0" for each in suffixes).encode()
        head_size = HEADER.size + len(spans) + len(endings)
        parts, at = [bytes(-head_size % 8)], head_size + -head_size % 8
        offsets: list[array[int]] = []
        known: dict[User | Group, bytes] = {}
        for entries in (users, groups):
            where = array("I")
            for entry in entries:
                made = known[entry] = self._records.get(entry) or record(entry)
                where.append(at)
                parts.append(made)
                at += len(made)
            offsets.append(where)
        self._records = known
        of_users, of_groups = offsets
        own = [(name_hash(each.own_group), offset) for each, offset in zip(users, of_users, strict=True)]
        indexes = [
            _buckets([(name_hash(each.name), offset) for each, offset in zip(users, of_users, strict=True)]),
            _buckets([(id_hash(each.uid), offset) for each, offset in zip(users, of_users, strict=True)]),
            _buckets([*((name_hash(e.name), o) for e, o in zip(groups, of_groups, strict=True)), *own]),
            _buckets(
                [
                    *((id_hash(each.gid), offset) for each, offset in zip(groups, of_groups, strict=True)),
                    *((id_hash(each.uid), offset) for each, offset in zip(users, of_users, strict=True)),
                ]
            ),
        ]
        numbers = [len(spans) // 8, HEADER.size, len(endings), HEADER.size + len(spans)]
        for buckets in indexes:
            numbers += [len(buckets) // 2 - 1, at]
            parts.append(_little(buckets))
            at += 4 * len(buckets)
        for where in offsets:
            numbers += [len(where), at]
            parts.append(_little(where))
            at += 4 * len(where)
        flags = ENUMERATE if enumerate_ else 0
        numbers += [0] * (21 - len(numbers))
        fields = (at, generation, flags, *numbers)
        head = HEADER.pack(MAGIC, VERSION, head_size, 0, 0, *fields) + spans + endings
        head = HEADER.pack(MAGIC, VERSION, head_size, zlib.crc32(head), 0, *fields) + spans + endings
        return b"".join([head, *parts])


def _buckets(entries: Sequence[tuple[int, int]]) -> array[int]:
    """Open addressing; as much room as it takes for all to be near, within reason."""
    size = max(_LEAST_BUCKETS, 1 << (2 * len(entries)).bit_length())
    for _ in range(_DOUBLINGS):
        buckets, left_out = _filled(entries, size)
        if not left_out:
            break
        size *= 2
    return buckets


def _filled(entries: Sequence[tuple[int, int]], size: int) -> tuple[array[int], int]:
    buckets, mask, left_out = array("I", bytes(8 * size)), size - 1, 0
    for hash_, offset in entries:
        for step in range(PROBES):
            at = 2 * ((hash_ + step) & mask)
            if not buckets[at + 1]:
                buckets[at], buckets[at + 1] = hash_, offset
                break
        else:
            left_out += 1
    return buckets, left_out


def _little(numbers: array[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


class Table:
    """The file, as its one writer sees it. Its content never changes but for *replaced*, its length never."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def replace(self, data: bytes) -> None:
        """Give the name to a new file. Whoever has the old one mapped is told first. Blocks; raises `OSError`."""
        self._tell(1)
        try:
            write_atomically(self.path, data, 0o644)
        except OSError:
            self._tell(0)
            raise

    def _tell(self, replaced: int) -> None:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            if os.fstat(fd).st_size >= HEADER.size:
                os.pwrite(fd, struct.pack("<I", replaced), REPLACED_AT)
        finally:
            os.close(fd)

    def is_there(self) -> bool:
        """Whether there is a file of that name."""
        return self.path.is_file()
