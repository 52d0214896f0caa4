# SPDX-License-Identifier: BSD-3-Clause
"""Small files that are opened in the order in which they were made: many are read by one call of the OSD, ahead.

For files that were made under a lease (`xos.xtreemfs.client.leases`), since one capability is for all of them. What is
read is for the next open of a file, and for that one only; it counts while the lease holds, and nobody here writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import MOST_BEGINNINGS, Beginning
from xos.xtreemfs.api.osd import TOKEN_BYTES
from xos.xtreemfs.client.grants import Grant, Right
from xos.xtreemfs.client.leases import File, Numbers
from xos.xtreemfs.xati import OSDAsync

log = get_logger("xos.xtreemfs.client")

MOST_BYTES = 64 << 10
"""Of a file that is read ahead."""
MOST_CALL = 1 << 20
"""Bytes of one call."""
MOST_KEPT = 8 << 20
"""Bytes of all that was read ahead and not asked for."""
NEAR = 4
"""A file that was made so many places behind the last that was opened follows it."""
PATIENCE = 2
"""Files that follow one another before it is read ahead."""
REST = 64
"""Files more when an OSD could not do that."""
LEAST_LEFT = MOST_BEGINNINGS // 2
"""Files, with so few of them left ahead the next are asked for."""


class Early:
    """A file's bytes, read before anybody has asked for them."""

    __slots__ = ("arrives", "content", "file", "size", "stamp", "until")

    def __init__(self, file: File, size: int) -> None:
        self.file, self.stamp, self.size = file, file.stamp, size
        self.content: bytes | None = None
        """None: it is still under way, or is to be read by a call of its own."""
        self.arrives: asyncio.Task[None] | None = None
        """None: it need not be waited for."""
        self.until = 0.0
        """Until when it counts (`time.monotonic`), once the file is open."""

    def at_hand(self, offset: int, length: int, size: int) -> memoryview | None:
        """Bytes of the file of *size* bytes; None: ask the OSD."""
        if self.content is None or size != self.size or time.monotonic() >= self.until:
            return None
        return memoryview(self.content)[offset : offset + length]

    async def arrived(self) -> None:
        """Wait for what is under way."""
        if self.arrives is not None:
            await asyncio.wait([self.arrives])


class EarlyReads:
    """Of one client."""

    def __init__(self, files: Mapping[int, File], changes: Callable[[int], bool]) -> None:
        """*files*: those under leases, by number; *changes*: whether one is written here, or was a moment ago."""
        self._files, self._changes = files, changes
        self._kept: dict[int, Early] = {}
        self._used = 0
        """Bytes that `_kept` has, or is to have."""

    @property
    def size(self) -> int:
        """Bytes that are kept, or on their way."""
        return self._used

    def opened(self, file: File, numbers: Numbers, grant: Grant) -> Early | None:
        """A file is opened to be read; its bytes, if they are here or on their way."""
        if not numbers.follows(file.number, NEAR):
            numbers.asked = 0
        if numbers.turns >= PATIENCE and numbers.asked - file.number < LEAST_LEFT:
            self._ask(max(numbers.asked + 1, file.number), numbers, grant)
        return self._take(file)

    def _take(self, file: File) -> Early | None:
        early = self.drop(file.number)
        return early if early is not None and early.file is file and early.stamp == file.stamp else None

    def drop(self, number: int) -> Early | None:
        """Somebody writes a file: it is not kept; what was."""
        early = self._kept.pop(number, None)
        if early is not None:
            self._used -= early.size
        return early

    def clear(self) -> None:
        """A lease is over."""
        self._kept.clear()
        self._used = 0

    def _ask(self, start: int, numbers: Numbers, grant: Grant) -> None:
        asked: list[Early] = []
        size = 0
        most = min(MOST_BYTES, grant.layout.striping.size)  # all of it on the first OSD of the row
        for number in range(start, min(start + MOST_BEGINNINGS, numbers.last + 1)):
            file = self._files.get(number)
            numbers.asked = number
            if file is None or file.inode is None or file.numbers is not numbers or self._changes(number):
                continue
            if 0 < file.inode.size <= most and not file.inode.epoch:
                asked.append(Early(file, file.inode.size))
                size += file.inode.size
            if size >= MOST_CALL:
                break
        if not asked:
            return
        task = asyncio.get_running_loop().create_task(self._fetch(asked, numbers, grant))
        for early in asked:
            early.arrives = task
            self.drop(early.file.number)
            self._kept[early.file.number] = early
        self._used += size
        while self._used > MOST_KEPT:
            self.drop(next(iter(self._kept)))

    async def _fetch(self, asked: list[Early], numbers: Numbers, grant: Grant) -> None:
        wanted = [Beginning(early.file.number, early.size) for early in asked]

        async def read(osd: OSDAsync, right: Right, deadline: float) -> list[bytes | None]:
            return await osd.read_beginnings(right.token[:TOKEN_BYTES], wanted, right.shown, deadline=deadline)

        try:
            found = await grant.borrow(0, read)
        except XosError as error:
            log.info("client.not-early", files=len(asked), detail=str(error))
            numbers.turns = -REST
            return
        for early, content in zip(asked, found, strict=False):
            # One that is shorter has a hole at its end; one that somebody wrote meanwhile is not kept any more.
            if content is not None and len(content) == early.size:
                early.content = content
