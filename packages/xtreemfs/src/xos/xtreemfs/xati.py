# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.xtreemfs.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.xtreemfs.api."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from xos.common.signing import Signed
from xos.dixi.stubs import AsyncStub, BlockingStub
from xos.xtreemfs.api import (
    Applied,
    Ask,
    Beginning,
    Change,
    Changed,
    Claim,
    Closed,
    Entry,
    Extent,
    FilePart,
    Following,
    Found,
    Frame,
    Health,
    Inode,
    Layout,
    Lease,
    Loan,
    Lock,
    Open,
    Opened,
    Outcome,
    Pair,
    Part,
    Policy,
    Presented,
    Quota,
    Reserve,
    Row,
    ServiceRecord,
    Session,
    ShareState,
    Space,
    Standing,
    Status,
    Step,
    Update,
    Volume,
    VolumeRecord,
    Written,
)


class DIRAsync(AsyncStub):
    """Registry, heartbeats, global time."""

    service = "DIR"

    async def register(
        self, record: ServiceRecord, volumes: list[VolumeRecord], *, deadline: float | None = None
    ) -> int:
        """A service lives and is as it says; at once when it starts, then as heartbeat. Unix nanoseconds at the DIR.

        The caller's certificate must be of `ServiceRecord.node`. Raises `Refused` (EEXIST: another MRC has the volume).
        """
        result: int = await self._caller.call("DIR.register", (record, volumes), int, deadline=deadline, retry=True)
        return result

    async def services(self, kind: str, *, deadline: float | None = None) -> list[ServiceRecord]:
        """All of a kind (empty: all), by node."""
        result: list[ServiceRecord] = await self._caller.call(
            "DIR.services", (kind,), list[ServiceRecord], deadline=deadline, retry=True
        )
        return result

    async def volumes(self, *, deadline: float | None = None) -> list[VolumeRecord]:
        """All volumes, by name."""
        result: list[VolumeRecord] = await self._caller.call(
            "DIR.volumes", (), list[VolumeRecord], deadline=deadline, retry=True
        )
        return result

    async def volume(self, name: str, *, deadline: float | None = None) -> VolumeRecord:
        """Who serves it. Raises `Refused` (ENOENT)."""
        result: VolumeRecord = await self._caller.call(
            "DIR.volume", (name,), VolumeRecord, deadline=deadline, retry=True
        )
        return result

    async def suspect(self, kind: str, node: str, *, deadline: float | None = None) -> None:
        """Somebody could not reach it: the DIR asks it itself, and marks it until it is heard again."""
        await self._caller.call("DIR.suspect", (kind, node), None, deadline=deadline, retry=True)

    async def set_status(self, node: str, status: Status, *, deadline: float | None = None) -> ServiceRecord:
        """What is wanted of an OSD. Raises `Refused` (EACCES, ENOENT).

        For root of a core or of the OSD's machine, and for who administers the one VO that the machine serves
        (VOManager, VOAdmin, ResourceAdmin).
        """
        result: ServiceRecord = await self._caller.call(
            "DIR.set_status", (node, status), ServiceRecord, deadline=deadline, retry=True
        )
        return result

    async def pairs(self, *, deadline: float | None = None) -> list[Pair]:
        """All MRCs that have a backup, by the primary's node."""
        result: list[Pair] = await self._caller.call("DIR.pairs", (), list[Pair], deadline=deadline, retry=True)
        return result

    async def set_backup(self, primary: str, backup: str, *, deadline: float | None = None) -> Pair | None:
        """For administrators: give an MRC a backup, which must be an MRC without volumes; empty: take it away.

        Raises `Refused` (EACCES, ENOENT, EEXIST: one of them has a partner already, ENOTEMPTY: it has volumes,
        EOPNOTSUPP: no embedded database).
        """
        result: Pair | None = await self._caller.call(
            "DIR.set_backup", (primary, backup), Pair | None, deadline=deadline, retry=True
        )
        return result

    async def set_synced(self, term: int, backup: str, synced: bool, *, deadline: float | None = None) -> Pair:
        """Of the primary: this backup has everything, or it goes on without it. On disk when this returns.

        Raises `Refused` (ESTALE: the caller is not the primary of that term any more, or has another backup).
        """
        result: Pair = await self._caller.call(
            "DIR.set_synced", (term, backup, synced), Pair, deadline=deadline, retry=True
        )
        return result

    async def take_over(self, version: int, *, deadline: float | None = None) -> Pair:
        """Of the backup: the primary is silent. The DIR asks it too; if it does not answer, the backup is the primary.

        *version*: of the record as the backup knows it. Raises `Refused` (ESTALE: the record is another one meanwhile,
        EBUSY: the primary lives, EAGAIN: the backup lacks something).
        """
        result: Pair = await self._caller.call("DIR.take_over", (version,), Pair, deadline=deadline, retry=True)
        return result

    async def stand_by(self, *, deadline: float | None = None) -> Pair | None:
        """Of the backup: the record, raised in version, so that what it asked for before (`take_over`) is void."""
        result: Pair | None = await self._caller.call("DIR.stand_by", (), Pair | None, deadline=deadline, retry=True)
        return result

    async def now(self, *, deadline: float | None = None) -> int:
        """Global time: Unix nanoseconds at the DIR."""
        result: int = await self._caller.call("DIR.now", (), int, deadline=deadline, retry=True)
        return result


class DIRXati(BlockingStub):
    """Registry, heartbeats, global time."""

    service = "DIR"

    def register(self, record: ServiceRecord, volumes: list[VolumeRecord], *, deadline: float | None = None) -> int:
        """A service lives and is as it says; at once when it starts, then as heartbeat. Unix nanoseconds at the DIR.

        The caller's certificate must be of `ServiceRecord.node`. Raises `Refused` (EEXIST: another MRC has the volume).
        """
        result: int = self._caller.call("DIR.register", (record, volumes), int, deadline=deadline, retry=True)
        return result

    def services(self, kind: str, *, deadline: float | None = None) -> list[ServiceRecord]:
        """All of a kind (empty: all), by node."""
        result: list[ServiceRecord] = self._caller.call(
            "DIR.services", (kind,), list[ServiceRecord], deadline=deadline, retry=True
        )
        return result

    def volumes(self, *, deadline: float | None = None) -> list[VolumeRecord]:
        """All volumes, by name."""
        result: list[VolumeRecord] = self._caller.call(
            "DIR.volumes", (), list[VolumeRecord], deadline=deadline, retry=True
        )
        return result

    def volume(self, name: str, *, deadline: float | None = None) -> VolumeRecord:
        """Who serves it. Raises `Refused` (ENOENT)."""
        result: VolumeRecord = self._caller.call("DIR.volume", (name,), VolumeRecord, deadline=deadline, retry=True)
        return result

    def suspect(self, kind: str, node: str, *, deadline: float | None = None) -> None:
        """Somebody could not reach it: the DIR asks it itself, and marks it until it is heard again."""
        self._caller.call("DIR.suspect", (kind, node), None, deadline=deadline, retry=True)

    def set_status(self, node: str, status: Status, *, deadline: float | None = None) -> ServiceRecord:
        """What is wanted of an OSD. Raises `Refused` (EACCES, ENOENT).

        For root of a core or of the OSD's machine, and for who administers the one VO that the machine serves
        (VOManager, VOAdmin, ResourceAdmin).
        """
        result: ServiceRecord = self._caller.call(
            "DIR.set_status", (node, status), ServiceRecord, deadline=deadline, retry=True
        )
        return result

    def pairs(self, *, deadline: float | None = None) -> list[Pair]:
        """All MRCs that have a backup, by the primary's node."""
        result: list[Pair] = self._caller.call("DIR.pairs", (), list[Pair], deadline=deadline, retry=True)
        return result

    def set_backup(self, primary: str, backup: str, *, deadline: float | None = None) -> Pair | None:
        """For administrators: give an MRC a backup, which must be an MRC without volumes; empty: take it away.

        Raises `Refused` (EACCES, ENOENT, EEXIST: one of them has a partner already, ENOTEMPTY: it has volumes,
        EOPNOTSUPP: no embedded database).
        """
        result: Pair | None = self._caller.call(
            "DIR.set_backup", (primary, backup), Pair | None, deadline=deadline, retry=True
        )
        return result

    def set_synced(self, term: int, backup: str, synced: bool, *, deadline: float | None = None) -> Pair:
        """Of the primary: this backup has everything, or it goes on without it. On disk when this returns.

        Raises `Refused` (ESTALE: the caller is not the primary of that term any more, or has another backup).
        """
        result: Pair = self._caller.call("DIR.set_synced", (term, backup, synced), Pair, deadline=deadline, retry=True)
        return result

    def take_over(self, version: int, *, deadline: float | None = None) -> Pair:
        """Of the backup: the primary is silent. The DIR asks it too; if it does not answer, the backup is the primary.

        *version*: of the record as the backup knows it. Raises `Refused` (ESTALE: the record is another one meanwhile,
        EBUSY: the primary lives, EAGAIN: the backup lacks something).
        """
        result: Pair = self._caller.call("DIR.take_over", (version,), Pair, deadline=deadline, retry=True)
        return result

    def stand_by(self, *, deadline: float | None = None) -> Pair | None:
        """Of the backup: the record, raised in version, so that what it asked for before (`take_over`) is void."""
        result: Pair | None = self._caller.call("DIR.stand_by", (), Pair | None, deadline=deadline, retry=True)
        return result

    def now(self, *, deadline: float | None = None) -> int:
        """Global time: Unix nanoseconds at the DIR."""
        result: int = self._caller.call("DIR.now", (), int, deadline=deadline, retry=True)
        return result


