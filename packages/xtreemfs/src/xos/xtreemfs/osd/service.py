# SPDX-License-Identifier: BSD-3-Clause
"""The Object Storage Device: the bytes of files, for whoever shows a capability of the MRC."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.api import current_call
from xos.dixi.errors import NotAllowed
from xos.dixi.hosting import Host, Hosted
from xos.dixi.memory import keep_freed_memory
from xos.xtreemfs.api import MOST_BYTES, OSD, Access, Extent, Health, Presented, ShareState, Written
from xos.xtreemfs.errors import PieceTooLarge, Refused, ShareTooLarge, UnknownFile
from xos.xtreemfs.osd.admission import Admission, Grant, check_access
from xos.xtreemfs.osd.disk import LocalDisk
from xos.xtreemfs.osd.fences import fence, revoked
from xos.xtreemfs.osd.heartbeat import Heartbeat
from xos.xtreemfs.osd.share import MOST_BYTES as MOST_SHARE
from xos.xtreemfs.osd.share import State
from xos.xtreemfs.osd.store import ShareStore

log = get_logger("xos.xtreemfs.osd")
MOST_STATES = 4096
"""Of one call of `OSD.shares`."""


class OsdSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.OSD.settings]``."""

    mrcs: tuple[str, ...] = ()
    """Names (or patterns) of machines whose MRC is believed, besides those with the role ``core``."""
    attributes: dict[str, str] = {}
    """What placement policies may ask: ``site``, ``datacentre``, …"""


class OsdService(Hosted[OsdSettings], OSD):
    """Serves what is below its data directory."""

    settings_type = OsdSettings

    def __init__(self, host: Host, settings: OsdSettings) -> None:
        super().__init__(host, settings)
        self._disk: LocalDisk
        self._store: ShareStore
        self.heartbeat = Heartbeat(host, settings.attributes)
        self._admission = Admission(host.node, host.trust, settings.mrcs, self.heartbeat.now)

    async def start(self) -> None:
        """Open the store; tell the DIR."""
        keep_freed_memory()
        self._store = ShareStore(self.host.data)
        self._disk = LocalDisk(self._store)
        self.host.spawn(self.heartbeat.run(), name="osd-heartbeat")

    async def stop(self) -> None:
        """Sync and close."""
        self._disk.close()

    # --- for holders of capabilities

    async def present(self, capability: Signed) -> Presented:
        """See `OSD`."""
        grant = self._admission.present(capability, current_call().caller)
        state = await self._disk.state(grant.file_id)
        fence(grant.capability)(state.mark)
        extent = self._extent(grant, state)
        if grant.base is None:
            grant.base = extent.size
        return Presented(grant.token, extent)

    async def read(self, token: bytes, offset: int, length: int) -> bytes:
        """See `OSD`."""
        async with self._granted(token, Access.READ) as grant:
            _check_piece(length)
            return await self._disk.read(grant.file_id, offset, length, fence(grant.capability))

    async def write(self, token: bytes, offset: int, content: bytes, number: int) -> Written:  # noqa: ARG002 -- twice is as once
        """See `OSD`."""
        async with self._granted(token, Access.WRITE) as grant:
            _check_piece(len(content))
            _check_room(grant, offset + len(content))
            state = await self._disk.write(grant.file_id, offset, content, fence(grant.capability))
            return Written(self._extent(grant, state))

    async def truncate(self, token: bytes, size: int) -> Written:
        """See `OSD`."""
        async with self._granted(token, Access.WRITE) as grant:
            if size < 0:
                raise ShareTooLarge(start=size, end=size, most=MOST_SHARE)
            share = grant.capability.layout.striping.share_size(size, grant.place)
            await self._disk.truncate(grant.file_id, share, fence(grant.capability))
            return Written(Extent(size, grant.capability.epoch))

    async def sync(self, token: bytes) -> Written:
        """See `OSD`."""
        async with self._granted(token, Access.READ | Access.WRITE) as grant:
            return Written(self._extent(grant, await self._disk.sync(grant.file_id)))

    # --- for MRCs and tools

    async def revoke(self, file_id: str, revision: int) -> None:
        """See `OSD`."""
        self._only_mrcs()
        await self._disk.keep(file_id, revoked(revision), durable=True)

    async def delete(self, file_ids: list[str]) -> None:
        """See `OSD`."""
        self._only_mrcs()
        for file_id in file_ids:
            self._admission.bury(file_id)
            await self._disk.delete(file_id)

    async def shares(self, after: str, most: int) -> list[ShareState]:
        """See `OSD`."""
        most = max(1, min(most, MOST_STATES))
        names = await self._disk.run(lambda: sorted(name for name in self._store.file_ids() if name > after)[:most])
        return [_told(name, await self._disk.state(name)) for name in names]

    async def state(self, file_id: str) -> ShareState:
        """See `OSD`."""
        if not await self._disk.run(lambda: self._store.has(file_id)):
            raise UnknownFile(file_id=file_id)
        return _told(file_id, await self._disk.state(file_id))

    async def health(self) -> Health:
        """See `OSD`."""
        return await self._disk.run(self.heartbeat.health)

    # --- common

    @asynccontextmanager
    async def _granted(self, token: bytes, wanted: Access) -> AsyncIterator[Grant]:
        grant = self._admission.grant(token, current_call().caller)
        check_access(grant, wanted)
        with self.heartbeat.busy():
            yield grant

    def _only_mrcs(self) -> None:
        call = current_call()
        if not self._admission.is_mrc(call.caller):
            raise NotAllowed(method=f"OSD.{call.method}", caller=str(call.caller), allowed="MRCs (setting mrcs)")

    @staticmethod
    def _extent(grant: Grant, state: State) -> Extent:
        striping = grant.capability.layout.striping
        return Extent(striping.end_of(state.size, grant.place), max(state.mark.epoch, grant.capability.epoch))


def _check_piece(length: int) -> None:
    if not 0 <= length <= MOST_BYTES:
        raise PieceTooLarge(length=length, most=MOST_BYTES)


def _check_room(grant: Grant, end: int) -> None:
    """Whether the file may still grow so far. Raises `Refused` (EDQUOT)."""
    room = grant.capability.room
    if room >= 0 and grant.capability.layout.striping.end_of(end, grant.place) > (grant.base or 0) + room:
        raise Refused.of(errno.EDQUOT, grant.file_id)


def _told(file_id: str, state: State) -> ShareState:
    mark = state.mark
    return ShareState(file_id, state.size, mark.epoch, mark.term, mark.version)
