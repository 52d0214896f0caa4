# SPDX-License-Identifier: BSD-3-Clause
"""The Metadata and Replica Catalog: names, attributes, and who may do what to which file."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.signing import Signed
from xos.dixi.api import call, service, stream
from xos.xtreemfs.api.files import Access, Change, Claim, Extent, Inode, Layout, Row, Update
from xos.xtreemfs.api.leases import Applied, Lease, Outcome, Reserve
from xos.xtreemfs.striping import Striping

MACHINES = frozenset({Kind.MACHINE})
MRC_PROMISE_SECONDS = 2.0
"""For so long after each word of its primary an MRC's backup does not take over, by its own clock."""


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """Goes with every call that changes something."""

    session: str = ""
    """Of `MRC.begin`; empty: a single call of a tool."""
    number: int = 0
    """The client's own, growing; the same once more is answered as the first time and done once. 0: not repeatable."""
    claim: Claim | None = None


class Policy(msgspec.Struct, array_like=True, frozen=True):
    """How new files of a volume or directory are laid out."""

    striping: Striping = Striping()
    update: Update = Update.NONE
    replicas: int = 1
    osd_selection: tuple[str, ...] = ("usable", "free-space", "random")
    """Filters and orders by name, one after the other (the original's OSD selection policies)."""
    extra: int = 0
    """Of a file that does not change: at most so many replicas more, near to where it is read often."""


class Volume(msgspec.Struct, array_like=True, frozen=True):
    """A volume."""

    name: str
    id: str
    """Unique in the grid: 32 hex digits."""
    root: int
    """Inode of its root directory."""
    owner: str
    policy: Policy
    quota: int = 0
    """Bytes; 0: none."""
    used: int = 0
    """Bytes."""
    files: int = 0
    mrc: tuple[str, ...] = ()
    """Nodes that serve it; the first that answers."""
    origin: str = ""
    """Of a snapshot, ``VOLUME@NAME``: the name of the volume."""
    number: int = 0
    """Of a snapshot: its own, never given twice in the volume. Of a volume: grows as snapshots come and go."""
    made: int = 0
    """Of a snapshot: when, in Unix nanoseconds."""
    path: str = ""
    """Of a snapshot: the directory of the volume that is its root."""


class Session(msgspec.Struct, array_like=True, frozen=True):
    """A client that the MRC keeps in mind: what it has open and locked is given up when it is not heard any more."""

    id: str
    root: Inode
    volume: Volume
    lease_seconds: int
    now: int
    """Unix nanoseconds at the MRC."""


class Opened(msgspec.Struct, array_like=True, frozen=True):
    """An open file."""

    inode: Inode
    handle: int
    """Of this session."""
    capability: Signed
    """Of a `Capability`."""
    created: bool = False
    version: int = 0
    """What was kept of the file when it was opened before may be used if it had the same version then; 0: others may be
    writing to it, nothing may."""


class Open(msgspec.Struct, array_like=True, frozen=True):
    """How a file is to be opened."""

    access: Access
    truncate: bool = False
    create: bool = False
    exclusive: bool = False
    """With `create`: EEXIST when it is there."""
    mode: int = 0o600
    """With `create`: permissions."""


class Closed(msgspec.Struct, array_like=True, frozen=True):
    """A file that a client has closed."""

    handle: int
    extent: Extent | None = None
    """What was written to it and not told yet."""
    mtime: int = 0
    """With an extent: when it was written last."""


class Lock(msgspec.Struct, array_like=True, frozen=True):
    """An advisory lock on bytes *start* to *end*, both inclusive. BSD locks span all."""

    inode: int
    owner: int
    """Of the session: who holds it, as the kernel names them."""
    start: int
    end: int
    exclusive: bool
    pid: int = 0
    bsd: bool = False


class What(enum.StrEnum):
    """What happened."""

    ENTRY = "entry"
    """Of a directory: `name` was made, taken away or given to another inode."""
    INODE = "inode"
    """Attributes or content."""
    LAYOUT = "layout"
    """Replicas."""
    ALL = "all"
    """More than could be told: nothing that was kept is to be trusted."""
    RECALL = "recall"
    """Somebody else wants the names of a directory that the session has leased: it is to tell all that it has done
    there and give the lease back (`MRC.apply`). Told again each second until it has; not on the bus."""


class Changed(msgspec.Struct, array_like=True, frozen=True):
    """Somebody else changed something: what a client has kept of it is old. Also published on the bus."""

    what: What
    inode: int
    name: bytes = b""
    volume: str = ""