class MRCAsync(AsyncStub):
    """Names, attributes, capabilities. What a program may not do raises `Refused` with Linux's errno.

    Inode numbers name files across all volumes of one MRC; 0 is never one.
    """

    service = "MRC"

    async def make_volume(
        self, name: str, mode: int, policy: Policy, quota: int, ask: Ask, *, deadline: float | None = None
    ) -> Volume:
        """A new volume, whose root belongs to the caller. Raises `Refused` (EEXIST, EACCES)."""
        result: Volume = await self._caller.call(
            "MRC.make_volume", (name, mode, policy, quota, ask), Volume, deadline=deadline, retry=True
        )
        return result

    async def remove_volume(self, name: str, force: bool, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove a volume; *force*: with all that is in it, and its snapshots. Or a snapshot, ``VOLUME@NAME``.

        Raises `Refused` (ENOENT, ENOTEMPTY, EACCES).
        """
        await self._caller.call("MRC.remove_volume", (name, force, ask), None, deadline=deadline, retry=True)

    async def change_volume(
        self, name: str, policy: Policy, quota: int, ask: Ask, *, deadline: float | None = None
    ) -> Volume:
        """Give it another policy for new files, another quota. Raises `Refused`."""
        result: Volume = await self._caller.call(
            "MRC.change_volume", (name, policy, quota, ask), Volume, deadline=deadline, retry=True
        )
        return result

    async def set_quota(self, volume: str, quota: Quota, ask: Ask, *, deadline: float | None = None) -> None:
        """For administrators: limit a user or group (bytes of files that they own). Raises `Refused`."""
        await self._caller.call("MRC.set_quota", (volume, quota, ask), None, deadline=deadline, retry=True)

    async def quotas(self, volume: str, *, deadline: float | None = None) -> list[Quota]:
        """All limits of a volume, and what is used. Raises `Refused` (ENOENT)."""
        result: list[Quota] = await self._caller.call(
            "MRC.quotas", (volume,), list[Quota], deadline=deadline, retry=True
        )
        return result

    async def volumes(self, *, deadline: float | None = None) -> list[Volume]:
        """All volumes here but for snapshots, by name."""
        result: list[Volume] = await self._caller.call("MRC.volumes", (), list[Volume], deadline=deadline, retry=True)
        return result

    async def make_snapshot(
        self, volume: str, name: str, path: str, ask: Ask, *, deadline: float | None = None
    ) -> Volume:
        """The volume as it is now, below the directory *path*, as a volume ``VOLUME@NAME`` that nothing changes.

        It has what was synced or closed before the call, and nothing of what was begun after it returned; of what is
        being written what was acknowledged by one moment, the same for all files. Raises `Refused`: EACCES, EEXIST,
        ENOENT, ENOTDIR, EDQUOT; EAGAIN when an OSD does not answer.
        """
        result: Volume = await self._caller.call(
            "MRC.make_snapshot", (volume, name, path, ask), Volume, deadline=deadline, retry=True
        )
        return result

    async def snapshots(self, volume: str, *, deadline: float | None = None) -> list[Volume]:
        """Of a volume, the oldest first. Raises `Refused` (ENOENT)."""
        result: list[Volume] = await self._caller.call(
            "MRC.snapshots", (volume,), list[Volume], deadline=deadline, retry=True
        )
        return result

    async def space(self, volume: str, *, deadline: float | None = None) -> Space:
        """How much there is of it. Raises `Refused` (ENOENT)."""
        result: Space = await self._caller.call("MRC.space", (volume,), Space, deadline=deadline, retry=True)
        return result

    async def begin(self, volume: str, client: str, *, deadline: float | None = None) -> Session:
        """Begin a session; *client* says who it is, for people. Raises `Refused` (ENOENT)."""
        result: Session = await self._caller.call("MRC.begin", (volume, client), Session, deadline=deadline)
        return result

    async def keep(self, session: str, *, deadline: float | None = None) -> int:
        """The client lives; Unix nanoseconds at the MRC. Raises `Refused` (ESTALE: begin anew, reopen)."""
        result: int = await self._caller.call("MRC.keep", (session,), int, deadline=deadline, retry=True)
        return result

    async def end(self, session: str, *, deadline: float | None = None) -> None:
        """Give up all that the session has open and locked."""
        await self._caller.call("MRC.end", (session,), None, deadline=deadline, retry=True)

    def watch(self, session: str, *, deadline: float | None = None) -> AsyncIterator[Changed]:
        """What others change in the volume, from now on. It may tell too much, and never too late by more than 1 s."""
        return self._caller.stream("MRC.watch", (session,), Changed, deadline=deadline)

    async def resolve(
        self, volume: str, path: str, claim: Claim | None = None, session: str = "", *, deadline: float | None = None
    ) -> Inode:
        """The inode at a path from the root, not following a link at its end; *session*: of who asks.

        Raises `Refused`.
        """
        result: Inode = await self._caller.call(
            "MRC.resolve", (volume, path, claim, session), Inode, deadline=deadline, retry=True
        )
        return result

    async def lookup(
        self, parent: int, name: bytes, claim: Claim | None = None, session: str = "", *, deadline: float | None = None
    ) -> Inode:
        """The inode called *name*; *session*: of who asks, as in `getattr`. Raises `Refused` (ENOENT, EACCES, …)."""
        result: Inode = await self._caller.call(
            "MRC.lookup", (parent, name, claim, session), Inode, deadline=deadline, retry=True
        )
        return result

    async def look_ahead(
        self,
        parent: int,
        name: bytes,
        most: int,
        claim: Claim | None = None,
        session: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Row]:
        """As `lookup`, and the entries that follow in the order of `readdir`: at most *most* (1 to 4,096) together.

        For who looks up one name after another. Files that others than *session* may be writing, and directories that
        they have leased, are left out, but for *name*. The caller must be allowed to list the directory too. Raises
        `Refused`.
        """
        result: list[Row] = await self._caller.call(
            "MRC.look_ahead", (parent, name, most, claim, session), list[Row], deadline=deadline, retry=True
        )
        return result

    async def readdir(
        self,
        inode: int,
        after: int,
        most: int,
        claim: Claim | None = None,
        session: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Row]:
        """At most *most* (1 to 4,096) entries behind the cookie *after*, with attributes. Raises `Refused`."""
        result: list[Row] = await self._caller.call(
            "MRC.readdir", (inode, after, most, claim, session), list[Row], deadline=deadline, retry=True
        )
        return result

    async def create(
        self,
        parent: int,
        name: bytes,
        mode: int,
        rdev: int,
        target: bytes | None,
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Inode:
        """A new inode of the type in *mode*; *target*: of a symbolic link. Raises `Refused`."""
        result: Inode = await self._caller.call(
            "MRC.create", (parent, name, mode, rdev, target, ask), Inode, deadline=deadline, retry=True
        )
        return result

    async def link(self, inode: int, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> Inode:
        """A further name. Raises `Refused`."""
        result: Inode = await self._caller.call(
            "MRC.link", (inode, parent, name, ask), Inode, deadline=deadline, retry=True
        )
        return result

    async def unlink(self, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> Inode:
        """Take a name away; the inode as it is then. Its content goes when nobody has it open. Raises `Refused`."""
        result: Inode = await self._caller.call("MRC.unlink", (parent, name, ask), Inode, deadline=deadline, retry=True)
        return result

    async def rmdir(self, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove an empty directory. Raises `Refused`."""
        await self._caller.call("MRC.rmdir", (parent, name, ask), None, deadline=deadline, retry=True)

    async def rename(
        self,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Inode | None:
        """renameat2(2); the inode that lost a name by it. Raises `Refused`."""
        result: Inode | None = await self._caller.call(
            "MRC.rename", (parent, name, new_parent, new_name, flags, ask), Inode | None, deadline=deadline, retry=True
        )
        return result

    async def getattr(self, inode: int, session: str = "", *, deadline: float | None = None) -> Inode:
        """The attributes. Raises `Refused` (ESTALE).

        How long a file is that others than *session* are writing, its OSDs are asked.
        """
        result: Inode = await self._caller.call("MRC.getattr", (inode, session), Inode, deadline=deadline, retry=True)
        return result

    async def setattr(self, inode: int, change: Change, ask: Ask, *, deadline: float | None = None) -> Inode:
        """Change attributes; a change of size goes by `truncate`. Raises `Refused`."""
        result: Inode = await self._caller.call(
            "MRC.setattr", (inode, change, ask), Inode, deadline=deadline, retry=True
        )
        return result

    async def truncate(self, inode: int, size: int, handle: int, ask: Ask, *, deadline: float | None = None) -> Opened:
        """Set the size; *handle*: an open one that may write, or 0 (then by permission).

        The MRC has given the file a new epoch and size when this returns; the caller then tells every OSD
        (`OSD.truncate`) with the capability of the answer. Raises `Refused`.
        """
        result: Opened = await self._caller.call(
            "MRC.truncate", (inode, size, handle, ask), Opened, deadline=deadline, retry=True
        )
        return result

    async def getxattr(
        self, inode: int, name: bytes, claim: Claim | None = None, *, deadline: float | None = None
    ) -> bytes:
        """The value. Raises `Refused` (ENODATA)."""
        result: bytes = await self._caller.call(
            "MRC.getxattr", (inode, name, claim), bytes, deadline=deadline, retry=True
        )
        return result

    async def listxattr(self, inode: int, claim: Claim | None = None, *, deadline: float | None = None) -> list[bytes]:
        """The names, in order. Raises `Refused`."""
        result: list[bytes] = await self._caller.call(
            "MRC.listxattr", (inode, claim), list[bytes], deadline=deadline, retry=True
        )
        return result

    async def setxattr(
        self, inode: int, name: bytes, value: bytes, flags: int, ask: Ask, *, deadline: float | None = None
    ) -> None:
        """Set one; *flags*: ``XATTR_CREATE``, ``XATTR_REPLACE``. Raises `Refused`.

        ``system.posix_acl_access`` and ``system.posix_acl_default`` are ACLs as text, with global identities:
        ``user::rw-,user:alice@demo:r--,group::r--,mask::r--,other::---``.
        """
        await self._caller.call("MRC.setxattr", (inode, name, value, flags, ask), None, deadline=deadline, retry=True)

    async def removexattr(self, inode: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove one. Raises `Refused` (ENODATA)."""
        await self._caller.call("MRC.removexattr", (inode, name, ask), None, deadline=deadline, retry=True)

    async def open(self, inode: int, wanted: Open, ask: Ask, *, deadline: float | None = None) -> Opened:
        """Open a regular file. Raises `Refused`."""
        result: Opened = await self._caller.call(
            "MRC.open", (inode, wanted, ask), Opened, deadline=deadline, retry=True
        )
        return result

    async def open_name(
        self, parent: int, name: bytes, wanted: Open, ask: Ask, *, deadline: float | None = None
    ) -> Opened:
        """Look a name up, create it if so wished, and open it, in one call. Raises `Refused`."""
        result: Opened = await self._caller.call(
            "MRC.open_name", (parent, name, wanted, ask), Opened, deadline=deadline, retry=True
        )
        return result

    async def renew(self, session: str, handles: list[int], *, deadline: float | None = None) -> list[Opened | None]:
        """Fresh capabilities (and layouts) for what is open; None: no longer, with a right that was taken away."""
        result: list[Opened | None] = await self._caller.call(
            "MRC.renew", (session, handles), list[Opened | None], deadline=deadline, retry=True
        )
        return result

    async def update(
        self, handle: int, extent: Extent, mtime: int, ask: Ask, durable: bool = True, *, deadline: float | None = None
    ) -> Inode:
        """What was written so far: on fsync(2), and now and then. Raises `Refused`.

        *durable*: it survives a power cut when this returns; else a second later.
        """
        result: Inode = await self._caller.call(
            "MRC.update", (handle, extent, mtime, ask, durable), Inode, deadline=deadline, retry=True
        )
        return result

    async def sync(self, *, deadline: float | None = None) -> None:
        """All that was answered before survives a power cut when this returns: for fsync(2) of directories, sync(2)."""
        await self._caller.call("MRC.sync", (), None, deadline=deadline, retry=True)

    async def close(self, closed: list[Closed], ask: Ask, *, deadline: float | None = None) -> None:
        """Close files, each with what was written to it. Unknown handles are closed already."""
        await self._caller.call("MRC.close", (closed, ask), None, deadline=deadline, retry=True)

    async def lock(self, lock: Lock, wait: bool, ask: Ask, *, deadline: float | None = None) -> None:
        """Take a lock; *wait*: until it is free. Raises `Refused` (EAGAIN, EDEADLK)."""
        await self._caller.call("MRC.lock", (lock, wait, ask), None, deadline=deadline, retry=True)

    async def unlock(self, lock: Lock, ask: Ask, *, deadline: float | None = None) -> None:
        """Give bytes of locks back."""
        await self._caller.call("MRC.unlock", (lock, ask), None, deadline=deadline, retry=True)

    async def test_lock(self, lock: Lock, session: str, *, deadline: float | None = None) -> Lock | None:
        """A lock of another owner that is in the way."""
        result: Lock | None = await self._caller.call(
            "MRC.test_lock", (lock, session), Lock | None, deadline=deadline, retry=True
        )
        return result

    async def lease(self, directory: int, ask: Ask, *, deadline: float | None = None) -> Lease | None:
        """The names of a directory for this session alone; None: not now. Raises `Refused`.

        Who has it gets it again, with a fresh reserve. `What.RECALL` may come before this answer does.
        """
        result: Lease | None = await self._caller.call(
            "MRC.lease", (directory, ask), Lease | None, deadline=deadline, retry=True
        )
        return result

    async def reserve(self, lease: int, ask: Ask, *, deadline: float | None = None) -> Reserve | None:
        """More inode numbers, for files of who asks; None: see `Lease.reserve`.

        Raises `Refused` (ESTALE: the session does not have the lease any more).
        """
        result: Reserve | None = await self._caller.call(
            "MRC.reserve", (lease, ask), Reserve | None, deadline=deadline, retry=True
        )
        return result

    async def hold(self, session: str, leases: list[int], *, deadline: float | None = None) -> list[int]:
        """As `keep`; those of *leases* that the session has still. Raises `Refused` (ESTALE: none, with the session).

        To be asked after `HOLD_SECONDS` without an answer, and whenever `watch` was begun anew or told `What.ALL`.
        """
        result: list[int] = await self._caller.call(
            "MRC.hold", (session, leases), list[int], deadline=deadline, retry=True
        )
        return result

    async def apply(
        self,
        changes: list[Applied],
        reserves: list[Signed],
        give_back: list[int],
        ask: Ask,
        durable: bool = False,
        *,
        deadline: float | None = None,
    ) -> list[Outcome]:
        """What a holder did, in order and in one transaction: what became of each; then the leases *give_back* end.

        Each is done as a call of its own would do it, with a lease or without. *reserves*: `Reserve.capability` of all
        numbers in it. *durable*: it survives a power cut when this returns; else a second later.
        Raises `Refused`, and nothing is done: E2BIG (more than `MOST_BATCH`), EACCES (a reserve that no MRC gave to
        the caller), EINVAL (a number outside its reserve or twice).
        """
        result: list[Outcome] = await self._caller.call(
            "MRC.apply", (changes, reserves, give_back, ask, durable), list[Outcome], deadline=deadline, retry=True
        )
        return result

    async def fail_over(self, handle: int, term: int, dead: str, ask: Ask, *, deadline: float | None = None) -> Opened:
        """The primary of this term does not answer: another, as soon as that is safe, within 5 s. Raises `Refused`."""
        result: Opened = await self._caller.call(
            "MRC.fail_over", (handle, term, dead, ask), Opened, deadline=deadline, retry=True
        )
        return result

    async def layout(self, inode: int, claim: Claim | None = None, *, deadline: float | None = None) -> Layout:
        """Where its bytes are. Raises `Refused`."""
        result: Layout = await self._caller.call("MRC.layout", (inode, claim), Layout, deadline=deadline, retry=True)
        return result

    async def change_layout(
        self,
        inode: int,
        replicas: int,
        update: Update,
        without: tuple[str, ...],
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Layout:
        """Another number of replicas, none on the OSDs *without*. Raises `Refused`."""
        result: Layout = await self._caller.call(
            "MRC.change_layout", (inode, replicas, update, without, ask), Layout, deadline=deadline, retry=True
        )
        return result

    async def read_soon(self, inode: int, nodes: list[str], ask: Ask, *, deadline: float | None = None) -> None:
        """The file is going to be read on these machines. Raises `Refused` (EACCES).

        If it does not change and its policy allows more replicas, they are made near them, which is not waited for.
        """
        await self._caller.call("MRC.read_soon", (inode, nodes, ask), None, deadline=deadline, retry=True)

    async def set_policy(self, inode: int, policy: Policy, ask: Ask, *, deadline: float | None = None) -> None:
        """How new files below a directory are laid out. Raises `Refused`."""
        await self._caller.call("MRC.set_policy", (inode, policy, ask), None, deadline=deadline, retry=True)

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
        *,
        deadline: float | None = None,
    ) -> list[Found]:
        """Files by attributes (the original's querying interface); empty, -1: all. Raises `Refused`."""
        result: list[Found] = await self._caller.call(
            "MRC.find",
            (volume, owner, name, least, most, xattr, value, limit, claim),
            list[Found],
            deadline=deadline,
            retry=True,
        )
        return result

    async def standing(self, *, deadline: float | None = None) -> Standing:
        """Primary, backup or alone; answered by each of them."""
        result: Standing = await self._caller.call("MRC.standing", (), Standing, deadline=deadline, retry=True)
        return result

    def follow(self, term: int, position: int, *, deadline: float | None = None) -> AsyncIterator[Frame]:
        """For the backup, which has all up to *position* of *term*: what it lacks, then what happens.

        Where the primary cannot go on from there, it sends a copy of its database first. Raises `NotServing`, `Refused`
        (EACCES: the caller is not its backup).
        """
        return self._caller.stream("MRC.follow", (term, position), Frame, deadline=deadline)

    async def followed(self, number: int, position: int, *, deadline: float | None = None) -> None:
        """Of the backup: it has all up to *position*, heard frame *number*, and takes over from nobody for
        `MRC_PROMISE_SECONDS`. Raises `Refused` (EACCES).
        """
        await self._caller.call("MRC.followed", (number, position), None, deadline=deadline, retry=True)


class MRCXati(BlockingStub):
    """Names, attributes, capabilities. What a program may not do raises `Refused` with Linux's errno.

    Inode numbers name files across all volumes of one MRC; 0 is never one.
    """

    service = "MRC"

    def make_volume(
        self, name: str, mode: int, policy: Policy, quota: int, ask: Ask, *, deadline: float | None = None
    ) -> Volume:
        """A new volume, whose root belongs to the caller. Raises `Refused` (EEXIST, EACCES)."""
        result: Volume = self._caller.call(
            "MRC.make_volume", (name, mode, policy, quota, ask), Volume, deadline=deadline, retry=True
        )
        return result

    def remove_volume(self, name: str, force: bool, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove a volume; *force*: with all that is in it, and its snapshots. Or a snapshot, ``VOLUME@NAME``.

        Raises `Refused` (ENOENT, ENOTEMPTY, EACCES).
        """
        self._caller.call("MRC.remove_volume", (name, force, ask), None, deadline=deadline, retry=True)

    def change_volume(
        self, name: str, policy: Policy, quota: int, ask: Ask, *, deadline: float | None = None
    ) -> Volume:
        """Give it another policy for new files, another quota. Raises `Refused`."""
        result: Volume = self._caller.call(
            "MRC.change_volume", (name, policy, quota, ask), Volume, deadline=deadline, retry=True
        )
        return result

    def set_quota(self, volume: str, quota: Quota, ask: Ask, *, deadline: float | None = None) -> None:
        """For administrators: limit a user or group (bytes of files that they own). Raises `Refused`."""
        self._caller.call("MRC.set_quota", (volume, quota, ask), None, deadline=deadline, retry=True)

    def quotas(self, volume: str, *, deadline: float | None = None) -> list[Quota]:
        """All limits of a volume, and what is used. Raises `Refused` (ENOENT)."""
        result: list[Quota] = self._caller.call("MRC.quotas", (volume,), list[Quota], deadline=deadline, retry=True)
        return result

    def volumes(self, *, deadline: float | None = None) -> list[Volume]:
        """All volumes here but for snapshots, by name."""
        result: list[Volume] = self._caller.call("MRC.volumes", (), list[Volume], deadline=deadline, retry=True)
        return result

    def make_snapshot(self, volume: str, name: str, path: str, ask: Ask, *, deadline: float | None = None) -> Volume:
        """The volume as it is now, below the directory *path*, as a volume ``VOLUME@NAME`` that nothing changes.

        It has what was synced or closed before the call, and nothing of what was begun after it returned; of what is
        being written what was acknowledged by one moment, the same for all files. Raises `Refused`: EACCES, EEXIST,
        ENOENT, ENOTDIR, EDQUOT; EAGAIN when an OSD does not answer.
        """
        result: Volume = self._caller.call(
            "MRC.make_snapshot", (volume, name, path, ask), Volume, deadline=deadline, retry=True
        )
        return result

    def snapshots(self, volume: str, *, deadline: float | None = None) -> list[Volume]:
        """Of a volume, the oldest first. Raises `Refused` (ENOENT)."""
        result: list[Volume] = self._caller.call(
            "MRC.snapshots", (volume,), list[Volume], deadline=deadline, retry=True
        )
        return result

    def space(self, volume: str, *, deadline: float | None = None) -> Space:
        """How much there is of it. Raises `Refused` (ENOENT)."""
        result: Space = self._caller.call("MRC.space", (volume,), Space, deadline=deadline, retry=True)
        return result

    def begin(self, volume: str, client: str, *, deadline: float | None = None) -> Session:
        """Begin a session; *client* says who it is, for people. Raises `Refused` (ENOENT)."""
        result: Session = self._caller.call("MRC.begin", (volume, client), Session, deadline=deadline)
        return result

    def keep(self, session: str, *, deadline: float | None = None) -> int:
        """The client lives; Unix nanoseconds at the MRC. Raises `Refused` (ESTALE: begin anew, reopen)."""
        result: int = self._caller.call("MRC.keep", (session,), int, deadline=deadline, retry=True)
        return result

    def end(self, session: str, *, deadline: float | None = None) -> None:
        """Give up all that the session has open and locked."""
        self._caller.call("MRC.end", (session,), None, deadline=deadline, retry=True)

    def watch(self, session: str, *, deadline: float | None = None) -> Iterator[Changed]:
        """What others change in the volume, from now on. It may tell too much, and never too late by more than 1 s."""
        return self._caller.stream("MRC.watch", (session,), Changed, deadline=deadline)

    def resolve(
        self, volume: str, path: str, claim: Claim | None = None, session: str = "", *, deadline: float | None = None
    ) -> Inode:
        """The inode at a path from the root, not following a link at its end; *session*: of who asks.

        Raises `Refused`.
        """
        result: Inode = self._caller.call(
            "MRC.resolve", (volume, path, claim, session), Inode, deadline=deadline, retry=True
        )
        return result

    def lookup(
        self, parent: int, name: bytes, claim: Claim | None = None, session: str = "", *, deadline: float | None = None
    ) -> Inode:
        """The inode called *name*; *session*: of who asks, as in `getattr`. Raises `Refused` (ENOENT, EACCES, …)."""
        result: Inode = self._caller.call(
            "MRC.lookup", (parent, name, claim, session), Inode, deadline=deadline, retry=True
        )
        return result

    def look_ahead(
        self,
        parent: int,
        name: bytes,
        most: int,
        claim: Claim | None = None,
        session: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Row]:
        """As `lookup`, and the entries that follow in the order of `readdir`: at most *most* (1 to 4,096) together.

        For who looks up one name after another. Files that others than *session* may be writing, and directories that
        they have leased, are left out, but for *name*. The caller must be allowed to list the directory too. Raises
        `Refused`.
        """
        result: list[Row] = self._caller.call(
            "MRC.look_ahead", (parent, name, most, claim, session), list[Row], deadline=deadline, retry=True
        )
        return result

    def readdir(
        self,
        inode: int,
        after: int,
        most: int,
        claim: Claim | None = None,
        session: str = "",
        *,
        deadline: float | None = None,
    ) -> list[Row]:
        """At most *most* (1 to 4,096) entries behind the cookie *after*, with attributes. Raises `Refused`."""
        result: list[Row] = self._caller.call(
            "MRC.readdir", (inode, after, most, claim, session), list[Row], deadline=deadline, retry=True
        )
        return result

    def create(
        self,
        parent: int,
        name: bytes,
        mode: int,
        rdev: int,
        target: bytes | None,
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Inode:
        """A new inode of the type in *mode*; *target*: of a symbolic link. Raises `Refused`."""
        result: Inode = self._caller.call(
            "MRC.create", (parent, name, mode, rdev, target, ask), Inode, deadline=deadline, retry=True
        )
        return result

    def link(self, inode: int, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> Inode:
        """A further name. Raises `Refused`."""
        result: Inode = self._caller.call("MRC.link", (inode, parent, name, ask), Inode, deadline=deadline, retry=True)
        return result

    def unlink(self, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> Inode:
        """Take a name away; the inode as it is then. Its content goes when nobody has it open. Raises `Refused`."""
        result: Inode = self._caller.call("MRC.unlink", (parent, name, ask), Inode, deadline=deadline, retry=True)
        return result

    def rmdir(self, parent: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove an empty directory. Raises `Refused`."""
        self._caller.call("MRC.rmdir", (parent, name, ask), None, deadline=deadline, retry=True)

    def rename(
        self,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Inode | None:
        """renameat2(2); the inode that lost a name by it. Raises `Refused`."""
        result: Inode | None = self._caller.call(
            "MRC.rename", (parent, name, new_parent, new_name, flags, ask), Inode | None, deadline=deadline, retry=True
        )
        return result

    def getattr(self, inode: int, session: str = "", *, deadline: float | None = None) -> Inode:
        """The attributes. Raises `Refused` (ESTALE).

        How long a file is that others than *session* are writing, its OSDs are asked.
        """
        result: Inode = self._caller.call("MRC.getattr", (inode, session), Inode, deadline=deadline, retry=True)
        return result

    def setattr(self, inode: int, change: Change, ask: Ask, *, deadline: float | None = None) -> Inode:
        """Change attributes; a change of size goes by `truncate`. Raises `Refused`."""
        result: Inode = self._caller.call("MRC.setattr", (inode, change, ask), Inode, deadline=deadline, retry=True)
        return result

    def truncate(self, inode: int, size: int, handle: int, ask: Ask, *, deadline: float | None = None) -> Opened:
        """Set the size; *handle*: an open one that may write, or 0 (then by permission).

        The MRC has given the file a new epoch and size when this returns; the caller then tells every OSD
        (`OSD.truncate`) with the capability of the answer. Raises `Refused`.
        """
        result: Opened = self._caller.call(
            "MRC.truncate", (inode, size, handle, ask), Opened, deadline=deadline, retry=True
        )
        return result

    def getxattr(self, inode: int, name: bytes, claim: Claim | None = None, *, deadline: float | None = None) -> bytes:
        """The value. Raises `Refused` (ENODATA)."""
        result: bytes = self._caller.call("MRC.getxattr", (inode, name, claim), bytes, deadline=deadline, retry=True)
        return result

    def listxattr(self, inode: int, claim: Claim | None = None, *, deadline: float | None = None) -> list[bytes]:
        """The names, in order. Raises `Refused`."""
        result: list[bytes] = self._caller.call(
            "MRC.listxattr", (inode, claim), list[bytes], deadline=deadline, retry=True
        )
        return result

    def setxattr(
        self, inode: int, name: bytes, value: bytes, flags: int, ask: Ask, *, deadline: float | None = None
    ) -> None:
        """Set one; *flags*: ``XATTR_CREATE``, ``XATTR_REPLACE``. Raises `Refused`.

        ``system.posix_acl_access`` and ``system.posix_acl_default`` are ACLs as text, with global identities:
        ``user::rw-,user:alice@demo:r--,group::r--,mask::r--,other::---``.
        """
        self._caller.call("MRC.setxattr", (inode, name, value, flags, ask), None, deadline=deadline, retry=True)

    def removexattr(self, inode: int, name: bytes, ask: Ask, *, deadline: float | None = None) -> None:
        """Remove one. Raises `Refused` (ENODATA)."""
        self._caller.call("MRC.removexattr", (inode, name, ask), None, deadline=deadline, retry=True)

    def open(self, inode: int, wanted: Open, ask: Ask, *, deadline: float | None = None) -> Opened:
        """Open a regular file. Raises `Refused`."""
        result: Opened = self._caller.call("MRC.open", (inode, wanted, ask), Opened, deadline=deadline, retry=True)
        return result

    def open_name(self, parent: int, name: bytes, wanted: Open, ask: Ask, *, deadline: float | None = None) -> Opened:
        """Look a name up, create it if so wished, and open it, in one call. Raises `Refused`."""
        result: Opened = self._caller.call(
            "MRC.open_name", (parent, name, wanted, ask), Opened, deadline=deadline, retry=True
        )
        return result

    def renew(self, session: str, handles: list[int], *, deadline: float | None = None) -> list[Opened | None]:
        """Fresh capabilities (and layouts) for what is open; None: no longer, with a right that was taken away."""
        result: list[Opened | None] = self._caller.call(
            "MRC.renew", (session, handles), list[Opened | None], deadline=deadline, retry=True
        )
        return result

    def update(
        self, handle: int, extent: Extent, mtime: int, ask: Ask, durable: bool = True, *, deadline: float | None = None
    ) -> Inode:
        """What was written so far: on fsync(2), and now and then. Raises `Refused`.

        *durable*: it survives a power cut when this returns; else a second later.
        """
        result: Inode = self._caller.call(
            "MRC.update", (handle, extent, mtime, ask, durable), Inode, deadline=deadline, retry=True
        )
        return result

    def sync(self, *, deadline: float | None = None) -> None:
        """All that was answered before survives a power cut when this returns: for fsync(2) of directories, sync(2)."""
        self._caller.call("MRC.sync", (), None, deadline=deadline, retry=True)

    def close(self, closed: list[Closed], ask: Ask, *, deadline: float | None = None) -> None:
        """Close files, each with what was written to it. Unknown handles are closed already."""
        self._caller.call("MRC.close", (closed, ask), None, deadline=deadline, retry=True)

    def lock(self, lock: Lock, wait: bool, ask: Ask, *, deadline: float | None = None) -> None:
        """Take a lock; *wait*: until it is free. Raises `Refused` (EAGAIN, EDEADLK)."""
        self._caller.call("MRC.lock", (lock, wait, ask), None, deadline=deadline, retry=True)

    def unlock(self, lock: Lock, ask: Ask, *, deadline: float | None = None) -> None:
        """Give bytes of locks back."""
        self._caller.call("MRC.unlock", (lock, ask), None, deadline=deadline, retry=True)

    def test_lock(self, lock: Lock, session: str, *, deadline: float | None = None) -> Lock | None:
        """A lock of another owner that is in the way."""
        result: Lock | None = self._caller.call(
            "MRC.test_lock", (lock, session), Lock | None, deadline=deadline, retry=True
        )
        return result

    def lease(self, directory: int, ask: Ask, *, deadline: float | None = None) -> Lease | None:
        """The names of a directory for this session alone; None: not now. Raises `Refused`.

        Who has it gets it again, with a fresh reserve. `What.RECALL` may come before this answer does.
        """
        result: Lease | None = self._caller.call(
            "MRC.lease", (directory, ask), Lease | None, deadline=deadline, retry=True
        )
        return result

    def reserve(self, lease: int, ask: Ask, *, deadline: float | None = None) -> Reserve | None:
        """More inode numbers, for files of who asks; None: see `Lease.reserve`.

        Raises `Refused` (ESTALE: the session does not have the lease any more).
        """
        result: Reserve | None = self._caller.call(
            "MRC.reserve", (lease, ask), Reserve | None, deadline=deadline, retry=True
        )
        return result

    def hold(self, session: str, leases: list[int], *, deadline: float | None = None) -> list[int]:
        """As `keep`; those of *leases* that the session has still. Raises `Refused` (ESTALE: none, with the session).

        To be asked after `HOLD_SECONDS` without an answer, and whenever `watch` was begun anew or told `What.ALL`.
        """
        result: list[int] = self._caller.call("MRC.hold", (session, leases), list[int], deadline=deadline, retry=True)
        return result

    def apply(
        self,
        changes: list[Applied],
        reserves: list[Signed],
        give_back: list[int],
        ask: Ask,
        durable: bool = False,
        *,
        deadline: float | None = None,
    ) -> list[Outcome]:
        """What a holder did, in order and in one transaction: what became of each; then the leases *give_back* end.

        Each is done as a call of its own would do it, with a lease or without. *reserves*: `Reserve.capability` of all
        numbers in it. *durable*: it survives a power cut when this returns; else a second later.
        Raises `Refused`, and nothing is done: E2BIG (more than `MOST_BATCH`), EACCES (a reserve that no MRC gave to
        the caller), EINVAL (a number outside its reserve or twice).
        """
        result: list[Outcome] = self._caller.call(
            "MRC.apply", (changes, reserves, give_back, ask, durable), list[Outcome], deadline=deadline, retry=True
        )
        return result

    def fail_over(self, handle: int, term: int, dead: str, ask: Ask, *, deadline: float | None = None) -> Opened:
        """The primary of this term does not answer: another, as soon as that is safe, within 5 s. Raises `Refused`."""
        result: Opened = self._caller.call(
            "MRC.fail_over", (handle, term, dead, ask), Opened, deadline=deadline, retry=True
        )
        return result

    def layout(self, inode: int, claim: Claim | None = None, *, deadline: float | None = None) -> Layout:
        """Where its bytes are. Raises `Refused`."""
        result: Layout = self._caller.call("MRC.layout", (inode, claim), Layout, deadline=deadline, retry=True)
        return result

    def change_layout(
        self,
        inode: int,
        replicas: int,
        update: Update,
        without: tuple[str, ...],
        ask: Ask,
        *,
        deadline: float | None = None,
    ) -> Layout:
        """Another number of replicas, none on the OSDs *without*. Raises `Refused`."""
        result: Layout = self._caller.call(
            "MRC.change_layout", (inode, replicas, update, without, ask), Layout, deadline=deadline, retry=True
        )
        return result

    def read_soon(self, inode: int, nodes: list[str], ask: Ask, *, deadline: float | None = None) -> None:
        """The file is going to be read on these machines. Raises `Refused` (EACCES).

        If it does not change and its policy allows more replicas, they are made near them, which is not waited for.
        """
        self._caller.call("MRC.read_soon", (inode, nodes, ask), None, deadline=deadline, retry=True)

    def set_policy(self, inode: int, policy: Policy, ask: Ask, *, deadline: float | None = None) -> None:
        """How new files below a directory are laid out. Raises `Refused`."""
        self._caller.call("MRC.set_policy", (inode, policy, ask), None, deadline=deadline, retry=True)

    def find(
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
        *,
        deadline: float | None = None,
    ) -> list[Found]:
        """Files by attributes (the original's querying interface); empty, -1: all. Raises `Refused`."""
        result: list[Found] = self._caller.call(
            "MRC.find",
            (volume, owner, name, least, most, xattr, value, limit, claim),
            list[Found],
            deadline=deadline,
            retry=True,
        )
        return result

    def standing(self, *, deadline: float | None = None) -> Standing:
        """Primary, backup or alone; answered by each of them."""
        result: Standing = self._caller.call("MRC.standing", (), Standing, deadline=deadline, retry=True)
        return result

    def follow(self, term: int, position: int, *, deadline: float | None = None) -> Iterator[Frame]:
        """For the backup, which has all up to *position* of *term*: what it lacks, then what happens.

        Where the primary cannot go on from there, it sends a copy of its database first. Raises `NotServing`, `Refused`
        (EACCES: the caller is not its backup).
        """
        return self._caller.stream("MRC.follow", (term, position), Frame, deadline=deadline)

    def followed(self, number: int, position: int, *, deadline: float | None = None) -> None:
        """Of the backup: it has all up to *position*, heard frame *number*, and takes over from nobody for
        `MRC_PROMISE_SECONDS`. Raises `Refused` (EACCES).
        """
        self._caller.call("MRC.followed", (number, position), None, deadline=deadline, retry=True)


class OSDAsync(AsyncStub):
    """Bytes of shares. Raises `xtreemfs.*` errors; no call holds more than `MOST_BYTES`.

    Calls that take a token take the capability itself too: who was not here before needs no `present` then. Of a
    capability of several files the token says for which one a call is (`token_in`); without that it is for the first.
    """

    service = "OSD"

    async def present(self, capability: Signed, *, deadline: float | None = None) -> Presented:
        """Show a capability. Raises `BadCapability` (forged, expired, another's, an older epoch or layout)."""
        result: Presented = await self._caller.call(
            "OSD.present", (capability,), Presented, deadline=deadline, retry=True
        )
        return result

    async def read(
        self, token: bytes, offset: int, length: int, capability: Signed | None = None, *, deadline: float | None = None
    ) -> bytes:
        """Bytes of this OSD's share (see `striping`), fewer at its end. Raises `CorruptShare`, `UnknownToken`, …"""
        result: bytes = await self._caller.call(
            "OSD.read", (token, offset, length, capability), bytes, deadline=deadline, retry=True
        )
        return result

    async def read_beginnings(
        self, token: bytes, files: list[Beginning], capability: Signed | None = None, *, deadline: float | None = None
    ) -> list[bytes | None]:
        """As `read` of each of several files of one capability, at most `MOST_BEGINNINGS`; *token* is of all of them.

        None: that one is to be asked for by a call of its own, which says why. Raises `UnknownToken`,
        `BadCapability` of the capability itself, `PieceTooLarge` of all together, `BadParts`.
        """
        result: list[bytes | None] = await self._caller.call(
            "OSD.read_beginnings", (token, files, capability), list[bytes | None], deadline=deadline, retry=True
        )
        return result

    async def lend(
        self, token: bytes, boot: bytes, capability: Signed | None = None, *, deadline: float | None = None
    ) -> Loan:
        """Where the share is, for root of the same machine to read it; *boot* is of its kernel (`share.boot_id`).

        Raises `Elsewhere`, `NotLent` (a file with replicas that change, one that is not complete, a snapshot's),
        `UnknownFile` (nothing was written yet), `BadCapability`, `UnknownToken`.
        """
        result: Loan = await self._caller.call(
            "OSD.lend", (token, boot, capability), Loan, deadline=deadline, retry=True
        )
        return result

    async def write(
        self,
        token: bytes,
        offset: int,
        content: bytes,
        number: int,
        capability: Signed | None = None,
        *,
        deadline: float | None = None,
    ) -> Written:
        """Write into the share. *number*: the client's own, growing within a file.

        Survives the end of the OSD when this returns, on as many replicas as the layout's `Update` says; a power cut
        after `sync`. Raises `OsdFull`, `NotPrimary`, …
        """
        result: Written = await self._caller.call(
            "OSD.write", (token, offset, content, number, capability), Written, deadline=deadline, retry=True
        )
        return result

    async def write_parts(
        self,
        token: bytes,
        parts: list[Part],
        content: bytes,
        number: int,
        capability: Signed | None = None,
        *,
        deadline: float | None = None,
    ) -> Written:
        """As `write`, of at most `MOST_PARTS` that do not overlap, in ascending order.

        What belongs there follows one another in *content*. When this fails some of it may be written.
        Raises `BadParts`.
        """
        result: Written = await self._caller.call(
            "OSD.write_parts", (token, parts, content, number, capability), Written, deadline=deadline, retry=True
        )
        return result

    async def write_files(
        self, files: list[FilePart], content: bytes, capabilities: list[Signed], *, deadline: float | None = None
    ) -> list[int]:
        """As `write`, of the beginning of at most `MOST_FILES`; what belongs there follows one another in *content*.

        *capabilities*: those that were not shown here before. Which of *files* are not written, by their places from 0:
        `write` says why. Raises `BadParts`.
        """
        result: list[int] = await self._caller.call(
            "OSD.write_files", (files, content, capabilities), list[int], deadline=deadline, retry=True
        )
        return result

    async def truncate(
        self, token: bytes, size: int, capability: Signed | None = None, *, deadline: float | None = None
    ) -> Written:
        """Cut or grow the *file* to *size* bytes; each OSD does its share's part."""
        result: Written = await self._caller.call(
            "OSD.truncate", (token, size, capability), Written, deadline=deadline, retry=True
        )
        return result

    async def sync(self, token: bytes, capability: Signed | None = None, *, deadline: float | None = None) -> Written:
        """All that was written is on disk when this returns, on as many replicas as `write` says."""
        result: Written = await self._caller.call(
            "OSD.sync", (token, capability), Written, deadline=deadline, retry=True
        )
        return result

    async def revoke(self, file_id: str, revision: int, *, deadline: float | None = None) -> None:
        """Only for MRCs: refuse capabilities of an older `Capability.revision` from now on."""
        await self._caller.call("OSD.revoke", (file_id, revision), None, deadline=deadline, retry=True)

    async def delete(self, file_ids: list[str], *, deadline: float | None = None) -> None:
        """Only for MRCs: remove shares; what a snapshot shows of them is kept for it."""
        await self._caller.call("OSD.delete", (file_ids,), None, deadline=deadline, retry=True)

    async def snapshots(self, volume: str, number: int, there: list[int], *, deadline: float | None = None) -> int:
        """Only for MRCs: which snapshots of a volume (its id) there are, as of `Volume.number`.

        Nobody writes by a capability of an older number when this returns, and what no snapshot shows any more is
        freed. What is older than what the OSD knows changes nothing. The number that it knows then.
        """
        result: int = await self._caller.call(
            "OSD.snapshots", (volume, number, there), int, deadline=deadline, retry=True
        )
        return result

    async def shares(self, after: str, most: int, *, deadline: float | None = None) -> list[ShareState]:
        """What there is, by file id behind *after*; for `xtfs_cleanup` and the RMS."""
        result: list[ShareState] = await self._caller.call(
            "OSD.shares", (after, most), list[ShareState], deadline=deadline, retry=True
        )
        return result

    async def health(self, *, deadline: float | None = None) -> Health:
        """How it is."""
        result: Health = await self._caller.call("OSD.health", (), Health, deadline=deadline, retry=True)
        return result

    async def scrub(self, *, deadline: float | None = None) -> int:
        """Begin to read all shares through, unless that is under way; what `Health.rounds` will be after it."""
        result: int = await self._caller.call("OSD.scrub", (), int, deadline=deadline, retry=True)
        return result

    async def state(self, file_id: str, snapshot: int = 0, *, deadline: float | None = None) -> ShareState:
        """Only for MRCs, OSDs and tools: what this OSD has of a file; or had, as that snapshot shows it.

        Raises `UnknownFile`.
        """
        result: ShareState = await self._caller.call(
            "OSD.state", (file_id, snapshot), ShareState, deadline=deadline, retry=True
        )
        return result

    async def follow(self, capability: Signed, *, deadline: float | None = None) -> Following:
        """From the machine that the capability's layout makes the primary: from now on it orders this share's writes.

        The term is on disk when this returns: an older one is refused for ever. Answered when the promise to the
        primary before it has run out (`PROMISE_SECONDS`), and makes the same promise to the new one.
        Raises `BadCapability`, `StaleTerm`.
        """
        result: Following = await self._caller.call(
            "OSD.follow", (capability,), Following, deadline=deadline, retry=True
        )
        return result

    async def hold(self, token: bytes, *, deadline: float | None = None) -> None:
        """Renew the promise. Raises `StaleTerm`, `UnknownToken`."""
        await self._caller.call("OSD.hold", (token,), None, deadline=deadline, retry=True)

    async def replicate(self, token: bytes, step: Step, *, deadline: float | None = None) -> None:
        """The next step of the term, and `hold`. Raises `StaleTerm`, `Gap` (this replica must be patched first)."""
        await self._caller.call("OSD.replicate", (token, step), None, deadline=deadline, retry=True)

    async def harden(self, token: bytes, version: int, *, deadline: float | None = None) -> None:
        """All steps up to *version* survive a power cut when this returns. Raises `StaleTerm`, `Gap`."""
        await self._caller.call("OSD.harden", (token, version), None, deadline=deadline, retry=True)

    async def sums(self, token: bytes, first: int, count: int, *, deadline: float | None = None) -> bytes:
        """The kept sums of *count* (at most 65,536) blocks, four bytes each."""
        result: bytes = await self._caller.call("OSD.sums", (token, first, count), bytes, deadline=deadline, retry=True)
        return result

    async def fetch(self, token: bytes, offset: int, length: int, *, deadline: float | None = None) -> bytes:
        """Bytes of this replica as it is, checked. Raises `CorruptShare`."""
        result: bytes = await self._caller.call(
            "OSD.fetch", (token, offset, length), bytes, deadline=deadline, retry=True
        )
        return result

    async def patch(
        self, token: bytes, join: int, offset: int, content: bytes, snapshot: int = 0, *, deadline: float | None = None
    ) -> None:
        """Bytes as the primary has them, outside the order of steps. Raises `StaleTerm`.

        *snapshot*: by which it was written last there; what snapshots up to it show here is kept first.
        """
        await self._caller.call(
            "OSD.patch", (token, join, offset, content, snapshot), None, deadline=deadline, retry=True
        )

    async def adopt(
        self,
        token: bytes,
        join: int,
        size: int,
        epoch: int,
        version: int,
        snapshot: int = 0,
        *,
        deadline: float | None = None,
    ) -> None:
        """This replica is now as the primary's after step *version* of its term. Raises `StaleTerm`."""
        await self._caller.call(
            "OSD.adopt", (token, join, size, epoch, version, snapshot), None, deadline=deadline, retry=True
        )


class OSDXati(BlockingStub):
    """Bytes of shares. Raises `xtreemfs.*` errors; no call holds more than `MOST_BYTES`.

    Calls that take a token take the capability itself too: who was not here before needs no `present` then. Of a
    capability of several files the token says for which one a call is (`token_in`); without that it is for the first.
    """

    service = "OSD"

    def present(self, capability: Signed, *, deadline: float | None = None) -> Presented:
        """Show a capability. Raises `BadCapability` (forged, expired, another's, an older epoch or layout)."""
        result: Presented = self._caller.call("OSD.present", (capability,), Presented, deadline=deadline, retry=True)
        return result

    def read(
        self, token: bytes, offset: int, length: int, capability: Signed | None = None, *, deadline: float | None = None
    ) -> bytes:
        """Bytes of this OSD's share (see `striping`), fewer at its end. Raises `CorruptShare`, `UnknownToken`, …"""
        result: bytes = self._caller.call(
            "OSD.read", (token, offset, length, capability), bytes, deadline=deadline, retry=True
        )
        return result

    def read_beginnings(
        self, token: bytes, files: list[Beginning], capability: Signed | None = None, *, deadline: float | None = None
    ) -> list[bytes | None]:
        """As `read` of each of several files of one capability, at most `MOST_BEGINNINGS`; *token* is of all of them.

        None: that one is to be asked for by a call of its own, which says why. Raises `UnknownToken`,
        `BadCapability` of the capability itself, `PieceTooLarge` of all together, `BadParts`.
        """
        result: list[bytes | None] = self._caller.call(
            "OSD.read_beginnings", (token, files, capability), list[bytes | None], deadline=deadline, retry=True
        )
        return result

    def lend(
        self, token: bytes, boot: bytes, capability: Signed | None = None, *, deadline: float | None = None
    ) -> Loan:
        """Where the share is, for root of the same machine to read it; *boot* is of its kernel (`share.boot_id`).

        Raises `Elsewhere`, `NotLent` (a file with replicas that change, one that is not complete, a snapshot's),
        `UnknownFile` (nothing was written yet), `BadCapability`, `UnknownToken`.
        """
        result: Loan = self._caller.call("OSD.lend", (token, boot, capability), Loan, deadline=deadline, retry=True)
        return result

    def write(
        self,
        token: bytes,
        offset: int,
        content: bytes,
        number: int,
        capability: Signed | None = None,
        *,
        deadline: float | None = None,
    ) -> Written:
        """Write into the share. *number*: the client's own, growing within a file.

        Survives the end of the OSD when this returns, on as many replicas as the layout's `Update` says; a power cut
        after `sync`. Raises `OsdFull`, `NotPrimary`, …
        """
        result: Written = self._caller.call(
            "OSD.write", (token, offset, content, number, capability), Written, deadline=deadline, retry=True
        )
        return result

    def write_parts(
        self,
        token: bytes,
        parts: list[Part],
        content: bytes,
        number: int,
        capability: Signed | None = None,
        *,
        deadline: float | None = None,
    ) -> Written:
        """As `write`, of at most `MOST_PARTS` that do not overlap, in ascending order.

        What belongs there follows one another in *content*. When this fails some of it may be written.
        Raises `BadParts`.
        """
        result: Written = self._caller.call(
            "OSD.write_parts", (token, parts, content, number, capability), Written, deadline=deadline, retry=True
        )
        return result

    def write_files(
        self, files: list[FilePart], content: bytes, capabilities: list[Signed], *, deadline: float | None = None
    ) -> list[int]:
        """As `write`, of the beginning of at most `MOST_FILES`; what belongs there follows one another in *content*.

        *capabilities*: those that were not shown here before. Which of *files* are not written, by their places from 0:
        `write` says why. Raises `BadParts`.
        """
        result: list[int] = self._caller.call(
            "OSD.write_files", (files, content, capabilities), list[int], deadline=deadline, retry=True
        )
        return result

    def truncate(
        self, token: bytes, size: int, capability: Signed | None = None, *, deadline: float | None = None
    ) -> Written:
        """Cut or grow the *file* to *size* bytes; each OSD does its share's part."""
        result: Written = self._caller.call(
            "OSD.truncate", (token, size, capability), Written, deadline=deadline, retry=True
        )
        return result

    def sync(self, token: bytes, capability: Signed | None = None, *, deadline: float | None = None) -> Written:
        """All that was written is on disk when this returns, on as many replicas as `write` says."""
        result: Written = self._caller.call("OSD.sync", (token, capability), Written, deadline=deadline, retry=True)
        return result

    def revoke(self, file_id: str, revision: int, *, deadline: float | None = None) -> None:
        """Only for MRCs: refuse capabilities of an older `Capability.revision` from now on."""
        self._caller.call("OSD.revoke", (file_id, revision), None, deadline=deadline, retry=True)

    def delete(self, file_ids: list[str], *, deadline: float | None = None) -> None:
        """Only for MRCs: remove shares; what a snapshot shows of them is kept for it."""
        self._caller.call("OSD.delete", (file_ids,), None, deadline=deadline, retry=True)

    def snapshots(self, volume: str, number: int, there: list[int], *, deadline: float | None = None) -> int:
        """Only for MRCs: which snapshots of a volume (its id) there are, as of `Volume.number`.

        Nobody writes by a capability of an older number when this returns, and what no snapshot shows any more is
        freed. What is older than what the OSD knows changes nothing. The number that it knows then.
        """
        result: int = self._caller.call("OSD.snapshots", (volume, number, there), int, deadline=deadline, retry=True)
        return result

    def shares(self, after: str, most: int, *, deadline: float | None = None) -> list[ShareState]:
        """What there is, by file id behind *after*; for `xtfs_cleanup` and the RMS."""
        result: list[ShareState] = self._caller.call(
            "OSD.shares", (after, most), list[ShareState], deadline=deadline, retry=True
        )
        return result

    def health(self, *, deadline: float | None = None) -> Health:
        """How it is."""
        result: Health = self._caller.call("OSD.health", (), Health, deadline=deadline, retry=True)
        return result

    def scrub(self, *, deadline: float | None = None) -> int:
        """Begin to read all shares through, unless that is under way; what `Health.rounds` will be after it."""
        result: int = self._caller.call("OSD.scrub", (), int, deadline=deadline, retry=True)
        return result

    def state(self, file_id: str, snapshot: int = 0, *, deadline: float | None = None) -> ShareState:
        """Only for MRCs, OSDs and tools: what this OSD has of a file; or had, as that snapshot shows it.

        Raises `UnknownFile`.
        """
        result: ShareState = self._caller.call(
            "OSD.state", (file_id, snapshot), ShareState, deadline=deadline, retry=True
        )
        return result

    def follow(self, capability: Signed, *, deadline: float | None = None) -> Following:
        """From the machine that the capability's layout makes the primary: from now on it orders this share's writes.

        The term is on disk when this returns: an older one is refused for ever. Answered when the promise to the
        primary before it has run out (`PROMISE_SECONDS`), and makes the same promise to the new one.
        Raises `BadCapability`, `StaleTerm`.
        """
        result: Following = self._caller.call("OSD.follow", (capability,), Following, deadline=deadline, retry=True)
        return result

    def hold(self, token: bytes, *, deadline: float | None = None) -> None:
        """Renew the promise. Raises `StaleTerm`, `UnknownToken`."""
        self._caller.call("OSD.hold", (token,), None, deadline=deadline, retry=True)

    def replicate(self, token: bytes, step: Step, *, deadline: float | None = None) -> None:
        """The next step of the term, and `hold`. Raises `StaleTerm`, `Gap` (this replica must be patched first)."""
        self._caller.call("OSD.replicate", (token, step), None, deadline=deadline, retry=True)

    def harden(self, token: bytes, version: int, *, deadline: float | None = None) -> None:
        """All steps up to *version* survive a power cut when this returns. Raises `StaleTerm`, `Gap`."""
        self._caller.call("OSD.harden", (token, version), None, deadline=deadline, retry=True)

    def sums(self, token: bytes, first: int, count: int, *, deadline: float | None = None) -> bytes:
        """The kept sums of *count* (at most 65,536) blocks, four bytes each."""
        result: bytes = self._caller.call("OSD.sums", (token, first, count), bytes, deadline=deadline, retry=True)
        return result

    def fetch(self, token: bytes, offset: int, length: int, *, deadline: float | None = None) -> bytes:
        """Bytes of this replica as it is, checked. Raises `CorruptShare`."""
        result: bytes = self._caller.call("OSD.fetch", (token, offset, length), bytes, deadline=deadline, retry=True)
        return result

    def patch(
        self, token: bytes, join: int, offset: int, content: bytes, snapshot: int = 0, *, deadline: float | None = None
    ) -> None:
        """Bytes as the primary has them, outside the order of steps. Raises `StaleTerm`.

        *snapshot*: by which it was written last there; what snapshots up to it show here is kept first.
        """
        self._caller.call("OSD.patch", (token, join, offset, content, snapshot), None, deadline=deadline, retry=True)

    def adopt(
        self,
        token: bytes,
        join: int,
        size: int,
        epoch: int,
        version: int,
        snapshot: int = 0,
        *,
        deadline: float | None = None,
    ) -> None:
        """This replica is now as the primary's after step *version* of its term. Raises `StaleTerm`."""
        self._caller.call(
            "OSD.adopt", (token, join, size, epoch, version, snapshot), None, deadline=deadline, retry=True
        )


class FilesAsync(AsyncStub):
    """The volumes for HTTP: ``GET /Files/VOLUME/PATH``, with the rights of whose certificate is shown."""

    service = "Files"

    def entries(self, volume: str, path: str, *, deadline: float | None = None) -> AsyncIterator[Entry]:
        """What is in a directory, oldest first. Raises `NoPath`, `PathDenied`, `UnknownVolume`."""
        return self._caller.stream("Files.entries", (volume, path), Entry, deadline=deadline)


class FilesXati(BlockingStub):
    """The volumes for HTTP: ``GET /Files/VOLUME/PATH``, with the rights of whose certificate is shown."""

    service = "Files"

    def entries(self, volume: str, path: str, *, deadline: float | None = None) -> Iterator[Entry]:
        """What is in a directory, oldest first. Raises `NoPath`, `PathDenied`, `UnknownVolume`."""
        return self._caller.stream("Files.entries", (volume, path), Entry, deadline=deadline)
