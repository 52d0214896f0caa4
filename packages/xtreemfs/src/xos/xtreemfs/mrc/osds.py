# SPDX-License-Identifier: BSD-3-Clause
"""What the MRC knows of the OSDs, and what it tells them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.errors import ConnectionLost, NotConnected, UnknownService
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import Layout, Policy, Replica, ServiceRecord, ShareState, Status
from xos.xtreemfs.errors import UnknownFile
from xos.xtreemfs.mrc import distance, placement, snapshots
from xos.xtreemfs.mrc.pairing.store import PairedStore
from xos.xtreemfs.mrc.placement import Asked
from xos.xtreemfs.mrc.schema import CHORES
from xos.xtreemfs.xati import DIRAsync, OSDAsync

log = get_logger("xos.xtreemfs.mrc")

LOOK_SECONDS = 5.0
"""How often the MRC asks the DIR which OSDs there are."""
FIND_SECONDS = 10.0
"""For so long after the MRC has begun, OSDs that are not there may be those that have not found this machine again."""
FRESH_SECONDS = 1.0
"""Who finds no room asks at once, unless the answer is as young as this."""
FIND_PAUSE = 0.1
_NOT_THERE = (ConnectionLost, NotConnected, UnknownService)
CALL_SECONDS = 5.0
SETTLE_SECONDS = 60.0
"""How long replicas have to come into step within one call; who asks again goes on from there."""
GATHER_SECONDS = 0.05
"""For how long chores gather, so that many go to an OSD in one call."""
_MOST = 2000
"""Chores taken up at a time."""
_LONGEST_PAUSE = 60.0


class Osds:
    """The OSDs as the DIR lists them."""

    def __init__(self, bus: HasCallers) -> None:
        self._bus, self._dir = bus, DIRAsync(bus)
        self.known: tuple[ServiceRecord, ...] = ()
        self._rng = random.Random()  # noqa: S311 -- spreads load, keeps no secret
        self._looked = 0.0
        self._found_by = time.monotonic() + FIND_SECONDS

    async def look(self) -> None:
        """Ask the DIR now; when it does not answer, what was known stands."""
        self._looked = time.monotonic()
        try:
            self.known = tuple(await self._dir.services("OSD", deadline=CALL_SECONDS))
        except XosError as error:
            log.warning("dir-unreachable", code=error.code, detail=error.message)

    async def keep_looking(self) -> None:
        """Ask the DIR every few seconds."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS if self.known else 1.0)

    async def ready(self) -> None:
        """Ask the DIR if nothing is known yet: the MRC has just started."""
        if not self.known:
            await self.look()

    async def look_again(self) -> bool:
        """Ask the DIR, unless it was asked just now; whether it was. There may be other OSDs than were known."""
        if time.monotonic() - self._looked < FRESH_SECONDS:
            return False
        await self.look()
        return True

    def place(
        self, policy: Policy, owner: str, not_on: frozenset[str] = frozenset(), *, client: str = ""
    ) -> Layout | None:
        """Where a new file of *owner*, made on the machine *client*, goes; None: nowhere. Safe in any thread."""
        return placement.place(self._may_hold(owner, not_on), policy, Asked(self._rng, self.on(client)))

    def on(self, node: str) -> ServiceRecord | None:
        """The OSD of a machine."""
        return next((osd for osd in self.known if osd.node == node), None)

    def seen_from(self, node: str, layout: Layout) -> Layout:
        """As the machine *node* is to read it: the nearest replica first."""
        client = self.on(node)
        return layout if client is None else distance.seen_from(client, layout, self.by_node())

    def _may_hold(self, owner: str, not_on: frozenset[str]) -> list[ServiceRecord]:
        return [osd for osd in self.known if osd.node not in not_on and placement.may_hold(osd, owner)]

    def may_hold(self, layout: Layout, owner: str) -> bool:
        """Whether files of *owner* may be where a layout says, as far as is known. Safe in any thread."""
        named = {node for replica in layout.replicas for node in replica.osds}
        return all(placement.may_hold(osd, owner) for osd in self.known if osd.node in named)

    def replica(self, policy: Policy, owner: str, width: int, not_on: frozenset[str], near: str = "") -> Replica | None:
        """A further replica on OSDs that are none of these; *near*: at the site of that machine. Safe in any thread."""
        osds, client = self._may_hold(owner, not_on), self.on(near)
        if client is not None:
            osds = [osd for osd in osds if distance.distance(client, osd)[0] <= distance.SAME_SITE]
        chosen = placement.select(osds, (*policy.osd_selection, "near"), Asked(self._rng, client))[:width]
        return placement.replica_on(chosen) if len(chosen) == width else None

    def by_node(self) -> dict[str, ServiceRecord]:
        """All that are known."""
        return {osd.node: osd for osd in self.known}

    def nodes(self) -> set[str]:
        """All that are known."""
        return {osd.node for osd in self.known}

    def leaving(self) -> frozenset[str]:
        """Those on which nothing is to be any more."""
        return frozenset(osd.node for osd in self.known if osd.status is not Status.ONLINE)

    def stores(self) -> Mapping[str, str]:
        """The disk of each OSD that says it."""
        return {osd.node: store for osd in self.known if (store := placement.store_of(osd))}

    async def suspect(self, node: str) -> None:
        """Place nothing there, and have the DIR look whether it lives."""
        self.known = tuple(
            msgspec.structs.replace(osd, suspect=True) if osd.node == node else osd for osd in self.known
        )
        try:
            await self._dir.suspect("OSD", node, deadline=CALL_SECONDS)
        except XosError as error:
            log.info("dir-unreachable", code=error.code, detail=error.message)

    async def settle(self, node: str, capability: Signed) -> None:
        """Have a primary take its term up and bring the other replicas to its state. Raises `XosError`."""
        osd = OSDAsync(self._bus, node)
        presented = await osd.present(capability, deadline=CALL_SECONDS)
        await osd.sync(presented.token, deadline=SETTLE_SECONDS)

    async def states(self, nodes: Sequence[str], file_id: str, seconds: float = CALL_SECONDS) -> dict[str, ShareState]:
        """What each OSD has of a file; those that do not answer in time are left out."""

        async def ask(node: str) -> ShareState | None:
            give_up = min(self._found_by, time.monotonic() + seconds)
            while True:
                try:
                    return await OSDAsync(self._bus, node).state(file_id, deadline=seconds)
                except UnknownFile:
                    return ShareState(file_id, 0, 0, 0, 0)
                except XosError as error:
                    if not isinstance(error, _NOT_THERE) or time.monotonic() >= give_up:
                        log.info("osd-unreachable", osd=node, code=error.code, detail=error.message)
                        return None
                await asyncio.sleep(FIND_PAUSE)

        found = await asyncio.gather(*(ask(node) for node in nodes))
        return {node: state for node, state in zip(nodes, found, strict=True) if state is not None}

    async def tell_snapshots(self, nodes: Sequence[str], volume: str, number: int, there: list[int]) -> list[str]:
        """See `OSD.snapshots`; those that do not answer."""

        async def tell(node: str) -> bool:
            try:
                return await OSDAsync(self._bus, node).snapshots(volume, number, there, deadline=CALL_SECONDS) == number
            except XosError as error:
                log.info("osd-unreachable", osd=node, code=error.code, detail=error.message)
                return False

        told = await asyncio.gather(*map(tell, nodes))
        return [node for node, heard in zip(nodes, told, strict=True) if not heard]

    async def tell(self, node: str, deleted: list[str], revoked: list[tuple[str, int]]) -> None:
        """Have shares deleted and capabilities refused. Raises `XosError`."""
        osd = OSDAsync(self._bus, node)
        if deleted:
            await osd.delete(deleted, deadline=CALL_SECONDS)
        for file_id, revision in revoked:
            await osd.revoke(file_id, revision, deadline=CALL_SECONDS)

    async def snapshots(self, node: str, volume: str, number: int, there: list[int]) -> int:
        """See `OSD.snapshots`. Raises `XosError`."""
        return await OSDAsync(self._bus, node).snapshots(volume, number, there, deadline=CALL_SECONDS)


