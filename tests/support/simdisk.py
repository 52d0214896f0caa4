# SPDX-License-Identifier: BSD-3-Clause
"""A disk in simulated time: slow, torn, damaged and without power as real ones are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from xos.xtreemfs.errors import CorruptShare
from xos.xtreemfs.osd.checksums import BLOCK, SUM, Mark, blocks, sum_of, whole
from xos.xtreemfs.osd.share import Admit, State


class SimDisk:
    """Satisfies `Disk`, for one share. What was written outlives the process; what was synced, a power cut."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.data, self.mark = bytearray(), Mark()
        self.kept: dict[int, bytes] = {}
        """What snapshots up to a number show."""
        self.damaged: set[int] = set()
        """Blocks that are not as they were written."""
        self.seconds = 0.001
        """What is done takes on the average."""
        self.restart()
        self._synced = b"", Mark()

    def restart(self) -> None:
        """Another process has it, which goes on unless it is stopped by `running`."""
        self._lock = asyncio.Lock()
        self.running = asyncio.Event()
        self.running.set()

    def lose_power(self) -> None:
        """What was not synced is there or not, block by block."""
        content, mark = self._synced
        size = self._chance.choice((len(content), len(self.data)))
        found = bytearray(size)
        for start in range(0, size, BLOCK):
            span = slice(start, min(start + BLOCK, size))
            part = self._chance.choice((content, self.data))[span]
            found[start : start + len(part)] = part
        self.data = found
        self.mark = self.mark._replace(term=mark.term, version=mark.version)

    async def state(self, file_id: str) -> State:  # noqa: ARG002 -- there is one
        return State(len(self.data), self.mark)

    async def read(self, file_id: str, offset: int, length: int, admit: Admit) -> bytes:
        async with self._alone():
            admit(self.mark)
            end = min(offset + length, len(self.data))
            for span in blocks(offset, max(0, end - offset)):
                self._check(file_id, span.block)
            return bytes(self.data[offset:end])

    async def write(self, file_id: str, offset: int, content: bytes, admit: Admit) -> State:
        async with self._alone():
            mark = admit(self.mark)
            if offset > len(self.data):
                self._resize(file_id, offset)
            for span in blocks(offset, len(content)):
                there = whole(span.block, len(self.data))
                if span.start == there.start and span.end >= there.end:
                    self.damaged.discard(span.block)
            half = len(content) // 2
            self.data[offset : offset + half] = content[:half]
            if self._chance.random() < 0.05:
                await asyncio.sleep(self._chance.uniform(0, 0.1))  # whoever is killed now has written half
            self.data[offset + half : offset + len(content)] = content[half:]
            self.mark = mark
            return State(len(self.data), mark)

    async def truncate(self, file_id: str, size: int, admit: Admit) -> State:
        async with self._alone():
            mark = admit(self.mark)
            if size != len(self.data):
                self._resize(file_id, size)
            self.mark = mark
            return State(size, mark)

    async def keep(self, file_id: str, admit: Admit, *, durable: bool) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            self.mark = admit(self.mark)
            return State(len(self.data), self.mark)

    async def sync(self, file_id: str) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            self._synced = bytes(self.data), self.mark
            return State(len(self.data), self.mark)

    async def sums(self, file_id: str, first: int, count: int) -> bytes:  # noqa: ARG002 -- there is one
        async with self._alone():
            found = (self.data[n * BLOCK : (n + 1) * BLOCK] for n in range(first, first + count))
            return b"".join(SUM.pack(sum_of(block) if block else 0) for block in found)

    async def freeze(self, file_id: str, number: int) -> None:  # noqa: ARG002 -- there is one
        if self.mark.snapshot < number:
            async with self._alone():
                self.kept[number] = bytes(self.data)
                self.mark = self.mark._replace(snapshot=max(number, self.mark.snapshot))

    def _resize(self, file_id: str, size: int) -> None:
        """As `Share` does: the block that gets another length is looked at."""
        there = len(self.data)
        if min(size, there) % BLOCK:
            self._check(file_id, min(size, there) // BLOCK)
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))
        self.damaged = {block for block in self.damaged if block * BLOCK < size}

    def _check(self, file_id: str, block: int) -> None:
        if block in self.damaged:
            span = whole(block, len(self.data))
            raise CorruptShare(file_id=file_id, start=span.start, end=span.end)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._lock:
            await asyncio.sleep(self._chance.expovariate(1 / self.seconds))
            await self.running.wait()
            yield
        await self.running.wait()
