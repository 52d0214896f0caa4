# SPDX-License-Identifier: BSD-3-Clause
"""Look-ups that follow one another in the order of their directory: many are answered by one call of the MRC.

`ls`, `tar`, `rm` and builds look up name after name as `readdir` has them. After the third one the MRC is asked for the
entries that follow too, and for more of them as long as they are wanted. An answer from here is believed no longer than
any other: for `VALID_SECONDS` since the MRC gave it, until something is heard to have changed, and by those only whom
the MRC has let look into that directory meanwhile.
"""

from __future__ import annotations

import errno
import time
from typing import NamedTuple

from xos.dixi.errors import UnknownMethod
from xos.xtreemfs.api import Claim, Inode, Row
from xos.xtreemfs.client.volume import VolumeClient

VALID_SECONDS = 1.0
"""For how long what the MRC said is believed."""
MOST_KNOWN = 200_000
"""Inodes of which the attributes are remembered."""
MOST_DIRECTORIES = 256
FIRST_ROWS, MOST_ROWS = 8, 256
PATIENCE = 2
"""Look-ups in a directory, one soon after the other, before it is read ahead."""
REST = 64
"""Look-ups more when what was read ahead was of no use."""

Kept = dict[int, tuple[Inode, float]]
"""Attributes by inode number, and when the MRC told them (`time.monotonic`)."""


class Found(NamedTuple):
    """What a name is."""

    inode: Inode
    left: float
    """Seconds for which that may be believed."""


class _Reading:
    """Entries are under way: what changes meanwhile they may not know."""

    __slots__ = ("inodes", "names", "void")

    def __init__(self) -> None:
        self.inodes: set[int] = set()
        self.names: set[bytes] = set()
        self.void = False


class _Directory:
    """One in which names are looked up."""

    __slots__ = ("claims", "looked", "names", "number", "reading", "rows", "size", "turns", "when")

    def __init__(self, number: int) -> None:
        self.number = number
        self.turns, self.looked = 0, 0.0
        """Look-ups that went to the MRC one soon after the other, and the last of them."""
        self.names: dict[bytes, int] = {}
        """What was read ahead and not asked for yet."""
        self.rows, self.size, self.when = FIRST_ROWS, 0, 0.0
        """How much to read ahead; how much it was the last time, and when."""
        self.claims: set[Claim | None] = set()
        self.reading: _Reading | None = None

    def looked_up(self, now: float) -> None:
        """A name was asked for and found at the MRC."""
        if now - self.looked > VALID_SECONDS:
            self.turns = min(self.turns, 0)
        self.turns, self.looked = self.turns + 1, now

    def wanted(self) -> int:
        """How many entries to read now; 0: just the one."""
        if self.turns < PATIENCE or self.reading is not None:
            return 0
        if self.size:
            used = self.size - len(self.names)
            if 4 * used < self.size:
                self.turns, self.rows, self.size = -REST, FIRST_ROWS, 0
                return 0
            if 2 * used >= self.size:
                self.rows = min(4 * self.rows, MOST_ROWS)
        return self.rows


class Ahead:
    """Of a whole volume."""

    def __init__(self, volume: VolumeClient, kept: Kept) -> None:
        """*kept*: where attributes are remembered; `changed` is to hear of each change there."""
        self._volume, self._kept = volume, kept
        self._directories: dict[int, _Directory] = {}
        self._readings: list[_Reading] = []

    def find(self, parent: int, name: bytes, claim: Claim | None) -> Found | None:
        """What was read ahead, once; None: the MRC is to be asked."""
        directory = self._directories.get(parent)
        if directory is None or claim not in directory.claims:
            return None
        number = directory.names.pop(name, None)
        kept = None if number is None else self._kept.get(number)
        if kept is None:
            return None
        left = VALID_SECONDS - (time.monotonic() - min(directory.when, kept[1]))
        return Found(self._volume.seen(kept[0]), left) if left > 0 else None

    async def lookup(self, parent: int, name: bytes, claim: Claim | None) -> Inode:
        """As `VolumeClient.lookup`."""
        directory = self._directories.get(parent)
        rows = 0 if directory is None else directory.wanted()
        if directory is not None and rows:
            try:
                return await self._read(directory, name, rows, claim)
            except OSError as error:
                # Who may not list a directory may still look into it; and an older MRC cannot do this.
                if error.errno != errno.EACCES and not isinstance(error.__cause__, UnknownMethod):
                    raise
                directory.turns = -REST
        inode = await self._volume.lookup(parent, name, claim)
        now = time.monotonic()
        directory = self._directories.get(parent) or self._add(parent)
        directory.looked_up(now)
        directory.claims.add(claim)
        return inode

    async def _read(self, directory: _Directory, name: bytes, most: int, claim: Claim | None) -> Inode:
        reading = directory.reading = _Reading()
        self._readings.append(reading)
        try:
            rows = await self._volume.look_ahead(directory.number, name, most, claim)
        finally:
            self._readings.remove(reading)
            directory.reading = None
        now = time.monotonic()
        self._drop(directory)
        directory.looked_up(now)
        directory.when, directory.size = now, len(rows) - 1
        directory.claims = {claim}
        if not reading.void:
            self._keep(directory, rows[1:], reading)
        return rows[0].inode

    def _keep(self, directory: _Directory, rows: list[Row], reading: _Reading) -> None:
        kept, when = self._kept, directory.when
        if len(kept) >= MOST_KNOWN:
            kept.clear()
        for row in rows:
            number = row.inode.id
            if number not in reading.inodes and row.name not in reading.names:
                kept[number] = row.inode, when
                directory.names[row.name] = number

    def _add(self, number: int) -> _Directory:
        if len(self._directories) >= MOST_DIRECTORIES:
            self._drop(self._directories.pop(next(iter(self._directories))))
        made = self._directories[number] = _Directory(number)
        return made

    def _drop(self, directory: _Directory) -> None:
        """Forget what was read ahead and not asked for."""
        for number in directory.names.values():
            kept = self._kept.get(number)
            if kept is not None and kept[1] == directory.when:
                del self._kept[number]
        directory.names.clear()
        directory.claims.clear()

    # --- what changes

    def told(self, number: int) -> None:
        """Something newer is known of an inode than what is under way."""
        for reading in self._readings:
            reading.inodes.add(number)

    def changed(self, number: int) -> None:
        """As `told`; of a directory, who may look into it may be others now."""
        self.told(number)
        directory = self._directories.get(number)
        if directory is not None:
            self._drop(directory)
            directory.turns, directory.rows, directory.size = 0, FIRST_ROWS, 0
            if directory.reading is not None:
                directory.reading.void = True

    def gone(self, parent: int, name: bytes) -> None:
        """A name leads elsewhere, or nowhere."""
        directory = self._directories.get(parent)
        if directory is not None:
            directory.names.pop(name, None)
            if directory.reading is not None:
                directory.reading.names.add(name)

    def clear(self) -> None:
        """Anything may have changed."""
        for directory in self._directories.values():
            directory.names.clear()
            directory.claims.clear()
        for reading in self._readings:
            reading.void = True
