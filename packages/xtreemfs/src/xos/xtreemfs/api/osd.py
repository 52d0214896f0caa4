# SPDX-License-Identifier: BSD-3-Clause
"""The Object Storage Device: the bytes of files."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.signing import Signed
from xos.dixi.api import call, service
from xos.xtreemfs.api.files import Capability, Extent

MACHINES = frozenset({Kind.MACHINE})
MOST_PARTS = 1024
"""Of one call of `OSD.write_parts`."""
MOST_BEGINNINGS = 32
"""Of one call of `OSD.read_beginnings`."""
MOST_FILES = 64
"""Of one call of `OSD.write_files`."""
TOKEN_BYTES = 16
INODE_BYTES = 8
"""Behind a token, see `token_in`."""
_MOST_INODE = 1 << 63
LOAN_SECONDS = 1.0
"""For how long a share that was lent is read without asking the OSD."""
PROMISE_SECONDS = 2.0
"""For how long a replica follows no other primary than the one it heard last."""


class Presented(msgspec.Struct, array_like=True, frozen=True):
    """A capability that this OSD has verified and keeps in mind."""

    token: bytes
    """What names it in later calls of the same caller, see `token_of`. After a restart: `UnknownToken`."""
    extent: Extent
    """How long the file is as far as this OSD's share tells."""


class Written(msgspec.Struct, array_like=True, frozen=True):
    """The file as this OSD sees it after a write."""

    extent: Extent


class Part(msgspec.Struct, array_like=True, frozen=True):
    """Bytes of a share."""

    offset: int
    length: int


class Beginning(msgspec.Struct, array_like=True, frozen=True):
    """Of a small file."""

    inode: int
    """One of those that the capability is for."""
    length: int
    """Bytes from its first on."""


class FilePart(msgspec.Struct, array_like=True, frozen=True):
    """The first *length* bytes of a share, which *token* gives the right to write."""

    token: bytes
    length: int


class Loan(msgspec.Struct, array_like=True, frozen=True):
    """Where a share is on the machine of its OSD. Good for `LOAN_SECONDS`, and until the mark beside the sums says that
    the capability is too old."""

    data: str
    """Path of the file of its bytes, as the OSD sees it."""
    sums: str
    """Of their sums (`xos.xtreemfs.osd.checksums`), with which every block is to be compared."""
    device: int
    """`st_dev` of both: who opens another file by that path does not read it."""
    data_inode: int
    sums_inode: int


class ShareState(msgspec.Struct, array_like=True, frozen=True):
    """What an OSD has of a file, for other OSDs and the tools."""

    file_id: str
    size: int
    """Bytes of the share."""
    epoch: int
    term: int
    """`Layout.term` of the primary that ordered the last change; -1: none has. Between OSDs one more."""
    version: int
    """Number of the last change of that term."""
    damaged: int = 0
    """Blocks that the scrubber found damaged."""
    snapshot: int = 0
    """By which `Capability.snapshot` it was written last."""


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
    rounds: int = 0
    """How often all shares have been read through since the OSD started."""
    scrubbed: int = -1
    """Shares read in the round that is under way; -1: none is."""


class Following(msgspec.Struct, array_like=True, frozen=True):
    """A replica has promised to follow a primary."""

    token: bytes
    """For the primary's further calls."""
    state: ShareState
    join: int
    """For `OSD.patch` and `OSD.adopt`: what is late from an earlier attempt is refused."""


class Step(msgspec.Struct, array_like=True, frozen=True):
    """A change of a share, as its primary has ordered it."""

    version: int
    """Counts from 1 within the primary's term."""
    epoch: int
    offset: int
    """Of a truncation: the share's new size."""
    content: bytes | None = None
    """None: a truncation."""
    snapshot: int = 0
    """`Capability.snapshot` of the writer: the replica keeps what the snapshots up to it show first."""


