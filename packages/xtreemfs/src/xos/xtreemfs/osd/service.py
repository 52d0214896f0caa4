# SPDX-License-Identifier: BSD-3-Clause
"""The Object Storage Device: the bytes of files, for whoever shows a capability of the MRC."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.api import LATER, Later, at_once, current_call
from xos.dixi.errors import NotAllowed
from xos.dixi.hosting import Host, Hosted
from xos.dixi.memory import keep_freed_memory
from xos.xtreemfs.api import (
    MOST_BEGINNINGS,
    MOST_BYTES,
    MOST_FILES,
    MOST_PARTS,
    OSD,
    Access,
    Beginning,
    Extent,
    FilePart,
    Following,
    Health,
    Loan,
    Part,
    Presented,
    ShareState,
    Step,
    Update,
    Written,
)
from xos.xtreemfs.api.osd import token_in
from xos.xtreemfs.errors import BadCapability, BadParts, OtherStore, PieceTooLarge, Refused, ShareTooLarge, UnknownFile
from xos.xtreemfs.osd.admission import Admission, Grant, check_access
from xos.xtreemfs.osd.checksums import Bytes
from xos.xtreemfs.osd.disk import SMALL, LocalDisk
from xos.xtreemfs.osd.fences import check, fence, laid_out, revoked
from xos.xtreemfs.osd.filling import Fillings, lacks
from xos.xtreemfs.osd.heartbeat import Heartbeat
from xos.xtreemfs.osd.lending import check_near, lent
from xos.xtreemfs.osd.replication import Replication, is_written, told
from xos.xtreemfs.osd.scrubbing import Scrubber
from xos.xtreemfs.osd.share import MOST_BYTES as MOST_SHARE
from xos.xtreemfs.osd.share import State, unchanged
from xos.xtreemfs.osd.showing import Showing, Writers
from xos.xtreemfs.osd.snapshots import Known
from xos.xtreemfs.osd.store import ShareStore

log = get_logger("xos.xtreemfs.osd")
MOST_SUMS = 65_536
"""Of one call of `OSD.sums`."""
MOST_STATES = 4096
"""Of one call of `OSD.shares`."""
FILES_AT_ONCE = 8
"""Of one call of `OSD.write_files` that are written before others have their turn: about a millisecond."""


class OsdSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.OSD.settings]``."""

    mrcs: tuple[str, ...] = ()
    """Names (or patterns) of machines whose MRC is believed, besides those with the role ``core``."""
    attributes: dict[str, str] = {}
    """What placement policies may ask: ``site``, ``datacentre``, …"""
    scrub_mib_per_second: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 8.0
    """How fast shares are read to find damage."""


