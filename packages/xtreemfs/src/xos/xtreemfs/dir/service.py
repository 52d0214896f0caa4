# SPDX-License-Identifier: BSD-3-Clause
"""The DIR: what services say of themselves is on disk; when they were last heard is in memory too, by a clock that
nobody sets."""

from __future__ import annotations

import asyncio
import errno
import re
import time
from functools import partial
from typing import Annotated

import msgspec
import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.storage import Store
from xos.dixi.api import current_call
from xos.dixi.hosting import Host, Hosted
from xos.xtreemfs.api import DIR, SUSPECT_SECONDS, Pair, ServiceRecord, Standing, Status, VolumeRecord
from xos.xtreemfs.dir import pairs
from xos.xtreemfs.dir import store as kept
from xos.xtreemfs.dir.schema import METADATA, MIGRATIONS
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCAsync, OSDAsync

log = get_logger("xos.xtreemfs.dir")

KINDS = ("MRC", "OSD")
PROBE_SECONDS = 3.0
"""How long a service that somebody could not reach has for an answer to the DIR."""
TAKE_OVER_SECONDS = 2.0
"""How long the primary of a pair has for an answer, before its backup takes over."""
MOST_VOLUMES = 100_000
"""Of one MRC."""
MOST_ATTRIBUTES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_ID = re.compile(r"[0-9a-f]{1,32}")
ADMINISTRATORS = frozenset({"VOManager", "VOAdmin", "ResourceAdmin"})
"""Roles of users who look after the machines of their VO."""
VOS = "vos"
"""Attribute that the DIR sets itself, from the machine's certificate: the VOs whose files it may hold; none: all."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.DIR.settings]`` of the daemon's configuration."""

    database: str = ""
    """SQLAlchemy URL, or a file; empty: ``registry.sqlite`` in the service's own directory."""
    mrcs: tuple[str, ...] = ()
    """Machines that may be an MRC besides those with the role ``core``: an MRC signs for everybody's files."""
    suspect_seconds: Annotated[float, msgspec.Meta(gt=0)] = SUSPECT_SECONDS
    """Without a heartbeat for so long, a service is suspect."""


