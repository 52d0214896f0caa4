# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: at one moment nobody writes to any file of the volume; then the names are copied."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from functools import partial

import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import Ask, Extent, Status, Volume
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, rows, snapshots, volumes
from xos.xtreemfs.mrc.calls.volumes import VolumeCalls
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.values import Refusal, Result, Who
from xos.xtreemfs.mrc.volumes import Volume as Kept

log = get_logger("xos.xtreemfs.mrc")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SnapshotCalls(VolumeCalls):
    """See `MRC`."""

    async def make_snapshot(self, volume: str, name: str, path: str, ask: Ask) -> Volume:
        """See `MRC.make_snapshot`."""
        what = f"snapshot {volume[:64]}@{name[:64]}"
        if not _NAME.fullmatch(name):
            raise Refused.of(errno.EINVAL, what)
        found = await self.desk.read(what, lambda db: _found(db, volume))
        async with self.changing.alone(-found.id):  # inodes are positive
            made, compared = await self._make(what, volume, name, path, ask)
        if compared:
            self.management.look_again()
        self.heart.beat()
        log.info("snapshot-made", volume=made.name, number=made.number)
        return made

    async def snapshots(self, volume: str) -> list[Volume]:
        """See `MRC.snapshots`."""

        def look(db: sa.Connection) -> Result[list[Volume]]:
            found = _found(db, volume)
            if isinstance(found, Refusal):
                return found
            return [self._shown(db, one) for one in snapshots.list_snapshots(db, found)]

        return await self.desk.read(f"volume {volume[:64]}", look)

    async def _make(self, what: str, volume: str, name: str, path: str, ask: Ask) -> tuple[Volume, bool]:
        who = self.desk.who(ask.claim, what)
        found = (await self.desk.read(what, lambda db: snapshots.wanted(db, who, volume, name, path))).volume
        leases = self.desk.leases
        await leases.recall(leases.of_volume(found.id, ask.session))
        await self._settle_all(found, what)
        number = await self.desk.write(what, lambda db: snapshots.reserve(db, found))
        await self.store.sync()
        try:
            async with self._still(found.id):
                await leases.recall(leases.of_volume(found.id, ask.session))  # nobody gets another one meanwhile
                await self._fence(found, number, what)
                extents = await self._written(found)
                copy = partial(self._copy, origin=found, number=number, path=path, name=name, extents=extents)
                made, compared = await self.desk.change(ask, tuple[Volume, bool], what, copy)
        except BaseException:
            await self.store.write(lambda db: snapshots.tell_anew(db, found, self.osds.nodes()))
            self.chores.look()
            raise
        await self.store.sync()
        return made, compared

    def _copy(
        self,
        db: sa.Connection,
        who: Who,
        now: int,
        origin: Kept,
        number: int,
        path: str,
        name: str,
        extents: Sequence[tuple[Grant, Extent]],
    ) -> Result[tuple[Volume, bool]]:
        wanted = snapshots.wanted(db, who, origin.name, name, path)
        if isinstance(wanted, Refusal):
            return wanted
        if wanted.volume.id != origin.id:
            return Refusal(errno.ENOENT)
        for grant, extent in extents:
            if (inode := rows.inode(db, grant.inode.id)) is not None and extent.size > inode.size:
                contents.extend(db, origin.id, inode, extent, now, now)
        made, compared = snapshots.copy(db, who, wanted, secrets.token_hex(16), number, path, now)
        return self._shown(db, made), compared

    # --- OSDs

    async def _fence(self, volume: Kept, number: int, what: str) -> None:
        """Nobody writes by a number before this one when this returns. Raises `Refused` (EAGAIN)."""
        await self.osds.look()
        there = await self.store.read(lambda db: snapshots.there(db, volume.uuid))
        nodes = [osd.node for osd in self.osds.known if osd.status is not Status.REMOVED]
        silent = await self.osds.tell_snapshots(nodes, volume.uuid, number, [*there, number])
        for node in silent:
            if await self.store.read(partial(snapshots.is_on, volume=volume, node=node)):
                raise Refused.of(errno.EAGAIN, f"{what}: OSD {node} does not answer")

    async def _settle_all(self, volume: Kept, what: str) -> None:
        """Primaries that took over know what was written before. Raises `Refused` (EAGAIN)."""

        async def settle(grant: Grant) -> None:
            capability, primary = self.desk.capability(grant, self.node), grant.layout.replicas[grant.layout.primary]
            for osd in primary.osds:
                async with self.settling.asking:
                    await self.osds.settle(osd, capability)

        grants = await self.store.read(lambda db: snapshots.unsettled(db, volume))
        try:
            async with asyncio.TaskGroup() as tasks:
                for grant in grants:
                    tasks.create_task(settle(grant))
        except* XosError as errors:
            raise Refused.of(errno.EAGAIN, f"{what}: {errors.exceptions[0]}") from errors

    async def _written(self, volume: Kept) -> list[tuple[Grant, Extent]]:
        """How long files are that somebody writes to: the MRC may not have been told yet."""
        grants = await self.store.read(lambda db: snapshots.written(db, volume))
        extents = await asyncio.gather(*map(self.settling.extent, grants))
        return [(grant, extent) for grant, extent in zip(grants, extents, strict=True) if extent is not None]

    # --- writers

    @contextlib.asynccontextmanager
    async def _still(self, volume: int) -> AsyncIterator[None]:
        """Writers get no fresh capabilities meanwhile."""
        over = self.still[volume] = asyncio.Event()
        try:
            yield
        finally:
            del self.still[volume]
            over.set()


def _found(db: sa.Connection, volume: str) -> Result[Kept]:
    return volumes.find_volume(db, volume) or Refusal(errno.ENOENT)