class Space(msgspec.Struct, array_like=True, frozen=True):
    """For statfs(2)."""

    total: int
    """Bytes."""
    free: int
    files: int
    most_files: int


class Quota(msgspec.Struct, array_like=True, frozen=True):
    """How much of a volume a user or group may have, and has."""

    kind: str
    """``user`` or ``group``."""
    name: str
    """``alice@demo``; empty: each that has no quota of their own."""
    limit: int
    """Bytes; 0: none."""
    used: int = 0


class Found(msgspec.Struct, array_like=True, frozen=True):
    """A file that a query found."""

    path: str
    """From the volume's root; bytes that are no UTF-8 as ``\\xff``."""
    inode: Inode


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """What a primary tells its backup, in order."""

    kind: str
    """``piece`` of a copy of the database; ``copied``: that was the last; ``groups`` of changes; ``sync``: what came
    before is to be on disk when this is acknowledged; ``beat``: the primary lives."""
    number: int
    """Grows by one with each frame."""
    position: int = 0
    """Of the last group that is in this frame or was before it."""
    body: bytes = b""


class Standing(msgspec.Struct, array_like=True, frozen=True):
    """What an MRC is in its pair."""

    serves: bool
    """Whether it answers clients."""
    embedded: bool
    """Whether its database is the embedded one, which alone can have a backup."""
    volumes: int
    term: int
    position: int
    """Groups of changes in this term."""
    acknowledged: int = 0
    """Of these, those that the backup has; of a primary."""
    following: bool = False
    """A backup: it is told all that happens. A primary: somebody follows."""


