# SPDX-License-Identifier: BSD-3-Clause
"""The MRC as a service: its settings, its beginning and end, and what it does by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Literal

import msgspec
import sqlalchemy as sa

from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.xtreemfs.api import MRC, Access, Frame, ServiceRecord, Standing, VolumeRecord
from xos.xtreemfs.heartbeat import Heart
from xos.xtreemfs.mrc import contents, handles, namespace, sessions, snapshots, volumes
from xos.xtreemfs.mrc.calls.base import node
from xos.xtreemfs.mrc.calls.inodes import InodeCalls
from xos.xtreemfs.mrc.calls.leases import LeaseCalls
from xos.xtreemfs.mrc.calls.locks import LockCalls
from xos.xtreemfs.mrc.calls.names import NameCalls
from xos.xtreemfs.mrc.calls.snapshots import SnapshotCalls
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.desk import Desk
from xos.xtreemfs.mrc.management import Changing, Management
from xos.xtreemfs.mrc.osds import Chores, Osds
from xos.xtreemfs.mrc.pairing.pairing import Pairing
from xos.xtreemfs.mrc.reading import Reads
from xos.xtreemfs.mrc.reserves import Reserves
from xos.xtreemfs.mrc.settling import Settling
from xos.xtreemfs.mrc.volumes import Volume

log = get_logger("xos.xtreemfs.mrc")

SYNC_SECONDS = 0.5
TICK_SECONDS = 2.0
"""How often the MRC looks for sessions that are not heard any more."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.MRC.settings]``."""

    database: str = ""
    """A path, or ``postgresql://…``; empty: ``mrc.sqlite`` in the service's own directory."""
    speakers: tuple[str, ...] = ("*",)
    """Machines that are believed for whom they ask: patterns of names."""
    superusers: tuple[str, ...] = ()
    """Machines whose root may do everything, as with NFS's ``no_root_squash``: patterns of names."""
    durable: Literal["second", "call"] = "second"
    """When what was acknowledged survives a power cut: with every call, or as POSIX has it, with fsync(2) and the like
    and after a second at the latest. The end of the MRC alone loses nothing in either case."""
    move_mib_per_second: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 50.0
    """How fast files move away from OSDs that are draining or removed, about."""
    often: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 8.0
    """So many opens within an hour on a machine far off, about, and a file that does not change gets a replica near it,
    if its policy allows more of them."""
    unused_hours: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 24.0
    """After so long without a reader such a replica goes again."""
    makers: tuple[str, ...] = ("*",)
    """Who may make volumes besides administrators: patterns such as ``*@demo``."""


