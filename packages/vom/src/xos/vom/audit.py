# SPDX-License-Identifier: BSD-3-Clause
"""Audit: the trail of administrative acts, and the chains, as a service."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.common.errors import UNDECODABLE, XosError
from xos.common.signing import Signed, verify_signed
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom.api import HEAD_PURPOSE, Audit, Certification, Entry, Head, Link, Log
from xos.vom.callers import authorise
from xos.vom.core import VomCore
from xos.vom.errors import BadRequest, ForeignHead
from xos.vom.policy import Act
from xos.vom.records import chain, trail
from xos.vom.records.heads import Keeper
from xos.vom.records.store import CERTIFICATIONS
from xos.vom.sharing import VomSettings, release, share

MOST_LISTED = 1000
MOST_CERTIFICATIONS = 100

_signed = msgspec.msgpack.Decoder(Signed)
_head = msgspec.msgpack.Decoder(Head)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.Audit.settings]``."""


class AuditService(Hosted[Settings], Audit):
    """Audit over a `VomCore`; signs the heads of the chains."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)
        self.keeper = Keeper(self.core, self.host)
        self.host.spawn(self.keeper.run(), name="heads")

    async def stop(self) -> None:
        """Sign what came last, and leave the core."""
        await self.keeper.look()
        await release(self.core)

    async def trail(
        self, vo: str = "", before: int = 0, limit: int = 100, who: str = "", act: str = "", target: str = ""
    ) -> list[Entry]:
        """See `Audit.trail`. Raises `Forbidden`, `BadName`, `BadRequest`."""
        await authorise(self.core, Act.SEE_TRAIL if vo else Act.SEE_ALL_TRAILS, vo)
        most = _bounded(limit)
        return await self.core.store.read(
            lambda c: trail.read(c, vo=vo, before=before, limit=most, who=who, act=act, target=target)
        )

    async def head(self, log: Log) -> Head:
        """See `Audit.head`: it tells nothing but how many entries there are."""
        now = self.core.now()
        return await self.core.store.read(lambda connection: chain.head(connection, log, now))

    async def links(self, log: Log, after: int = 0, limit: int = 1000) -> list[Link]:
        """See `Audit.links`. Raises `Forbidden`, `BadRequest`."""
        await authorise(self.core, Act.SEE_CHAIN)
        most = _bounded(limit)
        return await self.core.store.read(lambda connection: chain.links(connection, log, after, most))

    async def certifications(self, log: Log) -> list[Certification]:
        """See `Audit.certifications`."""

        def read(connection: sa.Connection) -> list[tuple[str, bytes]]:
            query = (
                sa.select(CERTIFICATIONS.c.by, CERTIFICATIONS.c.signed)
                .where(CERTIFICATIONS.c.log == log.value)
                .order_by(CERTIFICATIONS.c.number.desc())
                .limit(MOST_CERTIFICATIONS)
            )
            return [(row.by, row.signed) for row in connection.execute(query)]

        found = [(by, _signed.decode(signed)) for by, signed in await self.core.store.read(read)]
        return [Certification(signed, by, _head.decode(signed.payload)) for by, signed in found]

    async def certify(self, head: Signed) -> Certification:
        """See `Audit.certify`. Raises `ForeignHead`, `Forbidden`."""
        caller = current_call().caller
        # Whoever certifies a chain of all VOs vouches for digests only: administrators of any VO may.
        await authorise(self.core, Act.CERTIFY, caller.vo)
        now = self.core.now()
        try:
            signer = verify_signed(head, self.host.trust, purpose=HEAD_PURPOSE, at=now)
            told = _head.decode(head.payload)
        except (XosError, *UNDECODABLE) as error:
            raise ForeignHead(log="?", detail=str(error)) from error
        if (signer.kind, signer.vo, signer.name) != (caller.kind, caller.vo, caller.name):
            raise ForeignHead(log=told.log.value, detail=f"signed by {signer}, not by {caller}")
        noted = trail.acting(now, "head-certified", vo=caller.vo, target=told.log.value, number=told.number)
        row = {"log": told.log.value, "number": told.number, "by": str(caller), "signed": msgspec.msgpack.encode(head)}

        def write(connection: sa.Connection) -> bool:
            if told.number < 1 or chain.digest_at(connection, told.log, told.number) != told.digest:
                return False
            same = sa.and_(*(CERTIFICATIONS.c[name] == row[name] for name in ("log", "number", "by")))
            if not connection.scalar(sa.select(sa.func.count()).select_from(CERTIFICATIONS).where(same)):
                connection.execute(CERTIFICATIONS.insert(), row)
                noted(connection)
            return True

        if not await self.core.store.write(write):
            raise ForeignHead(log=told.log.value, detail=f"entry {told.number} is not what it says")
        return Certification(head, str(caller), told)


def _bounded(limit: int) -> int:
    if limit < 1:
        raise BadRequest(what="limit", detail="at least 1")
    return min(limit, MOST_LISTED)