@service
class MRC(Protocol):
    """Names, attributes, capabilities. What a program may not do raises `Refused` with Linux's errno.

    Inode numbers name files across all volumes of one MRC; 0 is never one.
    """

    # --- volumes

    @call(idempotent=True)
    async def make_volume(self, name: str, mode: int, policy: Policy, quota: int, ask: Ask) -> Volume:
        """A new volume, whose root belongs to the caller. Raises `Refused` (EEXIST, EACCES)."""
        ...

    @call(idempotent=True)
    async def remove_volume(self, name: str, force: bool, ask: Ask) -> None:
        """Remove a volume; *force*: with all that is in it, and its snapshots. Or a snapshot, ``VOLUME@NAME``.

        Raises `Refused` (ENOENT, ENOTEMPTY, EACCES).
        """
        ...

    @call(idempotent=True)
    async def change_volume(self, name: str, policy: Policy, quota: int, ask: Ask) -> Volume:
        """Give it another policy for new files, another quota. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def set_quota(self, volume: str, quota: Quota, ask: Ask) -> None:
        """For administrators: limit a user or group (bytes of files that they own). Raises `Refused`."""
        ...

    @call(reads=True)
    async def quotas(self, volume: str) -> list[Quota]:
        """All limits of a volume, and what is used. Raises `Refused` (ENOENT)."""
        ...

    @call(reads=True)
    async def volumes(self) -> list[Volume]:
        """All volumes here but for snapshots, by name."""
        ...

    @call(idempotent=True)
    async def make_snapshot(self, volume: str, name: str, path: str, ask: Ask) -> Volume:
        """The volume as it is now, below the directory *path*, as a volume ``VOLUME@NAME`` that nothing changes.

        It has what was synced or closed before the call, and nothing of what was begun after it returned; of what is
        being written what was acknowledged by one moment, the same for all files. Raises `Refused`: EACCES, EEXIST,
        ENOENT, ENOTDIR, EDQUOT; EAGAIN when an OSD does not answer.
        """
        ...

    @call(reads=True)
    async def snapshots(self, volume: str) -> list[Volume]:
        """Of a volume, the oldest first. Raises `Refused` (ENOENT)."""
        ...

    @call(reads=True)
    async def space(self, volume: str) -> Space:
        """How much there is of it. Raises `Refused` (ENOENT)."""
        ...

    # --- sessions

    @call
    async def begin(self, volume: str, client: str) -> Session:
        """Begin a session; *client* says who it is, for people. Raises `Refused` (ENOENT)."""
        ...

    @call(idempotent=True)
    async def keep(self, session: str) -> int:
        """The client lives; Unix nanoseconds at the MRC. Raises `Refused` (ESTALE: begin anew, reopen)."""
        ...

    @call(idempotent=True)
    async def end(self, session: str) -> None:
        """Give up all that the session has open and locked."""
        ...

    @stream
    def watch(self, session: str) -> AsyncIterator[Changed]:
        """What others change in the volume, from now on. It may tell too much, and never too late by more than 1 s."""
        ...

    # --- names

    @call(reads=True)
    async def resolve(self, volume: str, path: str, claim: Claim | None = None, session: str = "") -> Inode:
        """The inode at a path from the root, not following a link at its end; *session*: of who asks.

        Raises `Refused`.
        """
        ...

    @call(reads=True)
    async def lookup(self, parent: int, name: bytes, claim: Claim | None = None, session: str = "") -> Inode:
        """The inode called *name*; *session*: of who asks, as in `getattr`. Raises `Refused` (ENOENT, EACCES, …)."""
        ...

    @call(reads=True)
    async def look_ahead(
        self, parent: int, name: bytes, most: int, claim: Claim | None = None, session: str = ""
    ) -> list[Row]:
        """As `lookup`, and the entries that follow in the order of `readdir`: at most *most* (1 to 4,096) together.

        For who looks up one name after another. Files that others than *session* may be writing, and directories that
        they have leased, are left out, but for *name*. The caller must be allowed to list the directory too. Raises
        `Refused`.
        """
        ...

    @call(reads=True)
    async def readdir(
        self, inode: int, after: int, most: int, claim: Claim | None = None, session: str = ""
    ) -> list[Row]:
        """At most *most* (1 to 4,096) entries behind the cookie *after*, with attributes. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def create(self, parent: int, name: bytes, mode: int, rdev: int, target: bytes | None, ask: Ask) -> Inode:
        """A new inode of the type in *mode*; *target*: of a symbolic link. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def link(self, inode: int, parent: int, name: bytes, ask: Ask) -> Inode:
        """A further name. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def unlink(self, parent: int, name: bytes, ask: Ask) -> Inode:
        """Take a name away; the inode as it is then. Its content goes when nobody has it open. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def rmdir(self, parent: int, name: bytes, ask: Ask) -> None:
        """Remove an empty directory. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, ask: Ask
    ) -> Inode | None:
        """renameat2(2); the inode that lost a name by it. Raises `Refused`."""
        ...

    # --- inodes

    @call(reads=True)
    async def getattr(self, inode: int, session: str = "") -> Inode:
        """The attributes. Raises `Refused` (ESTALE).

        How long a file is that others than *session* are writing, its OSDs are asked.
        """
        ...

    @call(idempotent=True)
    async def setattr(self, inode: int, change: Change, ask: Ask) -> Inode:
        """Change attributes; a change of size goes by `truncate`. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def truncate(self, inode: int, size: int, handle: int, ask: Ask) -> Opened:
        """Set the size; *handle*: an open one that may write, or 0 (then by permission).

        The MRC has given the file a new epoch and size when this returns; the caller then tells every OSD
        (`OSD.truncate`) with the capability of the answer. Raises `Refused`.
        """
        ...

    @call(reads=True)
    async def getxattr(self, inode: int, name: bytes, claim: Claim | None = None) -> bytes:
        """The value. Raises `Refused` (ENODATA)."""
        ...

    @call(reads=True)
    async def listxattr(self, inode: int, claim: Claim | None = None) -> list[bytes]:
        """The names, in order. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def setxattr(self, inode: int, name: bytes, value: bytes, flags: int, ask: Ask) -> None:
        """Set one; *flags*: ``XATTR_CREATE``, ``XATTR_REPLACE``. Raises `Refused`.

        ``system.posix_acl_access`` and ``system.posix_acl_default`` are ACLs as text, with global identities:
        ``user::rw-,user:alice@demo:r--,group::r--,mask::r--,other::---``.
        """
        ...

    @call(idempotent=True)
    async def removexattr(self, inode: int, name: bytes, ask: Ask) -> None:
        """Remove one. Raises `Refused` (ENODATA)."""
        ...

    # --- open files

    @call(idempotent=True)
    async def open(self, inode: int, wanted: Open, ask: Ask) -> Opened:
        """Open a regular file. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def open_name(self, parent: int, name: bytes, wanted: Open, ask: Ask) -> Opened:
        """Look a name up, create it if so wished, and open it, in one call. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def renew(self, session: str, handles: list[int]) -> list[Opened | None]:
        """Fresh capabilities (and layouts) for what is open; None: no longer, with a right that was taken away."""
        ...

    @call(idempotent=True)
    async def update(self, handle: int, extent: Extent, mtime: int, ask: Ask, durable: bool = True) -> Inode:
        """What was written so far: on fsync(2), and now and then. Raises `Refused`.

        *durable*: it survives a power cut when this returns; else a second later.
        """
        ...

    @call(idempotent=True)
    async def sync(self) -> None:
        """All that was answered before survives a power cut when this returns: for fsync(2) of directories, sync(2)."""
        ...

    @call(idempotent=True)
    async def close(self, closed: list[Closed], ask: Ask) -> None:
        """Close files, each with what was written to it. Unknown handles are closed already."""
        ...

    @call(waits=True, idempotent=True)
    async def lock(self, lock: Lock, wait: bool, ask: Ask) -> None:
        """Take a lock; *wait*: until it is free. Raises `Refused` (EAGAIN, EDEADLK)."""
        ...

    @call(idempotent=True)
    async def unlock(self, lock: Lock, ask: Ask) -> None:
        """Give bytes of locks back."""
        ...

    @call(reads=True)
    async def test_lock(self, lock: Lock, session: str) -> Lock | None:
        """A lock of another owner that is in the way."""
        ...

    # --- leases of directories (`xos.xtreemfs.api.leases`)

    @call(idempotent=True)
    async def lease(self, directory: int, ask: Ask) -> Lease | None:
        """The names of a directory for this session alone; None: not now. Raises `Refused`.

        Who has it gets it again, with a fresh reserve. `What.RECALL` may come before this answer does.
        """
        ...

    @call(idempotent=True)
    async def reserve(self, lease: int, ask: Ask) -> Reserve | None:
        """More inode numbers, for files of who asks; None: see `Lease.reserve`.

        Raises `Refused` (ESTALE: the session does not have the lease any more).
        """
        ...

    @call(waits=True, idempotent=True)
    async def hold(self, session: str, leases: list[int]) -> list[int]:
        """As `keep`; those of *leases* that the session has still. Raises `Refused` (ESTALE: none, with the session).

        To be asked after `HOLD_SECONDS` without an answer, and whenever `watch` was begun anew or told `What.ALL`.
        """
        ...

    @call(waits=True, idempotent=True)
    async def apply(
        self, changes: list[Applied], reserves: list[Signed], give_back: list[int], ask: Ask, durable: bool = False
    ) -> list[Outcome]:
        """What a holder did, in order and in one transaction: what became of each; then the leases *give_back* end.

        Each is done as a call of its own would do it, with a lease or without. *reserves*: `Reserve.capability` of all
        numbers in it. *durable*: it survives a power cut when this returns; else a second later.
        Raises `Refused`, and nothing is done: E2BIG (more than `MOST_BATCH`), EACCES (a reserve that no MRC gave to
        the caller), EINVAL (a number outside its reserve or twice).
        """
        ...

    # --- where the bytes are

    @call(idempotent=True)
    async def fail_over(self, handle: int, term: int, dead: str, ask: Ask) -> Opened:
        """The primary of this term does not answer: another, as soon as that is safe, within 5 s. Raises `Refused`."""
        ...

    @call(reads=True)
    async def layout(self, inode: int, claim: Claim | None = None) -> Layout:
        """Where its bytes are. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def change_layout(
        self, inode: int, replicas: int, update: Update, without: tuple[str, ...], ask: Ask
    ) -> Layout:
        """Another number of replicas, none on the OSDs *without*. Raises `Refused`."""
        ...

    @call(idempotent=True)
    async def read_soon(self, inode: int, nodes: list[str], ask: Ask) -> None:
        """The file is going to be read on these machines. Raises `Refused` (EACCES).

        If it does not change and its policy allows more replicas, they are made near them, which is not waited for.
        """
        ...

    @call(idempotent=True)
    async def set_policy(self, inode: int, policy: Policy, ask: Ask) -> None:
        """How new files below a directory are laid out. Raises `Refused`."""
        ...

    @call(reads=True)
    async def find(
        self,
        volume: str,
        owner: str,
        name: str,
        least: int,
        most: int,
        xattr: bytes,
        value: bytes,
        limit: int,
        claim: Claim | None = None,
    ) -> list[Found]:
        """Files by attributes (the original's querying interface); empty, -1: all. Raises `Refused`."""
        ...

    # --- the backup

    @call(reads=True)
    async def standing(self) -> Standing:
        """Primary, backup or alone; answered by each of them."""
        ...

    @stream(allow=MACHINES)
    def follow(self, term: int, position: int) -> AsyncIterator[Frame]:
        """For the backup, which has all up to *position* of *term*: what it lacks, then what happens.

        Where the primary cannot go on from there, it sends a copy of its database first. Raises `NotServing`, `Refused`
        (EACCES: the caller is not its backup).
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def followed(self, number: int, position: int) -> None:
        """Of the backup: it has all up to *position*, heard frame *number*, and takes over from nobody for
        `MRC_PROMISE_SECONDS`. Raises `Refused` (EACCES)."""
        ...
