# SPDX-License-Identifier: BSD-3-Clause
"""Accounting: what was used, by whom, where, and how much is left, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.policy.request import Used
from xos.common.signing import Signed
from xos.dixi.api import call, service
from xos.vom.api.audit import Head

USAGE_PURPOSE = "xos-usage-record"
"""What a node's signature on a `UsageRecord` is for."""


class UsageRecord(msgspec.Struct, array_like=True, frozen=True):
    """What one job unit used: the fields of an OGF Usage Record 2.0 (GFD.204), signed by the node.

    msgpack of this is the payload of the `Signed` that a node hands in.
    """

    record_id: str
    """``NODE:UNIT``; a record is kept once."""
    vo: str
    """UR 2.0: Group, with attribute type ``vo``."""
    user: str
    """The user's name in the VO. UR: GlobalUserName is ``user@vo``."""
    group: str
    """Primary group. UR: GroupAttribute."""
    job_id: str
    """UR: GlobalJobId."""
    unit_id: str
    """UR: LocalJobId."""
    job_name: str = ""
    node: str = ""
    """UR: MachineName, Host."""
    site: str = ""
    status: str = ""
    """UR: Status: ``completed``, ``failed``, ``aborted``."""
    exit_code: int | None = None
    """UR: ExitStatus."""
    submitted: float = 0.0
    """Unix seconds."""
    started: float = 0.0
    ended: float = 0.0
    wall_seconds: float = 0.0
    """UR: WallDuration."""
    cpu_seconds: float = 0.0
    """UR: CpuDuration, all."""
    processors: int = 1
    """UR: Processors."""
    memory_peak: int = 0
    """Bytes. UR: Memory, metric ``max``."""
    local_user: str = ""
    """UR: LocalUserId: the account on the node."""
    created: float = 0.0
    """When the node made the record. UR: CreateTime."""


class Period(enum.StrEnum):
    """How long a quota counts; a report may be split by it."""

    DAY = "day"
    MONTH = "month"
    ALL = "all"


class By(enum.StrEnum):
    """What a report has one line for."""

    USER = "user"
    GROUP = "group"
    VO = "vo"
    RESOURCE = "resource"


class Usage(msgspec.Struct, array_like=True, frozen=True):
    """One line of a report."""

    vo: str
    subject: str
    """Name of the user, group, VO or node."""
    period: str = ""
    """``2026-11`` or ``2026-11-26`` (UTC); empty: the whole time asked for."""
    units: int = 0
    failed: int = 0
    """Of these, units that did not end with exit code 0."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    processor_seconds: float = 0.0
    """Wall time times processors held."""
    memory_peak: int = 0
    """Bytes: the largest."""


class Quota(msgspec.Struct, array_like=True, frozen=True):
    """A limit on what a user, a group or a whole VO may use; None is without limit."""

    vo: str
    by: By
    """`By.USER`, `By.GROUP` or `By.VO`."""
    subject: str
    """Name of user or group; the VO's own name; ``*``: each user, or each group, that has none of its own."""
    period: Period = Period.MONTH
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    units: int | None = None
    version: int = 0
    """Grows with each change; 0: there is none yet."""
    changed: float = 0.0
    changed_by: str = ""


class QuotaState(msgspec.Struct, array_like=True, frozen=True):
    """A quota, and what of it is used now."""

    quota: Quota
    subject: str
    """Whom it is applied to here: for ``*``, one user or group."""
    used: Used
    exceeded: bool
    """New jobs are refused (unless the VO's policies say otherwise)."""


class Fetched(msgspec.Struct, array_like=True, frozen=True):
    """What was fetched from a node."""

    node: str
    seen: int
    """Records that the node has."""
    new: int
    """Of these, records that Accounting did not have."""
    refused: int
    """Of these, records that it does not believe; the journal says why."""


@service
class UsageSpool(Protocol):
    """The records of a node's units, for Accounting to fetch: handed in before or not, as long as the node has them."""

    @call(idempotent=True, reads=True, allow={Kind.MACHINE})
    async def usage_since(self, since: float = 0.0, after: str = "", limit: int = 200) -> list[Signed]:
        """Signed `UsageRecord`s of what ended at *since* (Unix seconds) or later, by unit id, those above *after*.

        Fewer than *limit* (at most 1,000): there are no more. For core machines only.
        """
        ...


@service
class Accounting(Protocol):
    """Keeps the usage records of a VO's jobs in a chain whose head is signed, adds them up, and watches quotas."""

    @call(idempotent=True, allow={Kind.MACHINE})
    async def record(self, records: list[Signed]) -> Head:
        """Keep records that the calling node has signed; answers when they are on disk. A record kept before is none.

        All or nothing. Raises `BadUsageRecord`, which names the record.
        """
        ...

    @call(idempotent=True)
    async def fetch(self, node: str, since: float = 0.0) -> Fetched:
        """Fetch from *node* the records of what ended at *since* or later, and keep those that are new.

        Raises `Forbidden`, `BadName`, and what a call of the node's `UsageSpool` does.
        """
        ...

    @call(idempotent=True, allow={Kind.MACHINE})
    async def running(self, units: list[UsageRecord]) -> None:
        """What runs on the calling node now, with what it has used so far: counted until their records come."""
        ...

    @call(reads=True)
    async def records(
        self, vo: str, since: float = 0.0, until: float = 0.0, user: str = "", after: int = 0, limit: int = 1000
    ) -> list[tuple[int, UsageRecord]]:
        """Records by number, those above *after*, that ended in [since, until): one's own, or all as administrator."""
        ...

    @call(reads=True)
    async def report(
        self,
        vo: str,
        by: By,
        since: float = 0.0,
        until: float = 0.0,
        period: Period = Period.ALL,
        user: str = "",
        start: int = 0,
        limit: int = 1000,
        largest: bool = False,
    ) -> list[Usage]:
        """Sums of what ended in [since, until) (0: no bound): one's own, or all as administrator.

        By period and subject, or with *largest* those first that used most CPU time; from number *start* on (the first
        is 0), at most *limit* (and 1,000).
        """
        ...

    @call(reads=True)
    async def quotas(self, vo: str) -> list[QuotaState]:
        """The quotas that apply to the caller; as administrator all of them, ``*`` as such."""
        ...

    @call(idempotent=True)
    async def set_quota(self, quota: Quota) -> Quota:
        """Set a quota in place of version `Quota.version`; one without any limit removes it.

        Raises `QuotaConflict` when somebody else was faster.
        """
        ...
