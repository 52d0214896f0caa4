# SPDX-License-Identifier: BSD-3-Clause
"""Usage records for Accounting to fetch. They follow from the units' directories, which the Execution Manager keeps.

It reads them only, so the two need know nothing of each other; what is cleaned away meanwhile is no longer told.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec

from xos.aem.execution.orders import read_job
from xos.aem.execution.unitdir import UnitDirs, is_unit_id, unit_of
from xos.aem.execution.usage import record_of
from xos.common.errors import UNDECODABLE, XosError
from xos.common.signing import Signed, sign
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom.api import USAGE_PURPOSE, UsageRecord, UsageSpool
from xos.vom.errors import Forbidden
from xos.vom.policy import CORE_ROLE

MOST = 1000


class SpoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.UsageSpool.settings]``."""

    directory: str = "ExecutionManager"
    """Of the Execution Manager; relative to the directory that holds the services' own."""


class UsageSpoolService(Hosted[SpoolSettings], UsageSpool):
    """See the module."""

    settings_type = SpoolSettings

    async def usage_since(self, since: float = 0.0, after: str = "", limit: int = 200) -> list[Signed]:
        """See `UsageSpool.usage_since`. Raises `Forbidden`."""
        caller = current_call().caller
        if CORE_ROLE not in caller.roles and caller.name != self.host.node:
            what = "fetch the usage records of a node"
            raise Forbidden(caller=str(caller), act=what, allowed="core machines")
        found = await asyncio.to_thread(self._records, since, after, min(max(limit, 1), MOST))
        credential = self.host.credential
        return [sign(msgspec.msgpack.encode(one), credential, purpose=USAGE_PURPOSE) for one in found]

    def _records(self, since: float, after: str, limit: int) -> list[UsageRecord]:
        root, found = self.host.data.parent / self.settings.directory, list[UsageRecord]()
        dirs = UnitDirs(root, root)
        names = {entry.name for place in (dirs.live, dirs.ended) if place.is_dir() for entry in place.iterdir()}
        for name in sorted(name for name in names if name > after and is_unit_id(name)):
            record = self._record(dirs, name)
            if record is not None and record.ended >= since:
                found.append(record)
            if len(found) == limit:
                break
        return found

    def _record(self, dirs: UnitDirs, unit_id: str) -> UsageRecord | None:
        """The record of a unit that has ended; None when it has not, never ran, or can no longer be read."""
        facts = dirs.facts(unit_id)
        if facts is None or facts.exit is None:
            return None
        with contextlib.suppress(XosError, *UNDECODABLE):
            job, description = read_job(facts.accepted.order)
            unit = unit_of(facts, self.host.node)
            return record_of(facts.accepted, description, unit, submitted=job.submitted, now=time.time())
        return None