class DirService(Hosted[Settings], DIR):
    """Satisfies `xos.xtreemfs.api.DIR`."""

    settings_type = Settings

    def __init__(self, host: Host, settings: Settings) -> None:
        super().__init__(host, settings)
        self._opening: asyncio.Future[Store] = asyncio.get_running_loop().create_future()
        self._since = time.monotonic()
        self._heard: dict[tuple[str, str], float] = {}
        self._dead: set[tuple[str, str]] = set()
        self._probes: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Open the database; services of the same daemon may register before that, and wait."""
        place = self.settings.database or self.host.data / "registry.sqlite"
        self._opening.set_result(await Store.open(place, METADATA, migrations=MIGRATIONS))

    async def stop(self) -> None:
        """Close the database."""
        if self._opening.done():
            await self._opening.result().close()

    async def register(self, record: ServiceRecord, volumes: list[VolumeRecord]) -> int:
        """See `DIR.register`."""
        caller = current_call().caller
        if caller.name != record.node:
            raise Refused.of(errno.EPERM, f"{caller.name} registers as {record.node}")
        if record.kind == "MRC" and "core" not in caller.roles and caller.name not in self.settings.mrcs:
            raise Refused.of(errno.EPERM, f"{caller.name} as MRC (see the setting mrcs of DIR)")
        _check(record, volumes)
        now = time.time_ns()
        own = tuple(pair for pair in record.attributes if pair[0] != VOS)
        certified = ((VOS, ",".join(sorted(caller.vos))),) if caller.vos else ()
        record = msgspec.structs.replace(record, attributes=own + certified, heard=now)
        store = await asyncio.shield(self._opening)
        taken = await store.write(lambda db: kept.enter(db, record, volumes))
        self._hear(record)
        if taken is not None:
            raise Refused.of(errno.EEXIST, f"volume {taken.name} is served by {', '.join(taken.mrc)}")
        return now

    def _hear(self, record: ServiceRecord) -> None:
        key = record.kind, record.node
        if key not in self._heard or self._suspect(key):
            log.info("service.up", kind=record.kind, peer_node=record.node)
        self._dead.discard(key)
        self._heard[key] = time.monotonic()

    async def services(self, kind: str) -> list[ServiceRecord]:
        """See `DIR.services`."""
        store = await asyncio.shield(self._opening)
        found = await store.read(lambda db: kept.services(db, kind))
        return [msgspec.structs.replace(one, suspect=self._suspect((one.kind, one.node))) for one in found]

    def _suspect(self, key: tuple[str, str]) -> bool:
        # After a start nobody is suspect before there was time for a heartbeat.
        heard = self._heard.get(key, self._since)
        return key in self._dead or time.monotonic() - heard > self.settings.suspect_seconds

    async def volumes(self) -> list[VolumeRecord]:
        """See `DIR.volumes`."""
        store = await asyncio.shield(self._opening)
        return await store.read(kept.all_volumes)

    async def volume(self, name: str) -> VolumeRecord:
        """See `DIR.volume`."""
        store = await asyncio.shield(self._opening)
        found = await store.read(lambda db: kept.volume(db, name))
        if found is None:
            raise Refused.of(errno.ENOENT, f"volume {name[:64]}")
        return found

    async def suspect(self, kind: str, node: str) -> None:
        """See `DIR.suspect`. One question at a time to each service, however many complain."""
        store = await asyncio.shield(self._opening)
        known = await store.read(lambda db: kept.services(db, kind))
        key = kind, node
        if node not in [one.node for one in known if one.kind == kind] or key in self._probes:
            return
        task = self._probes[key] = self.host.spawn(self._probe(key), name=f"probe-{kind}-{node}")
        task.add_done_callback(lambda _: self._probes.pop(key, None))

    async def _probe(self, key: tuple[str, str]) -> None:
        kind, node = key
        before = self._heard.get(key)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                if kind == "OSD":
                    await OSDAsync(self.host.bus, node).health(deadline=PROBE_SECONDS)
                else:
                    await MRCAsync(self.host.bus, node).standing(deadline=PROBE_SECONDS)
        except (XosError, TimeoutError) as error:
            if self._heard.get(key) == before:  # not heard meanwhile
                self._dead.add(key)
                log.warning("service.suspect", kind=kind, peer_node=node, detail=str(error))
        else:
            self._dead.discard(key)

    async def set_status(self, node: str, status: Status) -> ServiceRecord:
        """See `DIR.set_status`."""
        caller = current_call().caller
        known = [one for one in await self.services("OSD") if one.node == node]
        if known and not _may_set_status(caller, known[0]):
            raise Refused.of(errno.EACCES, f"status of {node[:64]}")
        store = await asyncio.shield(self._opening)
        found = await store.write(partial(kept.set_status, node=node, status=status))
        if found is None:
            raise Refused.of(errno.ENOENT, f"OSD {node[:64]}")
        log.info("osd.status", peer_node=node, status=status.value, by=str(caller))
        return msgspec.structs.replace(found, suspect=self._suspect(("OSD", node)))

    # --- MRCs with a backup

    async def pairs(self) -> list[Pair]:
        """See `DIR.pairs`."""
        store = await asyncio.shield(self._opening)
        return await store.read(pairs.all_)

    async def set_backup(self, primary: str, backup: str) -> Pair | None:
        """See `DIR.set_backup`. A core's root may."""
        what = f"backup {backup[:64]} of MRC {primary[:64]}" if backup else f"MRC {primary[:64]} without backup"
        if "core" not in current_call().caller.roles:
            raise Refused.of(errno.EACCES, what)
        store = await asyncio.shield(self._opening)
        known = [one.node for one in await store.read(lambda db: kept.services(db, "MRC"))]
        if primary not in known or (backup and backup not in known) or primary == backup:
            raise Refused.of(errno.ENOENT, what)
        term = max([0, *[standing.term for standing in await self._joining(primary, backup, what)]]) + 1
        pair = await store.write(lambda db: pairs.join(db, primary, backup, term))
        if pair is None:
            raise Refused.of(errno.EEXIST, what)
        log.info("mrc.backup", primary=primary, backup=backup, term=pair.term, by=str(current_call().caller))
        return pair

    async def _joining(self, primary: str, backup: str, what: str) -> list[Standing]:
        """How both are. Raises `Refused` (EOPNOTSUPP, ENOTEMPTY) and what says that one does not answer."""
        if not backup:
            return []
        pair = next((one for one in await self.pairs() if one.primary == primary), None)
        standings = [await MRCAsync(self.host.bus, node).standing(deadline=PROBE_SECONDS) for node in (primary, backup)]
        if not all(standing.embedded for standing in standings):
            raise Refused.of(errno.EOPNOTSUPP, what)
        # One that was its partner before may come back with what it had: it takes a copy.
        if standings[1].volumes and standings[1].serves and (pair is None or pair.backup != backup):
            raise Refused.of(errno.ENOTEMPTY, what)
        return standings

    async def set_synced(self, term: int, backup: str, synced: bool) -> Pair:
        """See `DIR.set_synced`."""
        node, store = current_call().caller.name, await asyncio.shield(self._opening)
        pair = await store.write(lambda db: pairs.set_synced(db, node, term, backup, synced))
        if pair is None:
            raise Refused.of(errno.ESTALE, f"MRC {node} as primary of term {term}")
        log.info("mrc.synced", primary=node, backup=pair.backup, term=term, synced=synced)
        return pair

    async def take_over(self, version: int) -> Pair:
        """See `DIR.take_over`."""
        node, store = current_call().caller.name, await asyncio.shield(self._opening)
        pair = await store.read(lambda db: pairs.of(db, node))
        if pair is None or pair.backup != node or pair.version != version:
            raise Refused.of(errno.ESTALE, f"take-over by MRC {node}")
        if not pair.synced:
            raise Refused.of(errno.EAGAIN, f"take-over by MRC {node}")
        if await self._answers(pair.primary):
            raise Refused.of(errno.EBUSY, f"take-over by MRC {node}")

        def do(db: sa.Connection) -> Pair | None:
            changed = pairs.take_over(db, node, version)
            if changed is not None:
                kept.hand_over(db, changed.backup, changed.primary)
            return changed

        changed = await store.write(do)
        if changed is None:
            raise Refused.of(errno.ESTALE, f"take-over by MRC {node}")
        self._dead.add(("MRC", changed.backup))
        log.warning("mrc.taken-over", primary=node, before=changed.backup, term=changed.term)
        return changed

    async def _answers(self, node: str) -> bool:
        try:
            await MRCAsync(self.host.bus, node).standing(deadline=TAKE_OVER_SECONDS)
        except XosError as error:
            log.info("mrc.silent", peer_node=node, code=error.code, detail=error.message)
            return False
        return True

    async def stand_by(self) -> Pair | None:
        """See `DIR.stand_by`."""
        node, store = current_call().caller.name, await asyncio.shield(self._opening)
        return await store.write(lambda db: pairs.stand_by(db, node))

    async def now(self) -> int:
        """See `DIR.now`."""
        return time.time_ns()


