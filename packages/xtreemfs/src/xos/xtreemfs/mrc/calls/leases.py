# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories, and what their holders did."""

from __future__ import annotations

import errno

from xos.common.signing import Signed
from xos.xtreemfs.api import MOST_BATCH, Applied, Ask, Lease, Outcome, Reserve
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc.calls.base import Calls

MOST_LEASES = 4096
"""Of a session, asked about at once."""


class LeaseCalls(Calls):
    """See `MRC`."""

    async def lease(self, directory: int, ask: Ask) -> Lease | None:
        """See `MRC.lease`."""
        self.desk.session(ask.session, f"lease of {directory}")
        return None

    async def reserve(self, lease: int, ask: Ask) -> Reserve | None:
        """See `MRC.reserve`."""
        self.desk.session(ask.session, f"lease {lease}")
        raise Refused.of(errno.ESTALE, f"lease {lease}")

    async def hold(self, session: str, leases: list[int]) -> list[int]:
        """See `MRC.hold`."""
        await self.store.settled()
        self.desk.session(session, "session")
        if len(leases) > MOST_LEASES:
            raise Refused.of(errno.E2BIG, "hold")
        return []

    async def apply(
        self,
        changes: list[Applied],
        reserves: list[Signed],
        give_back: list[int],
        ask: Ask,
        durable: bool = False,  # noqa: ARG002 -- nobody has a lease yet
    ) -> list[Outcome]:
        """See `MRC.apply`."""
        self.desk.session(ask.session, "apply")
        if max(len(changes), len(reserves), len(give_back)) > MOST_BATCH:
            raise Refused.of(errno.E2BIG, "apply")
        if changes:
            raise Refused.of(errno.ENOSYS, "apply")
        return []
