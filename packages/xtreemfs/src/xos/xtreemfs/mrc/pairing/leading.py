# SPDX-License-Identifier: BSD-3-Clause
"""What the primary of a pair does for its backup, and when it goes on without it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import Frame, Pair
from xos.xtreemfs.errors import NotServing, Refused
from xos.xtreemfs.mrc.pairing import copies, wire
from xos.xtreemfs.mrc.pairing.outbox import Outbox
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.mrc")

BEAT_SECONDS = 0.5
SILENT_SECONDS = 3.0
"""Without a word of the backup for so long, the primary asks the DIR to strike it off."""
TICK_SECONDS = 0.25
DIR_SECONDS = 5.0
NEAR = 100
"""Groups by which the backup may be behind when the primary begins to wait for it."""


class Leading:
    """One term of a primary."""

    def __init__(self, pair: Pair, position: int, registry: DIRAsync, database: Path) -> None:
        self.pair, self._registry, self._database = pair, registry, database
        self.outbox = Outbox(position, strict=pair.synced, clock=time.monotonic)
        self.deposed = asyncio.Event()
        """Set when the DIR says that another one is the primary."""
        self._follower: object | None = None
        self._telling = asyncio.Lock()

    @property
    def followed(self) -> bool:
        """Whether the backup is being told what happens."""
        return self._follower is not None

    async def run(self) -> None:
        """Wait for the backup as soon as it is in step, and no longer than it answers."""
        while not self.deposed.is_set():
            await asyncio.sleep(TICK_SECONDS)
            box = self.outbox
            if box.strict and time.monotonic() - box.heard_at > SILENT_SECONDS:
                await self._alone()
            elif not box.strict and self._follower is not None and box.acknowledged >= box.position - NEAR:
                box.be_strict()
                await self._tell(synced=True)
            elif box.strict and not self.pair.synced:
                await self._tell(synced=True)  # the DIR did not answer when it was told first

    def looked(self, pair: Pair) -> None:
        """The DIR's record, read anew, in which this MRC is the primary."""
        if pair.version >= self.pair.version:
            before, self.pair = self.pair, pair
            if pair.backup != before.backup:  # the DIR holds the new one for out of step
                self._follower = None
                self.outbox.be_alone()

    async def _alone(self) -> bool:
        """Go on without the backup, once the DIR will not let it take over."""
        if await self._tell(synced=False):
            log.warning("mrc.backup-lost", backup=self.pair.backup, term=self.pair.term)
            self._follower = None
            self.outbox.be_alone()
            return True
        return False

    async def _tell(self, *, synced: bool) -> bool:
        """Have the DIR write it down; whether it has."""
        async with self._telling:
            pair = self.pair
            try:
                self.pair = await self._registry.set_synced(pair.term, pair.backup, synced, deadline=DIR_SECONDS)
            except Refused:
                await self._refused()
            except XosError as error:
                log.warning("dir.unreachable", code=error.code, detail=error.message)
            else:
                return True
            return False

    async def _refused(self) -> None:
        try:
            pairs = await self._registry.pairs(deadline=DIR_SECONDS)
        except XosError as error:
            log.warning("dir.unreachable", code=error.code, detail=error.message)
            return
        for pair in pairs:
            if (pair.primary, pair.term) == (self.pair.primary, self.pair.term):
                self.looked(pair)
                return
        self.deposed.set()

    # --- the stream

    async def frames(self, term: int, position: int) -> AsyncGenerator[Frame, None]:
        """See `MRC.follow`."""
        box, me = self.outbox, object()
        self._follower = me
        box.attach()
        try:
            if term != self.pair.term or not box.resumes(position):
                async with contextlib.aclosing(self._copied(me)) as pieces:
                    async for frame in pieces:
                        position = frame.position
                        yield frame
            writer = wire.Writer()
            while self._follower is me:
                box.more.clear()
                found = box.after(position)
                if found is None:
                    raise NotServing(node=self.pair.primary, whoever=": its backup is too far behind; it follows anew")
                if found:
                    position = found[-1][0]
                    body = writer.encode([group for _, group in found])
                    yield Frame("groups", box.number(), position, body)
                elif box.wants_sync:
                    yield Frame("sync", box.number(sync=True), position)
                else:
                    try:
                        async with asyncio.timeout(BEAT_SECONDS):
                            await box.more.wait()
                    except TimeoutError:
                        yield Frame("beat", box.number(), position)
        finally:
            if self._follower is me:
                self._follower = None

    async def _copied(self, me: object) -> AsyncGenerator[Frame, None]:
        box = self.outbox
        while box.strict and not await self._alone():
            if self.deposed.is_set():
                raise NotServing(node=self.pair.primary, whoever="")
            await asyncio.sleep(TICK_SECONDS)
        self._follower = me
        copy = self._database.with_name("sent.sqlite")
        log.info("mrc.copying", backup=self.pair.backup, term=self.pair.term)
        try:
            position = await asyncio.to_thread(copies.take, self._database, copy)
            offset = 0
            while piece := await asyncio.to_thread(copies.read, copy, offset):
                offset += len(piece)
                yield Frame("piece", box.number(), position, piece)
            yield Frame("copied", box.number(), position)
        finally:
            copies.remove(copy)
