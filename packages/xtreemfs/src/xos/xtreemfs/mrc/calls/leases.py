# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories, and what their holders did."""

from __future__ import annotations

import asyncio
import errno

import sqlalchemy as sa

from xos.common.signing import Signed
from xos.dixi.api import current_call
from xos.xtreemfs.api import MOST_BATCH, MOST_RESERVED, Access, Applied, Ask, Changed, Gone, Lease, Outcome, Reserve
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import batches, leases, rows
from xos.xtreemfs.mrc.batches import Asked, Done
from xos.xtreemfs.mrc.calls.base import entry, node
from xos.xtreemfs.mrc.calls.files import FileCalls
from xos.xtreemfs.mrc.contents import Grant, Place
from xos.xtreemfs.mrc.desk import Live
from xos.xtreemfs.mrc.leases import Granted, Kept
from xos.xtreemfs.mrc.leasing import Held
from xos.xtreemfs.mrc.reserves import Reserves
from xos.xtreemfs.mrc.values import Refusal, Result, Who

MOST_LEASES = 4096
"""Of a session."""


class LeaseCalls(FileCalls):
    """See `MRC`. `MrcService.start` sets these."""

    reserves: Reserves

    async def lease(self, directory: int, ask: Ask) -> Lease | None:
        """See `MRC.lease`."""
        what = f"lease of {directory}"
        live, who = self.desk.session(ask.session, what), self.desk.who(ask.claim, what)
        await self.osds.ready()
        place, kept = self._place(), self.desk.leases.of(directory, ask.session)
        if kept is not None:
            return self._leased_now(await self.desk.write(what, lambda db: leases.again(db, who, kept, place)))
        if live.kept.volume in self.still or len(self.desk.leases.had_by(ask.session)) >= MOST_LEASES:
            return None
        held = self.desk.leases.begin(directory, ask.session, live.kept.volume)
        if held is None:
            return None

        # A caller that is gone meanwhile does not leave it half given.
        granting = asyncio.ensure_future(self._grant(what, held, who, place))
        granted = await asyncio.shield(granting)
        return None if granted is None else self._leased_now(granted)

    async def reserve(self, lease: int, ask: Ask) -> Reserve | None:
        """See `MRC.reserve`."""
        what = f"lease {lease}"
        self.desk.session(ask.session, what)
        who, kept = self.desk.who(ask.claim, what), self._had(ask.session, {lease})
        if not kept:
            raise Refused.of(errno.ESTALE, what)
        await self.osds.ready()
        place = self._place()

        def reserve(db: sa.Connection) -> Result[Grant | None]:
            home = rows.whole(db, kept[0].directory)
            return Refusal(errno.ESTALE) if home is None else leases.reserve(db, who, home, place)

        grant = await self.desk.write(what, reserve)
        return None if grant is None else self._reserve(grant)

    async def hold(self, session: str, leases: list[int]) -> list[int]:
        """See `MRC.hold`."""
        await self.store.settled()
        self.desk.session(session, "session")
        if len(leases) > MOST_LEASES:
            raise Refused.of(errno.E2BIG, "hold")
        return [kept.id for kept in self._had(session, set(leases))]

    async def apply(
        self, changes: list[Applied], reserves: list[Signed], give_back: list[int], ask: Ask, durable: bool = False
    ) -> list[Outcome]:
        """See `MRC.apply`."""
        live = self.desk.session(ask.session, "apply")
        if max(len(changes), len(reserves)) > MOST_BATCH or len(give_back) > MOST_LEASES:
            raise Refused.of(errno.E2BIG, "apply")
        asked = self._asked(changes, reserves, ask, live)

        def work(db: sa.Connection, who: Who, now: int) -> Result[Done]:  # noqa: ARG001 -- each change has its own
            return batches.apply(db, asked._replace(now=now), give_back)

        names = {one.directory for change in changes if (one := change.made or change.gone) is not None}
        done = await self.desk.change(ask, Done, "apply", work, names=names)
        self.desk.leases.ended(ask.session, give_back)
        self._heard(done, changes, ask)
        if durable:
            await self.store.sync()
        return done.outcomes

    # --- parts

    def _had(self, session: str, numbers: set[int]) -> list[Kept]:
        return [kept for kept in self.desk.leases.had_by(session) if kept.id in numbers]

    async def _grant(self, what: str, held: Held, who: Who, place: Place) -> Granted | None:
        directory, session = held.directory, held.session

        def grant(db: sa.Connection) -> Result[Granted | None]:
            return leases.grant(db, who, directory, session, held.volume, place)

        granted = None
        try:
            granted = await self.desk.write(what, grant)
            if granted is not None and session not in self.desk.live:  # it ended meanwhile
                number = granted.id
                granted = None
                await self.store.write(lambda db: leases.end(db, session, [number]))
        finally:
            if granted is None:
                self.desk.leases.not_given(held)
        if granted is not None:
            self.desk.leases.given(held, granted.id)
        return granted

    def _leased_now(self, granted: Granted) -> Lease:
        reserve = None if granted.reserve is None else self._reserve(granted.reserve)
        return Lease(granted.id, granted.directory, reserve)

    def _reserve(self, grant: Grant) -> Reserve:
        capability = self.desk.capability(grant, current_call().caller, MOST_RESERVED)
        return Reserve(grant.inode.id, MOST_RESERVED, capability)

    def _asked(self, changes: list[Applied], reserves: list[Signed], ask: Ask, live: Live) -> Asked:
        holder, now = str(current_call().caller), self.desk.clock()
        shown = [self.reserves.read(signed, holder, now) for signed in reserves]
        known = [one for one in shown if one is not None]
        if len(known) < len(shown):
            raise Refused.of(errno.EACCES, "apply: a reserve")
        claims = {one.claim for change in changes if (one := change.made or change.gone) is not None}
        whos = {claim: self.desk.who(claim, "apply") for claim in claims}
        return Asked(ask.session, live.kept.volume, changes, known, whos, self.osds.may_hold, 0)

    def _heard(self, done: Done, changes: list[Applied], ask: Ask) -> None:
        """Others have something that is old now, and OSDs something to delete."""
        told: list[Changed] = []
        for change, outcome in zip(changes, done.outcomes, strict=True):
            one = change.made or change.gone
            if one is None or outcome.errno or outcome.inode is None:
                continue
            told.append(entry(one.directory, one.name))
            if isinstance(one, Gone):
                told.append(node(outcome.inode))
            elif outcome.handle and one.access & Access.WRITE:
                self.settling.opened(ask.session, outcome.handle, outcome.inode.id)
        directories = {change.inode for change in told if change.name}
        self.desk.tell(ask, *told, *map(node, directories))
        if done.deleted:
            self.chores.look()