class OsdService(Hosted[OsdSettings], OSD):
    """Serves what is below its data directory."""

    settings_type = OsdSettings

    def __init__(self, host: Host, settings: OsdSettings) -> None:
        super().__init__(host, settings)
        self._disk: LocalDisk
        self._store: ShareStore
        self._replication: Replication
        self.heartbeat = Heartbeat(host, settings.attributes)
        self._admission = Admission(host.node, host.trust, settings.mrcs, self.heartbeat.now)

    async def start(self) -> None:
        """Open the store; tell the DIR."""
        keep_freed_memory()
        self._store = ShareStore(self.host.data)
        self.heartbeat.store = self._admission.store = self._store.id
        self._disk = LocalDisk(self._store)
        self._replication = Replication(self.host, self._disk)
        self._fillings = Fillings(self.host, self._disk)
        self._writers = Writers(self._store.snapshots)
        self._showing = Showing(self._disk, self.host.bus)
        self.scrubber = Scrubber(self._store, self._disk, self.settings.scrub_mib_per_second)
        self.host.spawn(self.heartbeat.run(), name="osd-heartbeat")
        self.host.spawn(self.scrubber.run(), name="osd-scrubber")
        self.host.spawn(self._replication.tend(), name="osd-replication")

    async def stop(self) -> None:
        """Sync and close."""
        await self._replication.close()
        self._disk.close()

    # --- for holders of capabilities

    async def present(self, capability: Signed) -> Presented:
        """See `OSD`."""
        grant = self._admission.present(capability, current_call().caller)
        return Presented(grant.token, await self._prepared(grant))

    async def _prepared(self, grant: Grant) -> Extent:
        """What must be so before a capability is used; how long the file is."""
        version = grant.capability.layout.version
        if grant.capability.origin and (version or grant.peer):
            await self._disk.set_apart(grant.capability)
        check(grant.capability, (state := await self._disk.state(grant.file_id)).mark)
        if version > state.mark.layout:  # before anything is copied to the replicas that it names
            state = await self._disk.keep(grant.file_id, laid_out(version), durable=True)
        if is_written(grant) and grant.is_primary and grant.holds:
            state = await (await self._replication.lead(grant)).start()
        elif await self._lacks(grant):
            state = await self._fillings.of(grant).start()
        elif grant.capability.origin:
            state = await self._showing.state(grant.capability)
        extent = self._extent(grant, state)
        if grant.base is None:
            grant.base = extent.size
        return extent

    def _read_now(self, token: bytes, offset: int, length: int, capability: Signed | None = None) -> bytes | Later:
        """What is little and in memory."""
        if not 0 <= length <= SMALL or (grant := self._at_hand(token, capability, Access.READ)) is None:
            return LATER
        with self.heartbeat.busy():
            found = self._disk.read_now(grant.file_id, offset, length, fence(grant.capability))
        return LATER if found is None else found

    @at_once(_read_now)
    async def read(self, token: bytes, offset: int, length: int, capability: Signed | None = None) -> bytes:
        """See `OSD`."""
        async with self._granted(token, capability, Access.READ) as grant:
            _check_piece(length)
            if is_written(grant):
                return await (await self._replication.lead(grant)).read(offset, length, fence(grant.capability))
            if await self._lacks(grant):
                return await self._fillings.of(grant).read(offset, length, fence(grant.capability))
            if grant.capability.origin:
                return await self._showing.read(grant.capability, offset, length)
            return await self._disk.read(grant.file_id, offset, length, fence(grant.capability))

    def _read_beginnings_now(
        self, token: bytes, files: list[Beginning], capability: Signed | None = None
    ) -> list[bytes | None] | Later:
        """All of them in memory."""
        self._check_beginnings(token, files, capability)
        found: list[bytes | None] = []
        for one in files:
            try:
                content = self._read_now(token_in(token, one.inode), 0, one.length)
            except (XosError, OverflowError) as error:
                log.info("osd.not-early", inode=one.inode, detail=str(error))
                content = None
            if content is LATER:
                return LATER
            found.append(content)
        return found

    @at_once(_read_beginnings_now)
    async def read_beginnings(
        self, token: bytes, files: list[Beginning], capability: Signed | None = None
    ) -> list[bytes | None]:
        """See `OSD`."""
        self._check_beginnings(token, files, capability)
        return list(await asyncio.gather(*(self._beginning(token, one) for one in files)))

    def _check_beginnings(self, token: bytes, files: list[Beginning], capability: Signed | None) -> None:
        self._admitted(token, capability, Access.READ)
        if len(files) > MOST_BEGINNINGS:
            raise BadParts(parts=len(files), length=0, detail=f"at most {MOST_BEGINNINGS} files")
        for one in files:
            _check_piece(one.length)
        _check_piece(sum(one.length for one in files))

    async def _beginning(self, token: bytes, one: Beginning) -> bytes | None:
        try:
            return await self.read(token_in(token, one.inode), 0, one.length)
        except (XosError, OverflowError) as error:
            log.info("osd.not-early", inode=one.inode, detail=str(error))
            return None

    async def lend(self, token: bytes, boot: bytes, capability: Signed | None = None) -> Loan:
        """See `OSD`."""
        check_near(boot)
        async with self._granted(token, capability, Access.READ) as grant:
            return await self._disk.run(lambda: lent(self._store, grant))

    def _append_now(
        self,
        token: bytes,
        offset: int,
        content: Bytes,
        number: int,  # noqa: ARG002 -- twice is as once
        capability: Signed | None = None,
    ) -> Written | Later:
        """A small file that is new, or what is added to it."""
        if len(content) > SMALL or (grant := self._at_hand(token, capability, Access.WRITE)) is None:
            return LATER
        _check_room(grant, offset + len(content))
        with self.heartbeat.busy(), self._writers.writing(grant.capability):
            state = self._disk.append_now(grant.file_id, offset, content, fence(grant.capability))
        return LATER if state is None else Written(self._extent(grant, state))

    def _at_hand(self, token: bytes, capability: Signed | None, wanted: Access) -> Grant | None:
        """By which a share is used at once: of one replica that is no snapshot's, with nothing to prepare or keep."""
        grant = self._admitted(token, capability, wanted)
        own = grant.capability
        plain = own.layout.update is Update.NONE and not own.origin and (grant.frozen or not own.snapshot)
        return grant if plain and (grant.base is not None or _is_simple(grant)) else None

    @at_once(_append_now)
    async def write(
        self,
        token: bytes,
        offset: int,
        content: bytes,
        number: int,  # noqa: ARG002 -- twice is as once
        capability: Signed | None = None,
    ) -> Written:
        """See `OSD`."""
        async with self._granted(token, capability, Access.WRITE) as grant:
            _check_piece(len(content))
            return await self._write(grant, [(offset, content)])

    async def write_parts(
        self,
        token: bytes,
        parts: list[Part],
        content: bytes,
        number: int,  # noqa: ARG002 -- twice is as once
        capability: Signed | None = None,
    ) -> Written:
        """See `OSD`."""
        async with self._granted(token, capability, Access.WRITE) as grant:
            _check_piece(len(content))
            return await self._write(grant, _parted(parts, content))

    async def write_files(self, files: list[FilePart], content: bytes, capabilities: list[Signed]) -> list[int]:
        """See `OSD`."""
        _check_piece(len(content))
        pieces = _of_files(files, content)
        for capability in capabilities:
            with contextlib.suppress(BadCapability, OtherStore):  # what is written by it is not
                self._admission.present(capability, current_call().caller)
        left: list[int] = []
        for at, (file, piece) in enumerate(zip(files, pieces, strict=True)):
            if at and at % FILES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if not await self._is_written(file.token, piece):
                left.append(at)
        return left

    async def _is_written(self, token: bytes, content: Bytes) -> bool:
        """Whether a file begins with *content* now. If not, a call of its own says why."""
        try:
            if self._append_now(token, 0, content, 0) is LATER:
                async with self._granted(token, None, Access.WRITE) as grant:
                    await self._write(grant, [(0, content)])
        except XosError:
            return False
        return True

    async def _write(self, grant: Grant, parts: Sequence[tuple[int, Bytes]]) -> Written:
        """What belongs at each offset, in ascending order."""
        _check_changes(grant)
        end, last = parts[-1]
        _check_room(grant, end + len(last))
        with self._writers.writing(grant.capability):
            admit = fence(grant.capability)
            if is_written(grant):
                lead = await self._replication.lead(grant)
                steps = (lead.write(offset, bytes(each), admit, grant.capability.snapshot) for offset, each in parts)
                *_, state = await asyncio.gather(*steps)
            else:
                await self._freeze(grant)
                state = await self._disk.write_parts(grant.file_id, parts, admit)
            return Written(self._extent(grant, state))

    async def _freeze(self, grant: Grant) -> None:
        """Before it is written to."""
        if grant.capability.snapshot and not grant.frozen:
            await self._disk.freeze(grant.file_id, grant.capability.snapshot)
            grant.frozen = True

    async def truncate(self, token: bytes, size: int, capability: Signed | None = None) -> Written:
        """See `OSD`."""
        async with self._granted(token, capability, Access.WRITE) as grant:
            if size < 0:
                raise ShareTooLarge(start=size, end=size, most=MOST_SHARE)
            _check_changes(grant)
            share = grant.capability.layout.striping.share_size(size, grant.place)
            admit = fence(grant.capability)
            with self._writers.writing(grant.capability):
                if is_written(grant):
                    lead = await self._replication.lead(grant)
                    await lead.truncate(share, admit, grant.capability.snapshot)
                else:
                    await self._freeze(grant)
                    await self._disk.truncate(grant.file_id, share, admit)
            return Written(Extent(size, grant.capability.epoch))

    async def sync(self, token: bytes, capability: Signed | None = None) -> Written:
        """See `OSD`."""
        async with self._granted(token, capability, Access.READ | Access.WRITE) as grant:
            if is_written(grant):
                return Written(self._extent(grant, await (await self._replication.lead(grant)).sync()))
            if await self._lacks(grant):
                return Written(self._extent(grant, await self._fillings.of(grant).fill()))
            return Written(self._extent(grant, await self._disk.sync(grant.file_id)))

    async def _lacks(self, grant: Grant) -> bool:
        """Whether this replica may not have everything. Of a snapshot's file it may have been found that it has."""
        if not lacks(grant) or grant.frozen:
            return False
        if grant.capability.origin:
            if await self._showing.is_same(grant):
                grant.frozen = True
                return False
            await self._disk.set_apart(grant.capability)
        return True

    # --- for MRCs and tools

    async def revoke(self, file_id: str, revision: int) -> None:
        """See `OSD`."""
        self._only_mrcs()
        await self._disk.keep(file_id, revoked(revision), durable=True)

    async def delete(self, file_ids: list[str]) -> None:
        """See `OSD`."""
        self._only_mrcs()
        for file_id, layout in zip(file_ids, await self._disk.layouts(file_ids), strict=True):
            self._admission.bury(file_id, layout)
            await self._replication.forget(file_id)
            self._fillings.forget(file_id)
        await self._disk.delete(file_ids)

    async def snapshots(self, volume: str, number: int, there: list[int]) -> int:
        """See `OSD`."""
        self._only_mrcs()
        known = await self._disk.run(lambda: self._store.free(volume, Known(number, tuple(there))))
        await self._writers.older_over(volume, number)
        return known.number

    async def shares(self, after: str, most: int) -> list[ShareState]:
        """See `OSD`."""
        most = max(1, min(most, MOST_STATES))
        names = await self._disk.run(lambda: sorted(name for name in self._store.file_ids() if name > after)[:most])
        return [told(name, await self._disk.state(name)) for name in names]

    async def state(self, file_id: str, snapshot: int = 0) -> ShareState:
        """See `OSD`."""
        if snapshot:
            shown = await self._disk.run(lambda: self._store.shown(file_id, snapshot))
        else:
            shown = file_id if await self._disk.run(lambda: self._store.has(file_id)) else None
        if shown is None:
            raise UnknownFile(file_id=file_id)
        file_id = shown
        return told(file_id, await self._disk.state(file_id))

    async def health(self) -> Health:
        """See `OSD`."""
        health = await self._disk.run(self.heartbeat.health)
        seen = self.scrubber
        return msgspec.structs.replace(
            health, shares=seen.shares, damaged=len(seen.damaged), rounds=seen.rounds, scrubbed=seen.scrubbed
        )

    async def scrub(self) -> int:
        """See `OSD`."""
        return self.scrubber.begin()

    # --- for primaries of files that are replicated here

    async def follow(self, capability: Signed) -> Following:
        """See `OSD`."""
        grant = self._admission.present(capability, current_call().caller)
        check(grant.capability, (await self._disk.state(grant.file_id)).mark)
        return await self._replication.follow(grant)

    async def hold(self, token: bytes) -> None:
        """See `OSD`."""
        grant, term = self._from_primary(token)
        await self._replication.follower.hold(grant.file_id, term)

    async def replicate(self, token: bytes, step: Step) -> None:
        """See `OSD`."""
        grant, term = self._from_primary(token)
        with self.heartbeat.busy():
            await self._replication.follower.replicate(grant.file_id, term, step)

    async def harden(self, token: bytes, version: int) -> None:
        """See `OSD`."""
        grant, term = self._from_primary(token)
        await self._replication.follower.harden(grant.file_id, term, version)

    async def sums(self, token: bytes, first: int, count: int) -> bytes:
        """See `OSD`."""
        grant = self._from_replica(token)
        if first < 0 or not 0 <= count <= MOST_SUMS:
            raise PieceTooLarge(length=count, most=MOST_SUMS)
        return await self._disk.sums(grant.file_id, first, count)

    async def fetch(self, token: bytes, offset: int, length: int) -> bytes:
        """See `OSD`."""
        grant = self._from_replica(token)
        _check_piece(length)
        return await self._disk.read(grant.file_id, offset, length, unchanged)

    async def patch(self, token: bytes, join: int, offset: int, content: bytes, snapshot: int = 0) -> None:
        """See `OSD`."""
        grant, term = self._from_primary(token)
        await self._replication.follower.patch(grant.file_id, term, join, offset, content, snapshot)

    async def adopt(self, token: bytes, join: int, size: int, epoch: int, version: int, snapshot: int = 0) -> None:
        """See `OSD`."""
        grant, term = self._from_primary(token)
        await self._replication.follower.adopt(grant.file_id, term, join, size, epoch, version, snapshot)

    def _from_primary(self, token: bytes) -> tuple[Grant, int]:
        grant = self._admission.grant(token, current_call().caller)
        return grant, self._replication.term(grant)

    def _from_replica(self, token: bytes) -> Grant:
        """From a primary; or from one that fills itself, of a file that does not change."""
        grant = self._admission.grant(token, current_call().caller)
        if grant.capability.layout.update is not Update.READ_ONLY:
            self._replication.term(grant)
        elif not grant.peer or lacks(grant):
            raise BadCapability(file_id=grant.file_id, detail=f"{grant.caller} takes nothing from here")
        return grant

    # --- common

    @contextlib.asynccontextmanager
    async def _granted(self, token: bytes, capability: Signed | None, wanted: Access) -> AsyncIterator[Grant]:
        grant = self._admitted(token, capability, wanted)
        with self.heartbeat.busy():
            if (capability is not None or grant.base is None) and not _is_simple(grant):
                await self._prepared(grant)
            yield grant

    def _admitted(self, token: bytes, capability: Signed | None, wanted: Access) -> Grant:
        caller = current_call().caller
        if capability is None:
            grant = self._admission.grant(token, caller)
        else:
            grant = self._admission.present(capability, caller, token)
        check_access(grant, wanted)
        return grant

    def _only_mrcs(self) -> None:
        call = current_call()
        if not self._admission.is_mrc(call.caller):
            raise NotAllowed(method=f"OSD.{call.method}", caller=str(call.caller), allowed="MRCs (setting mrcs)")

    @staticmethod
    def _extent(grant: Grant, state: State) -> Extent:
        striping = grant.capability.layout.striping
        return Extent(striping.end_of(state.size, grant.place), max(state.mark.epoch, grant.capability.epoch))