def token_of(capability: Signed, caller: str) -> bytes:
    """16 bytes that stand for a capability in calls of *caller* (``str(Identity)``), and of nobody else."""
    return hashlib.blake2b(capability.signature + caller.encode(), digest_size=TOKEN_BYTES).digest()


def token_in(token: bytes, inode: int) -> bytes:
    """Of one file, where *token* (see `token_of`) stands for a capability of several."""
    return token + inode.to_bytes(INODE_BYTES, "big")


def inodes_of(capability: Capability) -> range:
    """Numbers of the files that it is for. Raises `ValueError` when its `file_id` is not as an MRC makes it."""
    volume, _, number = capability.file_id.rpartition("-")
    first = int(number, 16)
    if capability.file_id != f"{volume}-{first:x}" or first + capability.count > _MOST_INODE:
        raise ValueError(capability.file_id)
    return range(first, first + capability.count)


def for_inode(capability: Capability, inode: int) -> Capability:
    """What a capability of several files says of one of them. Raises `ValueError` unless it is for that one."""
    if inode not in inodes_of(capability):
        raise ValueError(inode)
    volume = capability.file_id.rpartition("-")[0]
    return msgspec.structs.replace(capability, file_id=f"{volume}-{inode:x}", count=1)


@service
class OSD(Protocol):
    """Bytes of shares. Raises `xtreemfs.*` errors; no call holds more than `MOST_BYTES`.

    Calls that take a token take the capability itself too: who was not here before needs no `present` then. Of a
    capability of several files the token says for which one a call is (`token_in`); without that it is for the first.
    """

    @call(idempotent=True)
    async def present(self, capability: Signed) -> Presented:
        """Show a capability. Raises `BadCapability` (forged, expired, another's, an older epoch or layout)."""
        ...

    @call(reads=True, plain=True)
    async def read(self, token: bytes, offset: int, length: int, capability: Signed | None = None) -> bytes:
        """Bytes of this OSD's share (see `striping`), fewer at its end. Raises `CorruptShare`, `UnknownToken`, …"""
        ...

    @call(reads=True)
    async def read_beginnings(
        self, token: bytes, files: list[Beginning], capability: Signed | None = None
    ) -> list[bytes | None]:
        """As `read` of each of several files of one capability, at most `MOST_BEGINNINGS`; *token* is of all of them.

        None: that one is to be asked for by a call of its own, which says why. Raises `UnknownToken`,
        `BadCapability` of the capability itself, `PieceTooLarge` of all together, `BadParts`.
        """
        ...

    @call(reads=True, allow=MACHINES)
    async def lend(self, token: bytes, boot: bytes, capability: Signed | None = None) -> Loan:
        """Where the share is, for root of the same machine to read it; *boot* is of its kernel (`share.boot_id`).

        Raises `Elsewhere`, `NotLent` (a file with replicas that change, one that is not complete, a snapshot's),
        `UnknownFile` (nothing was written yet), `BadCapability`, `UnknownToken`.
        """
        ...

    @call(idempotent=True, plain=True)
    async def write(
        self, token: bytes, offset: int, content: bytes, number: int, capability: Signed | None = None
    ) -> Written:
        """Write into the share. *number*: the client's own, growing within a file.

        Survives the end of the OSD when this returns, on as many replicas as the layout's `Update` says; a power cut
        after `sync`. Raises `OsdFull`, `NotPrimary`, …
        """
        ...

    @call(idempotent=True, plain=True)
    async def write_parts(
        self, token: bytes, parts: list[Part], content: bytes, number: int, capability: Signed | None = None
    ) -> Written:
        """As `write`, of at most `MOST_PARTS` that do not overlap, in ascending order.

        What belongs there follows one another in *content*. When this fails some of it may be written.
        Raises `BadParts`.
        """
        ...

    @call(idempotent=True)
    async def write_files(self, files: list[FilePart], content: bytes, capabilities: list[Signed]) -> list[int]:
        """As `write`, of the beginning of at most `MOST_FILES`; what belongs there follows one another in *content*.

        *capabilities*: those that were not shown here before. Which of *files* are not written, by their places from 0:
        `write` says why. Raises `BadParts`.
        """
        ...

    @call(idempotent=True)
    async def truncate(self, token: bytes, size: int, capability: Signed | None = None) -> Written:
        """Cut or grow the *file* to *size* bytes; each OSD does its share's part."""
        ...

    @call(idempotent=True)
    async def sync(self, token: bytes, capability: Signed | None = None) -> Written:
        """All that was written is on disk when this returns, on as many replicas as `write` says."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def revoke(self, file_id: str, revision: int) -> None:
        """Only for MRCs: refuse capabilities of an older `Capability.revision` from now on."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def delete(self, file_ids: list[str]) -> None:
        """Only for MRCs: remove shares; what a snapshot shows of them is kept for it."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def snapshots(self, volume: str, number: int, there: list[int]) -> int:
        """Only for MRCs: which snapshots of a volume (its id) there are, as of `Volume.number`.

        Nobody writes by a capability of an older number when this returns, and what no snapshot shows any more is
        freed. What is older than what the OSD knows changes nothing. The number that it knows then.
        """
        ...

    @call(reads=True, allow=MACHINES)
    async def shares(self, after: str, most: int) -> list[ShareState]:
        """What there is, by file id behind *after*; for `xtfs_cleanup` and the RMS."""
        ...

    @call(reads=True)
    async def health(self) -> Health:
        """How it is."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def scrub(self) -> int:
        """Begin to read all shares through, unless that is under way; what `Health.rounds` will be after it."""
        ...

    @call(reads=True, allow=MACHINES)
    async def state(self, file_id: str, snapshot: int = 0) -> ShareState:
        """Only for MRCs, OSDs and tools: what this OSD has of a file; or had, as that snapshot shows it.

        Raises `UnknownFile`.
        """
        ...

    # --- between OSDs, for files with replicas that are written to (`xos.xtreemfs.osd.replication`)

    @call(idempotent=True, allow=MACHINES)
    async def follow(self, capability: Signed) -> Following:
        """From the machine that the capability's layout makes the primary: from now on it orders this share's writes.

        The term is on disk when this returns: an older one is refused for ever. Answered when the promise to the
        primary before it has run out (`PROMISE_SECONDS`), and makes the same promise to the new one.
        Raises `BadCapability`, `StaleTerm`.
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def hold(self, token: bytes) -> None:
        """Renew the promise. Raises `StaleTerm`, `UnknownToken`."""
        ...

    @call(idempotent=True, allow=MACHINES, plain=True)
    async def replicate(self, token: bytes, step: Step) -> None:
        """The next step of the term, and `hold`. Raises `StaleTerm`, `Gap` (this replica must be patched first)."""
        ...

    @call(idempotent=True, allow=MACHINES)
    async def harden(self, token: bytes, version: int) -> None:
        """All steps up to *version* survive a power cut when this returns. Raises `StaleTerm`, `Gap`."""
        ...

    @call(reads=True, allow=MACHINES)
    async def sums(self, token: bytes, first: int, count: int) -> bytes:
        """The kept sums of *count* (at most 65,536) blocks, four bytes each."""
        ...

    @call(reads=True, allow=MACHINES, plain=True)
    async def fetch(self, token: bytes, offset: int, length: int) -> bytes:
        """Bytes of this replica as it is, checked. Raises `CorruptShare`."""
        ...

    @call(idempotent=True, allow=MACHINES, plain=True)
    async def patch(self, token: bytes, join: int, offset: int, content: bytes, snapshot: int = 0) -> None:
        """Bytes as the primary has them, outside the order of steps. Raises `StaleTerm`.

        *snapshot*: by which it was written last there; what snapshots up to it show here is kept first.
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def adopt(self, token: bytes, join: int, size: int, epoch: int, version: int, snapshot: int = 0) -> None:
        """This replica is now as the primary's after step *version* of its term. Raises `StaleTerm`."""
        ...
