# SPDX-License-Identifier: BSD-3-Clause
"""What a backup does: it takes down what the primary tells, and takes its place when it is silent."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.recording import Group, replay
from xos.common.storage import Store
from xos.dixi.hosting import Bus
from xos.xtreemfs.api import MRC_PROMISE_SECONDS, Frame, Pair
from xos.xtreemfs.errors import OutOfStep, Refused
from xos.xtreemfs.mrc.pairing import copies, wire
from xos.xtreemfs.mrc.pairing.leading import DIR_SECONDS, SILENT_SECONDS
from xos.xtreemfs.xati import DIRAsync, MRCAsync

log = get_logger("xos.xtreemfs.mrc")

AGAIN_SECONDS = 0.3
FIRST_SECONDS = 60.0
"""How long the primary has to copy its database before the first piece comes."""


class Following:
    """One life as the backup of one primary. *reopen* closes the store, calls what it is given, and opens it again."""

    def __init__(
        self,
        node: str,
        bus: Bus,
        database: Path,
        store: Store,
        reopen: Callable[[Callable[[], None]], Awaitable[Store]],
    ) -> None:
        self._node, self._bus, self._database, self._store, self._reopen = node, bus, database, store, reopen
        self._registry = DIRAsync(bus)
        self._copy = database.with_name("received.sqlite")
        self._promised = 0.0
        self._spoiled = False
        self.position = 0
        self.attached = False
        self._acknowledge: tuple[int, int] | None = None
        self._news = asyncio.Event()

    async def run(self, pair: Pair) -> Pair | None:
        """Follow until this is the primary, or backup of that one no more: then what the DIR says."""
        while True:
            try:
                await self._follow(pair)
            except (XosError, TimeoutError, OSError, sqlite3.Error) as error:
                log.info("mrc.not-following", primary=pair.primary, detail=str(error) or type(error).__name__)
            self.attached = False
            found = await self._take_over(pair)
            if found is None or found.primary != pair.primary or found.backup != self._node:
                if found is not None and found.primary == self._node:
                    # Until then the old primary may answer what it has; from then on nobody is told by it.
                    await asyncio.sleep(self._promised - time.monotonic())
                return found
            pair = found
            await asyncio.sleep(AGAIN_SECONDS)

    async def _take_over(self, pair: Pair) -> Pair | None:
        """Ask the DIR to be the primary, if it does not say so already; what it says at last.

        Returns only when nothing that was asked can still come to be: until then this must acknowledge nothing.
        """
        while True:
            try:
                found = await self._look()
                if found is None or found.backup != self._node or not found.synced:
                    return found
                return await self._registry.take_over(found.version, deadline=DIR_SECONDS)
            except Refused as error:
                log.info("mrc.no-take-over", primary=pair.primary, detail=error.message)
                return await self._void()
            except XosError as error:
                log.warning("dir.unreachable", code=error.code, detail=error.message)
                return await self._void()

    async def _look(self) -> Pair | None:
        pairs = await self._registry.pairs(deadline=DIR_SECONDS)
        return next((one for one in pairs if self._node in (one.primary, one.backup)), None)

    async def _void(self) -> Pair | None:
        while True:
            try:
                return await self._registry.stand_by(deadline=DIR_SECONDS)
            except XosError as error:
                log.warning("dir.unreachable", code=error.code, detail=error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    # --- the stream

    async def _follow(self, pair: Pair) -> None:
        """Take down what the primary tells until it is silent. Raises what says why."""
        primary = MRCAsync(self._bus, pair.primary)
        term, self.position = (0, 0) if self._spoiled else await self._store.read(copies.where)
        copies.remove(self._copy)
        self._acknowledge = None
        acknowledging = asyncio.get_running_loop().create_task(self._keep_acknowledging(primary))
        try:
            await self._listen(primary.follow(term, self.position), fresh=term != pair.term)
        except OutOfStep:
            self._spoiled = True
            raise
        finally:
            acknowledging.cancel()
            await asyncio.gather(acknowledging, return_exceptions=True)

    async def _listen(self, frames: AsyncIterator[Frame], *, fresh: bool) -> None:
        reader, patience = wire.Reader(), FIRST_SECONDS if fresh else SILENT_SECONDS
        try:
            while True:
                async with asyncio.timeout(patience):
                    frame = await anext(frames)
                if frame.kind != "piece":
                    patience = SILENT_SECONDS
                await self._take(frame, reader)
        except StopAsyncIteration:
            return
        finally:
            with contextlib.suppress(RuntimeError):  # it is being cancelled already, and ends by itself
                await frames.aclose()  # type: ignore[attr-defined]

    async def _take(self, frame: Frame, reader: wire.Reader) -> None:
        match frame.kind:
            case "piece":
                await asyncio.to_thread(copies.append, self._copy, frame.body)
                self._hear(frame)
                return
            case "copied":
                await self._put(frame)
            case "groups":
                await self._apply(reader.decode(frame.body), frame.position)
            case "sync":
                await self._store.sync()
        self.attached = True
        self._hear(frame)

    def _hear(self, frame: Frame) -> None:
        self._promised = time.monotonic() + MRC_PROMISE_SECONDS
        self._acknowledge = (frame.number, self.position if self.attached else 0)
        self._news.set()

    async def _put(self, frame: Frame) -> None:
        """What was copied is the database from now on."""
        self._store = await self._reopen(lambda: copies.put(self._copy, self._database))
        _, self.position = await self._store.read(copies.where)
        if self.position != frame.position:
            raise OutOfStep(detail=f"the copy is of {self.position}, not of {frame.position}")
        self._spoiled = False
        log.info("mrc.copied", position=self.position)

    async def _apply(self, groups: list[Group], upto: int) -> None:
        if upto != self.position + len(groups):
            raise OutOfStep(detail=f"{len(groups)} changes up to {upto} come after {self.position}")

        def apply(db: sa.Connection) -> None:
            for group in groups:
                if not replay(db, group):
                    raise OutOfStep(detail=f"other rows changed after {self.position}")

        await self._store.write(apply)
        self.position = upto

    async def _keep_acknowledging(self, primary: MRCAsync) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._acknowledge is not None:
                with contextlib.suppress(XosError):  # the stream breaks too, or the next one says more
                    await primary.followed(*self._acknowledge, deadline=SILENT_SECONDS)