def _is_simple(grant: Grant) -> bool:
    """Whether there is nothing to prepare: what is too old is refused as it is used."""
    capability = grant.capability
    plain = not capability.layout.version and not is_written(grant) and not lacks(grant)
    return plain and (capability.room < 0 or grant.base is not None)


def _check_piece(length: int) -> None:
    if not 0 <= length <= MOST_BYTES:
        raise PieceTooLarge(length=length, most=MOST_BYTES)


def _parted(parts: list[Part], content: bytes) -> list[tuple[int, Bytes]]:
    """Each part's offset, and its bytes. Raises `BadParts`."""
    found: list[tuple[int, Bytes]] = []
    view, done, end = memoryview(content), 0, 0
    for part in parts:
        if part.length <= 0 or part.offset < end:
            raise BadParts(parts=len(parts), length=len(content), detail="one is empty, or not behind the one before")
        found.append((part.offset, view[done : done + part.length]))
        done, end = done + part.length, part.offset + part.length
    if not 1 <= len(parts) <= MOST_PARTS or done != len(content):
        raise BadParts(parts=len(parts), length=len(content), detail=f"they are {done}; at most {MOST_PARTS} parts")
    return found


def _of_files(files: list[FilePart], content: bytes) -> list[Bytes]:
    """The bytes of each. Raises `BadParts`."""
    found: list[Bytes] = []
    view, done = memoryview(content), 0
    for file in files:
        if not 0 < file.length <= SMALL:
            detail = f"one has {file.length}, not 1 to {SMALL}"
            raise BadParts(parts=len(files), length=len(content), detail=detail)
        found.append(view[done : done + file.length])
        done += file.length
    if not 1 <= len(files) <= MOST_FILES or done != len(content):
        raise BadParts(parts=len(files), length=len(content), detail=f"they are {done}; at most {MOST_FILES} files")
    return found


def _check_changes(grant: Grant) -> None:
    """Raises `Refused` (EROFS) for a file that does not change any more."""
    if grant.capability.layout.update is Update.READ_ONLY:
        raise Refused.of(errno.EROFS, grant.file_id)


def _check_room(grant: Grant, end: int) -> None:
    """Whether the file may still grow so far. Raises `Refused` (EDQUOT)."""
    room = grant.capability.room
    if room >= 0 and grant.capability.layout.striping.end_of(end, grant.place) > (grant.base or 0) + room:
        raise Refused.of(errno.EDQUOT, grant.file_id)
