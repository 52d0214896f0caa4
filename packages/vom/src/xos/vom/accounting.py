# SPDX-License-Identifier: BSD-3-Clause
"""Accounting: usage records and quotas as a service."""

from __future__ import annotations

import asyncio
import math

import msgspec
import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import vos
from xos.vom.api import Accounting, By, Fetched, Head, Period, Quota, QuotaState, Usage, UsageRecord
from xos.vom.callers import authorise
from xos.vom.core import VomCore
from xos.vom.errors import BadRequest, BadUsageRecord, QuotaConflict, UnknownVO
from xos.vom.names import check_label, check_name
from xos.vom.policy import Act, allows
from xos.vom.records import quotas, usage
from xos.vom.records.trail import acting
from xos.vom.sharing import VomSettings, release, share, to_the_end
from xos.vom.xati import UsageSpoolAsync

MOST_LISTED = 1000
MOST_QUOTAS = 1000
"""Of one VO."""
PAGE = 200
"""Records that are fetched from a node at once."""
_SPOOL_SECONDS = 30.0
_PAUSE_AFTER = 16
"""Signatures verified before other calls have their turn."""

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.Accounting.settings]``."""


class AccountingService(Hosted[Settings], Accounting):
    """Accounting over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def record(self, records: list[Signed]) -> Head:
        """See `Accounting.record`. Raises `BadUsageRecord`, `BadRequest`."""
        node = current_call().caller.name
        if len(records) > usage.MOST_AT_ONCE:
            raise BadRequest(what="records", detail=f"at most {usage.MOST_AT_ONCE} at once")
        now = self.core.now()
        good = []
        for i, signed in enumerate(records):
            good.append(usage.examine(signed, self.host.trust, node, now))
            if i % _PAUSE_AFTER == _PAUSE_AFTER - 1:
                await asyncio.sleep(0)
        return (await to_the_end(self.host, self._keep(good, now), name="usage"))[0]

    async def _keep(self, records: list[usage.Kept], now: float) -> tuple[Head, int]:
        """The chain's head, and how many were new."""
        head, fresh = await self.core.store.write(lambda connection: usage.keep(connection, records, now))
        self.core.meter.add(fresh)
        return head, len(fresh)

    async def fetch(self, node: str, since: float = 0.0) -> Fetched:
        """See `Accounting.fetch`. Raises `Forbidden`, `BadName`, and what a call of the node's `UsageSpool` does."""
        await authorise(self.core, Act.FETCH_USAGE)
        check_name("node", node)
        spool, after, seen, new, refused = UsageSpoolAsync(self.host.bus, node), "", 0, 0, 0
        while page := await spool.usage_since(since, after, PAGE, deadline=_SPOOL_SECONDS):
            good, now = [], self.core.now()
            for signed in page[:PAGE]:
                seen += 1
                try:
                    good.append(usage.examine(signed, self.host.trust, node, now))
                except BadUsageRecord as error:
                    refused += 1
                    log.warning("usage-refused", node=node, reason=error.message)
                await asyncio.sleep(0)
            if good:
                new += (await to_the_end(self.host, self._keep(good, now), name="usage"))[1]
            last = usage.unit_in(page[-1])
            if len(page) < PAGE or last <= after:  # a node that never ends is not listened to for ever
                break
            after = last
        log.info("usage-fetched", node=node, seen=seen, new=new, refused=refused)
        return Fetched(node, seen, new, refused)

    async def running(self, units: list[UsageRecord]) -> None:
        """See `Accounting.running`. Raises `BadUsageRecord`, `BadRequest`."""
        caller = current_call().caller
        if len(units) > 10 * usage.MOST_AT_ONCE:
            raise BadRequest(what="units", detail=f"at most {10 * usage.MOST_AT_ONCE} at once")
        now = self.core.now()
        for unit in units:
            if problem := usage.foreign(unit, caller) or usage.nonsense(unit, now):
                raise BadUsageRecord(record=unit.record_id[:300], detail=problem)
        self.core.meter.running(caller.name, tuple(units), now)

    async def records(
        self, vo: str, since: float = 0.0, until: float = 0.0, user: str = "", after: int = 0, limit: int = 1000
    ) -> list[tuple[int, UsageRecord]]:
        """See `Accounting.records`. Raises `Forbidden`, `BadRequest`."""
        user = await self._whose(vo, user)
        most = _bounded(limit)
        return await self.core.store.read(
            lambda c: usage.read(c, vo=vo, user=user, since=since, until=until, after=after, limit=most)
        )

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
        """See `Accounting.report`. Raises `Forbidden`, `BadRequest`."""
        user = await self._whose(vo, user)
        if not 0 <= start < 2**31:
            raise BadRequest(what="start", detail="from 0 on")
        wanted = usage.Wanted(vo, by, since, until, period, user, start, _bounded(limit), largest)
        return await self.core.store.read(lambda c: usage.report(c, wanted))

    async def _whose(self, vo: str, user: str) -> str:
        """Whose records are meant: those of *user*; empty: all if the caller may see them, else the caller's own."""
        caller = current_call().caller
        if not user and caller.kind is Kind.USER and not allows(Act.SEE_USAGE, caller, vo):
            user = caller.name
        await authorise(self.core, Act.SEE_USAGE, vo, user)
        return user

    async def quotas(self, vo: str) -> list[QuotaState]:
        """See `Accounting.quotas`. Raises `Forbidden`."""
        caller = await authorise(self.core, Act.SEE_VO, vo)
        now, meter = self.core.now(), self.core.meter
        if not allows(Act.SEE_USAGE, caller, vo):
            applying = list(quotas.applying(meter.quotas, vo, caller.name, caller.group))
        else:
            of_vo = [quota for quota in meter.quotas.values() if quota.vo == vo]
            of_vo.sort(key=lambda quota: (quota.by, quota.subject, quota.period))
            applying = [(quota, quota.subject) for quota in of_vo]
        states = []
        for quota, subject in applying:
            used = meter.used(vo, quota.by, subject, now, quota.period)
            states.append(QuotaState(quota, subject, used, quotas.is_exceeded(quota, used)))
        return states

    async def set_quota(self, quota: Quota) -> Quota:
        """See `Accounting.set_quota`. Raises `QuotaConflict`, `UnknownVO`, `BadRequest`, `BadName`, `Forbidden`."""
        caller = await authorise(self.core, Act.SET_QUOTA, quota.vo)
        _check(quota)
        return await to_the_end(self.host, self._set(quota, caller), name="quota")

    async def _set(self, wanted: Quota, caller: Identity) -> Quota:
        now = self.core.now()
        changed = msgspec.structs.replace(wanted, version=wanted.version + 1, changed=now, changed_by=str(caller))
        limits = {"cpu": wanted.cpu_seconds, "wall": wanted.wall_seconds, "units": wanted.units}
        target = f"{wanted.by.value} {wanted.subject} {wanted.period.value}"
        noted = acting(now, "quota-set", vo=wanted.vo, target=target, **limits)

        def write(connection: sa.Connection) -> Quota | str | None:
            if vos.find_vo(connection, wanted.vo) is None:
                return None
            there = quotas.find(connection, wanted)
            if there is not None and _same_change(there, changed):
                return there
            if (there.version if there is not None else 0) != wanted.version:
                return str(there.version if there is not None else 0)
            if there is None and quotas.count(connection, wanted.vo) >= MOST_QUOTAS:
                return "too many"
            quotas.write(connection, changed)
            noted(connection)
            return changed

        result = await self.core.store.write(write)
        if result is None:
            raise UnknownVO(vo=wanted.vo)
        if result == "too many":
            raise BadRequest(
                what="quotas", detail=f"at most {MOST_QUOTAS}; quotas for each user are one, with subject *"
            )
        if isinstance(result, str):
            raise QuotaConflict(vo=wanted.vo, subject=wanted.subject, version=int(result), expected=wanted.version)
        self.core.meter.quotas = await self.core.store.read(quotas.read_all)
        log.info("quota-set", vo=wanted.vo, subject=wanted.subject, by=str(caller))
        return result


def _bounded(limit: int) -> int:
    if limit < 1:
        raise BadRequest(what="limit", detail="at least 1")
    return min(limit, MOST_LISTED)


def _same_change(there: Quota, changed: Quota) -> bool:
    """Whether *changed* is what was written last: the call is a repetition."""
    return msgspec.structs.replace(changed, changed=there.changed) == there


def _check(quota: Quota) -> None:
    if quota.by is By.RESOURCE:
        raise BadRequest(what="by", detail="quotas are for a user, a group or the VO")
    if quota.by is By.VO and quota.subject != quota.vo:
        raise BadRequest(what="subject", detail="of the VO's quota is the VO's own name")
    if quota.by is By.USER and quota.subject != quotas.EACH:
        check_name("user", quota.subject)
    if quota.by is By.GROUP and quota.subject != quotas.EACH:
        check_label("group", quota.subject)
    for what, value in (("cpu", quota.cpu_seconds), ("wall", quota.wall_seconds), ("units", quota.units)):
        if value is not None and not (math.isfinite(value) and 0 <= value < 2**53):
            raise BadRequest(what=what, detail=f"{value} is no limit")
