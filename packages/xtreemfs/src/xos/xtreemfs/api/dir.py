# SPDX-License-Identifier: BSD-3-Clause
"""The Directory Service of XtreemFS: which services and volumes there are, and how they are."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service

MACHINES = frozenset({Kind.MACHINE})
HEARTBEAT_SECONDS = 10
STORE = "store"
"""Attribute of an OSD: the id of its disk, made with the first start on it."""
SUSPECT_SECONDS = 30
"""Without a heartbeat for so long, a service is not chosen any more."""


class Status(enum.StrEnum):
    """What an administrator wants of an OSD (`xtfs_chstatus`)."""

    ONLINE = "online"
    DRAINING = "draining"
    """No new files; the RMS moves what is there to others."""
    REMOVED = "removed"


class ServiceRecord(msgspec.Struct, array_like=True, frozen=True):
    """A service of the file system, as it said itself and as the DIR sees it."""

    kind: str
    """``MRC`` or ``OSD``."""
    node: str
    """Its node's name, by which the Directory of DIXI has its address."""
    total: int = 0
    """Bytes."""
    free: int = 0
    load: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()
    """Site, data centre, and what administrators set: for selection policies."""
    status: Status = Status.ONLINE
    heard: int = 0
    """Unix nanoseconds; set by the DIR."""
    suspect: bool = False
    """Not heard for `SUSPECT_SECONDS`, or found dead by somebody."""


class VolumeRecord(msgspec.Struct, array_like=True, frozen=True):
    """Who serves a volume."""

    name: str
    id: str
    mrc: tuple[str, ...]
    """Nodes."""


class Pair(msgspec.Struct, array_like=True, frozen=True):
    """An MRC with a backup: who is who. The DIR alone says it, and keeps it on disk."""

    primary: str
    """Node of the MRC that serves."""
    backup: str
    """Node of the one that has what is acknowledged, too."""
    term: int
    """Grows whenever the other one takes over."""
    synced: bool
    """Whether the backup has all that was acknowledged. Only then may it take over, and the primary waits for it."""
    version: int
    """Grows with every change of this record."""


@service
class DIR(Protocol):
    """Registry, heartbeats, global time."""

    @call(idempotent=True, allow=MACHINES)
    async def register(self, record: ServiceRecord, volumes: list[VolumeRecord]) -> int:
        """A service lives and is as it says; at once when it starts, then as heartbeat. Unix nanoseconds at the DIR.

        The caller's certificate must be of `ServiceRecord.node`. Raises `Refused` (EEXIST: another MRC has the volume).
        """
        ...

    @call(reads=True)
    async def services(self, kind: str) -> list[ServiceRecord]:
        """All of a kind (empty: all), by node."""
        ...

    @call(reads=True)
    async def volumes(self) -> list[VolumeRecord]:
        """All volumes, by name."""
        ...

    @call(reads=True)
    async def volume(self, name: str) -> VolumeRecord:
        """Who serves it. Raises `Refused` (ENOENT)."""
        ...

    @call(idempotent=True)
    async def suspect(self, kind: str, node: str) -> None:
        """Somebody could not reach it: the DIR asks it itself, and marks it until it is heard again."""
        ...

    @call(idempotent=True)
    async def set_status(self, node: str, status: Status) -> ServiceRecord:
        """What is wanted of an OSD. Raises `Refused` (EACCES, ENOENT).

        For root of a core or of the OSD's machine, and for who administers the one VO that the machine serves
        (VOManager, VOAdmin, ResourceAdmin).
        """
        ...

    @call(reads=True)
    async def pairs(self) -> list[Pair]:
        """All MRCs that have a backup, by the primary's node."""
        ...

    @call(idempotent=True)
    async def set_backup(self, primary: str, backup: str) -> Pair | None:
        """For administrators: give an MRC a backup, which must be an MRC without volumes; empty: take it away.

        Raises `Refused` (EACCES, ENOENT, EEXIST: one of them has a partner already, ENOTEMPTY: it has volumes,
        EOPNOTSUPP: no embedded database).
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def set_synced(self, term: int, backup: str, synced: bool) -> Pair:
        """Of the primary: this backup has everything, or it goes on without it. On disk when this returns.

        Raises `Refused` (ESTALE: the caller is not the primary of that term any more, or has another backup).
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def take_over(self, version: int) -> Pair:
        """Of the backup: the primary is silent. The DIR asks it too; if it does not answer, the backup is the primary.

        *version*: of the record as the backup knows it. Raises `Refused` (ESTALE: the record is another one meanwhile,
        EBUSY: the primary lives, EAGAIN: the backup lacks something).
        """
        ...

    @call(idempotent=True, allow=MACHINES)
    async def stand_by(self) -> Pair | None:
        """Of the backup: the record, raised in version, so that what it asked for before (`take_over`) is void."""
        ...

    @call(reads=True)
    async def now(self) -> int:
        """Global time: Unix nanoseconds at the DIR."""
        ...