class Chores:
    """Tells OSDs what they are to delete or refuse, until they have heard it: the list is in the database."""

    def __init__(self, store: PairedStore, osds: Osds) -> None:
        self._store, self._osds = store, osds
        self._more = asyncio.Event()
        self._pauses: dict[str, tuple[float, float]] = {}

    def look(self) -> None:
        """There may be something to do."""
        self._more.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            self._more.clear()
            busy = await self._round()
            if not busy:
                try:
                    async with asyncio.timeout(1.0 if self._pauses else _LONGEST_PAUSE):
                        await self._more.wait()
                except TimeoutError:
                    continue

    async def _round(self) -> bool:
        """Tell every OSD that is not paused what waits for it; whether anything was done."""
        now = time.monotonic()
        paused = [node for node, (until, _) in self._pauses.items() if until > now]
        query = sa.select(CHORES).where(CHORES.c.node.not_in(paused)).order_by(CHORES.c.id).limit(_MOST)
        work: dict[str, list[tuple[int, str, int | None]]] = {}
        for number, node, file_id, revision in await self._store.read(lambda db: db.execute(query).all()):
            work.setdefault(node, []).append((number, file_id, revision))
        done = [
            number for told in await asyncio.gather(*(self._tell(*each) for each in work.items())) for number in told
        ]
        if done:
            await self._store.write(lambda db: db.execute(CHORES.delete().where(CHORES.c.id.in_(done))).rowcount)
        return bool(done)

    async def _tell(self, node: str, chores: list[tuple[int, str, int | None]]) -> list[int]:
        deleted = [file_id for _, file_id, revision in chores if revision is None]
        gone = set(deleted)
        numbered = [(name, revision) for _, name, revision in chores if revision is not None and name not in gone]
        try:
            await self._osds.tell(node, deleted, [one for one in numbered if "-" in one[0]])
            for volume, number in [one for one in numbered if "-" not in one[0]]:
                await self._tell_snapshots(node, volume, number)
        except XosError as error:
            pause = min(_LONGEST_PAUSE, 2 * self._pauses.get(node, (0.0, 0.5))[1])
            self._pauses[node] = (time.monotonic() + pause, pause)
            log.info("chores-postponed", osd=node, chores=len(chores), code=error.code, seconds=pause)
            return []
        self._pauses.pop(node, None)
        return [number for number, _, _ in chores]

    async def _tell_snapshots(self, node: str, volume: str, number: int) -> None:
        there = await self._store.read(lambda db: snapshots.there(db, volume))
        known = await self._osds.snapshots(node, volume, number, there)
        if known > number:
            await self._store.write(lambda db: snapshots.overtake(db, volume, known, self._osds.nodes()))
            self.look()
