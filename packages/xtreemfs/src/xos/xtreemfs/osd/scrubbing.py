# SPDX-License-Identifier: BSD-3-Clause
"""The scrubber: reads every share now and then, so that damage is known while another replica still has the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.osd.checksums import BLOCK
from xos.xtreemfs.osd.disk import LocalDisk
from xos.xtreemfs.osd.store import ShareStore

log = get_logger("xos.xtreemfs.osd")
BLOCKS = 16
"""Read at once."""
ROUND_SECONDS = 600.0
"""At least, from the beginning of one round to that of the next."""


class Scrubber:
    """Of one OSD."""

    def __init__(self, store: ShareStore, disk: LocalDisk, mib_per_second: float) -> None:
        self._store, self._disk = store, disk
        self._pause = BLOCKS * BLOCK / (mib_per_second * (1 << 20))
        self.damaged: dict[str, int] = {}
        """Blocks that were found damaged in the last round, by file."""
        self.shares = 0
        self.rounds = 0
        """That are over."""
        self.scrubbed = -1
        """Shares read in the round that is under way; -1: none is."""
        self._wanted = asyncio.Event()

    def begin(self) -> int:
        """Have a round begin now, unless one is under way; its number."""
        if self.scrubbed < 0:
            self._wanted.set()
        return self.rounds + 1

    async def run(self) -> None:
        """Round after round, for ever."""
        while True:
            loop = asyncio.get_running_loop()
            began = loop.time()
            self._wanted.clear()
            await self.round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began + ROUND_SECONDS):
                    await self._wanted.wait()

    async def round(self) -> None:
        """Every share once."""
        self.scrubbed = 0
        try:
            await self._round()
        finally:
            self.scrubbed = -1
        self.rounds += 1

    async def _round(self) -> None:
        names = await self._disk.run(lambda: list(self._store.file_ids()))
        self.shares = len(names)
        for gone in self.damaged.keys() - set(names):
            del self.damaged[gone]
        for name in names:
            try:
                await self._share(name)
            except XosError as error:
                log.info("scrub.passed-over", file=name, detail=str(error))
            self.scrubbed += 1

    async def _share(self, name: str) -> None:
        blocks, damaged = self._store.scrub(name), 0
        while found := await self._disk.run(lambda: _some(blocks)):
            for end in (end for end, sound in found if not sound):
                damaged += 1
                log.warning("share.damaged", file=name, end=end)
            await asyncio.sleep(self._pause * len(found) / BLOCKS)
        if damaged:
            self.damaged[name] = damaged
        else:
            self.damaged.pop(name, None)
        await self._disk.sync(name)  # what was put away and never synced by its writer, so that it is checked for good


def _some(blocks: Iterator[tuple[int, bool]]) -> list[tuple[int, bool]]:
    return list(itertools.islice(blocks, BLOCKS))
