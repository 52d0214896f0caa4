# SPDX-License-Identifier: BSD-3-Clause
"""Whether an MRC serves, follows, or waits until it knows: the DIR says it, this brings it about."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.storage import Store
from xos.dixi.hosting import Host
from xos.xtreemfs.api import Frame, Pair, Standing
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc.pairing import copies
from xos.xtreemfs.mrc.pairing.following import Following
from xos.xtreemfs.mrc.pairing.leading import DIR_SECONDS, Leading
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.schema import METADATA, MIGRATIONS, VOLUMES
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.mrc")

LOOK_SECONDS = 1.0
"""How often the DIR is asked who is who."""


class Pairing:
    """Of one MRC, alone or not. *serve* begins what one that serves does, *rest* ends it."""

    def __init__(
        self,
        host: Host,
        place: str | Path,
        *,
        lazy: bool,
        serve: Callable[[], Awaitable[None]],
        rest: Callable[[], Awaitable[None]],
    ) -> None:
        self._host, self._place, self._lazy = host, place, lazy
        self._begin, self._rest = serve, rest
        self._registry = DIRAsync(host.bus)
        self._leading: Leading | None = None
        self._following: Following | None = None
        self._marker = host.data / "backup"
        """Is there while the database may lack what was acknowledged elsewhere."""
        self._whole = asyncio.Lock()
        """Held while the database is put in the place of another."""
        self._term = 0
        self._told = False

    async def open(self) -> PairedStore:
        """Open the database. Raises `StorageError`."""
        inner = await self._open()
        self.store = PairedStore(self._host.node, inner)
        self._database = Path(str(self._place))
        self._term, _ = await inner.read(copies.where)
        return self.store

    async def _open(self) -> Store:
        return await Store.open(self._place, METADATA, migrations=MIGRATIONS, lazy=self._lazy)

    @property
    def embedded(self) -> bool:
        """Whether the database is a file."""
        return isinstance(self._place, Path) or "://" not in self._place

    async def start(self) -> None:
        """One that was never in a pair serves; any other when the DIR has said who is who."""
        if await self._is_own():
            await self._serve()
        if self.embedded:
            self._host.spawn(self._run(), name="mrc-pair")

    async def _is_own(self) -> bool:
        """Whether what is in the database was never in a pair."""
        return not self._term and not await asyncio.to_thread(self._marker.exists)

    async def stop(self) -> None:
        """Close the database."""
        if self._leading is not None:
            self._leading.outbox.end(self.store.refusal())
        await self.store.inner.close()

    # --- what the DIR says

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except (XosError, OSError) as error:
                log.warning("mrc.pair", detail=str(error))
            except Exception:
                log.exception("mrc.pair")  # a backup that follows no more would be none
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                if self._leading is None:
                    await asyncio.get_running_loop().create_future()
                else:
                    await self._leading.deposed.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        """Become what the DIR says."""
        node = self._host.node
        pairs = await self._registry.pairs(deadline=DIR_SECONDS)
        pair = next((one for one in pairs if node in (one.primary, one.backup)), None)
        if pair is None:
            if not self.store.serves and await self._is_own():
                await self._serve()
            elif not self.store.serves and not self._told:
                log.error("mrc.in-no-pair", hint="give it back by xtfs_chstatus --backup, or set its data aside")
                self._told = True
        elif pair.primary == node:
            await self._lead(pair)
        elif await self._is_own() and await self.store.inner.read(_count) > 0:
            if self.store.serves:
                self.store.serves, self.store.instead = False, pair.primary
                await self._rest()
                log.error("mrc.not-empty", primary=pair.primary, hint="an MRC with volumes cannot be a backup")
        else:
            found = await self._follow(pair)
            if found is not None and found.primary == node:
                await self._lead(found)

    async def _serve(self) -> None:
        await self._begin()
        self.store.instead, self.store.serves = "", True

    async def _lead(self, pair: Pair) -> None:
        """Be the primary of a term."""
        leading = self._leading
        if leading is not None and leading.pair.term == pair.term and not leading.deposed.is_set():
            leading.looked(pair)
            return
        _, position = await self.store.inner.read(copies.where)
        leading = Leading(pair, position, self._registry, self._database)
        await self.store.inner.ship(leading.outbox.ship, copies.STAMP)
        if self._term != pair.term:
            await self.store.inner.write(partial(copies.set_term, term=pair.term))
            await self.store.inner.sync()
            self._term = pair.term
        self._marker.unlink(missing_ok=True)
        self._leading, self.store.outbox, self._told = leading, leading.outbox, False
        self._host.spawn(leading.run(), name="mrc-leading")
        log.info("mrc.primary", term=pair.term, backup=pair.backup, synced=pair.synced)
        if not self.store.serves:
            await self._serve()

    async def _follow(self, pair: Pair) -> Pair | None:
        """Be the backup; what the DIR says when this is over."""
        self._marker.touch(mode=0o600)
        self.store.serves, self.store.instead, self._told = False, pair.primary, False
        await self._rest()
        if self._leading is not None:
            self._leading.deposed.set()
            self._leading.outbox.end(self.store.refusal())
            self._leading = self.store.outbox = None
        await self._reopen(lambda: None)
        log.info("mrc.backup", primary=pair.primary, term=pair.term)
        self._following = Following(self._host.node, self._host.bus, self._database, self.store.inner, self._reopen)
        try:
            return await self._following.run(pair)
        finally:
            self._term, _ = await self.store.inner.read(copies.where)
            self._following = None

    async def _reopen(self, between: Callable[[], None]) -> Store:
        async with self._whole:
            await self.store.inner.close()
            await asyncio.to_thread(between)
            self.store.inner = await self._open()
            return self.store.inner

    # --- what others ask

    async def standing(self) -> Standing:
        """See `MRC.standing`."""
        if not self.embedded:
            return Standing(self.store.serves, False, 0, 0, 0)
        async with self._whole:
            count = await self.store.inner.read(_count)
            term, position = await self.store.inner.read(copies.where)
        leading, following = self._leading, self._following
        if leading is not None:
            box = leading.outbox
            return Standing(
                self.store.serves,
                True,
                count,
                leading.pair.term,
                box.position,
                max(0, box.acknowledged),
                leading.followed,
            )
        attached = following is not None and following.attached
        return Standing(self.store.serves, True, count, term, position, 0, attached)

    async def frames(self, caller: str, term: int, position: int) -> AsyncIterator[Frame]:
        """See `MRC.follow`."""
        if self._leading is not None and self._leading.pair.backup != caller:
            pairs = await self._registry.pairs(deadline=DIR_SECONDS)
            for pair in pairs:
                if pair.primary == self._host.node and pair.term == self._leading.pair.term:
                    self._leading.looked(pair)
        leading = self._leading
        if leading is None or not self.store.serves:
            raise self.store.refusal()
        if leading.pair.backup != caller:
            raise Refused.of(errno.EACCES, f"following by {caller}")
        async for frame in leading.frames(term, position):
            yield frame

    def followed(self, caller: str, number: int, position: int) -> None:
        """See `MRC.followed`."""
        leading = self._leading
        if leading is None:
            raise self.store.refusal()
        if leading.pair.backup != caller:
            raise Refused.of(errno.EACCES, f"following by {caller}")
        leading.outbox.heard(number, position)


def _count(db: sa.Connection) -> int:
    return int(db.execute(sa.select(sa.func.count()).select_from(VOLUMES)).scalar_one())
