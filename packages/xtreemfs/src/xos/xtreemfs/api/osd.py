# SPDX-License-Identifier: BSD-3-Clause
"""The Object Storage Device: the bytes of files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.signing import Signed
from xos.dixi.api import call, service, stream
from xos.xtreemfs.api.files import Extent

MACHINES = frozenset({Kind.MACHINE})


class Presented(msgspec.Struct, array_like=True, frozen=True):
    """A capability that this OSD has verified and keeps in mind."""

    token: bytes
    """16 bytes; names it in later calls of the same caller. After a restart: `UnknownToken`."""
    extent: Extent
    """How long the file is as far as this OSD's share tells."""


class Written(msgspec.Struct, array_like=True, frozen=True):
    """The file as this OSD sees it after a write."""

    extent: Extent


class ShareState(msgspec.Struct, array_like=True, frozen=True):
    """What an OSD has of a file, for other OSDs and the tools."""

    file_id: str
    size: int
    """Bytes of the share."""
    epoch: int
    term: int
    version: int
    """Number of the last write of that term."""
    damaged: int = 0
    """Blocks that the scrubber found damaged."""


class Health(msgspec.Struct, array_like=True, frozen=True):
    """How an OSD is."""

    total: int
    """Bytes of its file system."""
    free: int
    shares: int
    load: float
    """Calls under way, on average over the last minute."""
    read_only: bool
    full: bool
    damaged: int
    """Shares with damage."""


@service
class OSD(Protocol):
    """Bytes of shares. Raises `xtreemfs.*` errors; no call holds more than `MOST_BYTES`."""

    @call(idempotent=True)
    async def present(self, capability: Signed) -> Presented:
        """Show a capability. Raises `BadCapability` (forged, expired, another's, an older epoch or layout)."""
        ...

    @call(reads=True)
    async def read(self, token: bytes, offset: int, length: int) -> bytes:
        """Bytes of this OSD's share (see `striping`), fewer at its end. Raises `CorruptShare`, `UnknownToken`, …"""
        ...

    @call(idempotent=True)
    async def write(self, token: bytes, offset: int, content: bytes, number: int) -> Written:
        """Write into the share. *number*: the client's own, growing within a file.

        Survives the end of the OSD when this returns, on as many replicas as the layout's `Update` says; a power cut
        after `sync`. Raises `OsdFull`, `NotPrimary`, …
        """
        ...

    @call(idempotent=True)
    async def truncate(self, token: bytes, size: int) -> Written:
        """Cut or grow the *file* to *size* bytes; each OSD does its share's part."""
        ...

    @call(idempotent=True)
    async def sync(self, token: bytes) -> Written:
        """All that was written is on disk when this returns, on as many replicas as `write` says."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def revoke(self, file_id: str, revision: int) -> None:
        """Only for MRCs: refuse capabilities of an older `Capability.revision` from now on."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def delete(self, file_ids: list[str]) -> None:
        """Only for MRCs: remove shares."""
        ...

    @call(reads=True, allow=MACHINES)
    async def shares(self, after: str, most: int) -> list[ShareState]:
        """What there is, by file id behind *after*; for `xtfs_cleanup` and the RMS."""
        ...

    @call(reads=True)
    async def health(self) -> Health:
        """How it is."""
        ...

    # --- between OSDs (machines that the capability's layout names)

    @call(idempotent=True, allow=MACHINES)
    async def replicate(self, capability: Signed, offset: int, content: bytes, version: int) -> ShareState:
        """From the primary: write number *version* of its term. Raises `StaleTerm`, `Gap`."""
        ...

    @call(reads=True, allow=MACHINES)
    async def state(self, capability: Signed) -> ShareState:
        """What this replica has of the file; a primary of a newer term asks a majority before it serves."""
        ...

    @stream(allow=MACHINES)
    def fetch(self, capability: Signed, offset: int, length: int) -> AsyncIterator[bytes]:
        """Bytes of the share, checked, for a replica that fills itself."""
        ...