def _may_set_status(caller: Identity, osd: ServiceRecord) -> bool:
    """A core's root may, and the node's own; of a machine that serves one VO only, who administers that VO's."""
    if caller.kind is Kind.MACHINE:
        return "core" in caller.roles or caller.name == osd.node
    return dict(osd.attributes).get(VOS) == caller.vo and not ADMINISTRATORS.isdisjoint(caller.roles)


def _check(record: ServiceRecord, volumes: list[VolumeRecord]) -> None:
    """Raises `Refused` (EINVAL) for what no service of ours says."""
    if record.kind not in KINDS:
        raise Refused.of(errno.EINVAL, f"kind {record.kind[:16]!r}: one of {', '.join(KINDS)}")
    if min(record.total, record.free) < 0 or max(record.total, record.free) >= 1 << 63:
        raise Refused.of(errno.EINVAL, f"{record.free} of {record.total} bytes free")
    if not 0 <= record.load < float("inf"):
        raise Refused.of(errno.EINVAL, f"load {record.load}")
    if len(record.attributes) > MOST_ATTRIBUTES or any(len(k) > 64 or len(v) > 255 for k, v in record.attributes):
        raise Refused.of(errno.EINVAL, "too many or too long attributes")
    if len(volumes) > (MOST_VOLUMES if record.kind == "MRC" else 0):
        raise Refused.of(errno.EINVAL, f"{len(volumes)} volumes of one {record.kind}")
    for volume in volumes:
        if not _NAME.fullmatch(volume.name) or not _ID.fullmatch(volume.id):
            raise Refused.of(errno.EINVAL, f"volume {volume.name[:64]!r}, id {volume.id[:64]!r}")
        if record.node not in volume.mrc or len(volume.mrc) > MOST_ATTRIBUTES:
            raise Refused.of(errno.EINVAL, f"volume {volume.name} is not served by {record.node}")
