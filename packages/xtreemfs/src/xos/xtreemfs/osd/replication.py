# SPDX-License-Identifier: BSD-3-Clause
"""Which shares this OSD leads and which it follows: joins capabilities and connections to `leading` and `following`."""

from __future__ import annotations

import asyncio

from xos.dixi.hosting import Host
from xos.xtreemfs.api import Following, ShareState, Update
from xos.xtreemfs.errors import BadCapability, NotPrimary
from xos.xtreemfs.osd.admission import Grant
from xos.xtreemfs.osd.disk import Disk
from xos.xtreemfs.osd.following import Follower
from xos.xtreemfs.osd.leading import Lead
from xos.xtreemfs.osd.peers import RemotePeer
from xos.xtreemfs.osd.share import State
from xos.xtreemfs.xati import OSDAsync

WRITTEN = frozenset({Update.QUORUM, Update.ALL})
IDLE_SECONDS = 600.0
"""After so long without a call a primary forgets its followers; the next call finds them again."""


class _Led:
    """A lead, with the latest capability that makes this OSD the primary."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.layout = grant.capability.layout.version
        self.used = 0.0
        self.lead: Lead


class Replication:
    """Of all files with replicas that are written to."""

    def __init__(self, host: Host, disk: Disk) -> None:
        self._host, self._disk = host, disk
        self._follower = Follower(disk)
        self._led: dict[str, _Led] = {}

    async def lead(self, grant: Grant) -> Lead:
        """The primary of the grant's term. Raises `NotPrimary`."""
        term, version = grant.term, grant.capability.layout.version
        if not grant.is_primary:
            raise NotPrimary(file_id=grant.file_id, term=term)
        led = self._led.get(grant.file_id)
        if led is not None and (led.lead.term, led.layout) < (term, version):
            await self.forget(grant.file_id)
            led = self._led.get(grant.file_id)
        if led is None:
            led = self._led[grant.file_id] = _Led(grant)
            led.lead = self._make(led)
        if (led.lead.term, led.layout) != (term, version):
            raise NotPrimary(file_id=grant.file_id, term=term)
        if grant.capability.expires > led.grant.capability.expires:
            led.grant = grant
        led.used = asyncio.get_running_loop().time()
        return led.lead

    def _make(self, led: _Led) -> Lead:
        grant = led.grant
        peers = {
            node: RemotePeer(OSDAsync(self._host.bus, node), lambda: led.grant.signed)
            for node in grant.row
            if node != self._host.node
        }
        every = grant.capability.layout.update is Update.ALL
        return Lead(grant.file_id, grant.term, self._disk, self._follower, peers, every=every)

    async def forget(self, file_id: str) -> None:
        """Lead it no longer."""
        led = self._led.pop(file_id, None)
        if led is not None:
            await led.lead.close()

    async def tend(self) -> None:
        """Forget what nobody has used for long."""
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            old = asyncio.get_running_loop().time() - IDLE_SECONDS
            for file_id in [file_id for file_id, led in self._led.items() if led.used < old]:
                await self.forget(file_id)

    async def close(self) -> None:
        """Lead nothing any more."""
        for file_id in list(self._led):
            await self.forget(file_id)

    # --- for primaries elsewhere

    async def follow(self, grant: Grant) -> Following:
        """See `OSD.follow`."""
        term = self.term(grant)
        led = self._led.get(grant.file_id)
        if led is not None and led.lead.term < term:
            await self.forget(grant.file_id)
        state, join = await self._follower.follow(grant.file_id, term)
        mark = state.mark
        share = ShareState(grant.file_id, state.size, mark.epoch, mark.term, mark.version, snapshot=mark.snapshot)
        return Following(grant.token, share, join)

    @property
    def follower(self) -> Follower:
        """What this OSD follows."""
        return self._follower

    @staticmethod
    def term(grant: Grant) -> int:
        """The term whose primary the caller is. Raises `BadCapability`."""
        layout = grant.capability.layout
        if layout.update not in WRITTEN or grant.caller != grant.row[layout.primary] or grant.is_primary:
            raise BadCapability(file_id=grant.file_id, detail=f"{grant.caller} is not the primary")
        return grant.term


def is_written(grant: Grant) -> bool:
    """Whether the file has replicas that a primary keeps the same."""
    layout = grant.capability.layout
    return layout.update in WRITTEN and len(layout.replicas) > 1


def told(file_id: str, state: State) -> ShareState:
    """A share's state for MRCs and tools, who count terms as layouts do; -1: no primary has ordered anything."""
    mark = state.mark
    return ShareState(file_id, state.size, mark.epoch, mark.term - 1, mark.version, snapshot=mark.snapshot)