class MrcService(Hosted[Settings], SnapshotCalls, NameCalls, InodeCalls, LeaseCalls, LockCalls, MRC):
    """Satisfies `xos.xtreemfs.api.MRC`."""

    settings_type = Settings

    async def start(self) -> None:
        """Open the database; sessions that there were get a whole lease anew. A backup serves nobody."""
        self.node, self.makers = self.host.node, self.settings.makers
        self._waiting, self._waits, self.still = {}, [], {}
        self._works: list[asyncio.Task[None]] = []
        place = self.settings.database or self.host.data / "mrc.sqlite"
        self.pairing = Pairing(self.host, place, lazy=self._lazy, serve=self._serve, rest=self._rest)
        self.store = await self.pairing.open()
        self.osds, self.heart = Osds(self.host.bus), Heart(self.host.bus, self._state)
        speakers, superusers = self.settings.speakers, self.settings.superusers
        self.desk = Desk(self.host, self.store, self.osds, self.heart.now, speakers=speakers, superusers=superusers)
        self.desk.leases.spawn = partial(self.host.spawn, name="mrc-lease")
        self.reserves = Reserves(self.node, self.host.trust)
        self.settling = Settling(self.store, self.osds)
        self.chores = Chores(self.store, self.osds)
        self.changing, self._bringing = Changing(), set()
        self.reads = Reads(self.settings.often, self.settings.unused_hours * 3600, time.monotonic)
        self.management = Management(self.store, self.osds, self.manage, self.unused, self.settings.move_mib_per_second)
        self.host.spawn(self.osds.keep_looking(), name="mrc-osds")
        self.host.spawn(self.heart.run(), name="mrc-heart")
        await self.pairing.start()

    @property
    def _lazy(self) -> bool:
        return self.settings.durable == "second"

    async def stop(self) -> None:
        """Close the database."""
        await self.pairing.stop()

    async def _serve(self) -> None:
        """Begin to work on what is in the database."""
        await self.desk.recover()
        await self.store.inner.write(_reap_all)
        told = await self.store.inner.write(snapshots.recover)
        await self.settling.recover()
        works = {
            "chores": self.chores.run(),
            "replicas": self.management.run(),
            "sessions": self._tick(),
            "settling": self.settling.pay(),
            "snapshots": self._tell_snapshots(told),
        }
        if self._lazy:
            works["sync"] = self._keep_syncing()
        self._works = [self.host.spawn(work, name=f"mrc-{name}") for name, work in works.items()]
        self.heart.beat()

    async def _rest(self) -> None:
        """Another MRC works on it."""
        works, self._works = self._works, []
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        self.desk.forget()
        self.settling.forget()
        for freed in self._waiting.values():
            freed.set()

    async def _state(self) -> tuple[ServiceRecord, Sequence[VolumeRecord]]:
        record = ServiceRecord("MRC", self.node)
        if not self.store.serves:
            return record, []
        served = await self.store.read(volumes.list_volumes)
        return record, [VolumeRecord(one.name, one.uuid, (self.node,)) for one in served]

    # --- the pair

    async def standing(self) -> Standing:
        """See `MRC.standing`."""
        return await self.pairing.standing()

    async def follow(self, term: int, position: int) -> AsyncIterator[Frame]:
        """See `MRC.follow`."""
        async for frame in self.pairing.frames(current_call().caller.name, term, position):
            yield frame

    async def followed(self, number: int, position: int) -> None:
        """See `MRC.followed`."""
        self.pairing.followed(current_call().caller.name, number, position)

    # --- what goes on behind

    async def _keep_syncing(self) -> None:
        seen = 0
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            if self.desk.changes != seen:
                seen = self.desk.changes
                await self.store.sync()

    async def _tell_snapshots(self, volumes_: Sequence[Volume]) -> None:
        while not self.osds.known:  # noqa: ASYNC110 -- the DIR tells when it is asked
            await asyncio.sleep(TICK_SECONDS)
        for volume in volumes_:
            await self.store.write(partial(snapshots.tell_anew, volume=volume, nodes=self.osds.nodes()))
        self.chores.look()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for session in self.desk.expired():
                log.info("session-lost", session=session, client=self.desk.live[session].kept.client)
                await self._give_up(session)

    # --- sessions that end

    async def _give_up(self, session: str) -> None:
        """Close and unlock all that a session has; how long its files are, the OSDs say."""
        self.desk.live.pop(session, None)
        open_ = await self.store.read(lambda db: _written(db, session))
        extents = list(zip(open_, await asyncio.gather(*map(self.settling.extent, open_)), strict=True))
        now = time.time_ns()

        def end(db: sa.Connection) -> list[int]:
            for grant, extent in extents:
                if extent is not None:
                    handles.update(db, session, grant.handle, extent, now, now)
            return sessions.end(db, session, now)

        freed = await self.store.write(end)
        self.settling.ended(session)
        self.settling.owe(grant.inode.id for grant, extent in extents if extent is None and grant.layout.replicas)
        self.desk.leases.ended(session)
        for inode in freed:
            self._freed(inode)
        self.desk.tell(None, *(node(grant.inode) for grant in open_))
        self.chores.look()


def _written(db: sa.Connection, session: str) -> list[Grant]:
    """What a session has open for writing."""
    writing = [handle for handle, _, access in handles.open_in(db, session) if access & Access.WRITE]
    return [grant for grant in handles.renew(db, session, writing) if grant is not None]


def _reap_all(db: sa.Connection) -> None:
    """What a crash left without a name and without anybody who has it open."""
    for number in namespace.nameless(db):
        contents.reap(db, number)
