# SPDX-License-Identifier: BSD-3-Clause
"""Past requests: kept to try drafts on. Written in batches a moment later: a crash may lose the last of them."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import msgspec
import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.identity import Identity
from xos.common.log import get_logger
from xos.common.policy import Action, Decision, JobContext, LoginContext, NodeAttributes, PolicySet, Request
from xos.vom.api import Changed, DryRun, PastRequest
from xos.vom.core import VomCore
from xos.vom.records.store import REQUESTS

SECONDS = 0.25
BATCH = 2000
WAITING = 20_000
MOST_CHANGED = 200
TIDY_SECONDS = 600.0

log = get_logger(__name__)


class Asked(msgspec.Struct, array_like=True, frozen=True):
    """A request as it is kept. Positional: new fields only at the end."""

    principal: Identity
    action: Action
    node: NodeAttributes
    job: JobContext | None = None
    login: LoginContext | None = None

    def request(self) -> Request:
        """As the engine takes it."""
        return Request(self.principal, self.action, self.node, self.job or self.login or JobContext())


_asked = msgspec.msgpack.Decoder(Asked)


class Past:
    """Writes down what was asked and what was said."""

    def __init__(self, core: VomCore, keep_days: float) -> None:
        self._core, self._keep = core, keep_days * 86400
        self._writing = asyncio.Lock()
        self._waiting: deque[dict[str, object]] = deque(maxlen=WAITING)

    def note(self, asked: Asked, decision: Decision, now: float) -> None:
        """Remember one decision."""
        self._waiting.append(
            {
                "vo": asked.principal.vo,
                "at": now,
                "request": msgspec.msgpack.encode(asked),
                "allowed": decision.allowed,
                "reason": decision.explain()[:500],
            }
        )

    async def run(self) -> None:
        """Write and tidy, until cancelled."""
        since_tidied = 0.0
        while True:
            await asyncio.sleep(SECONDS)
            since_tidied += SECONDS
            try:
                await self.flush()
                if since_tidied >= TIDY_SECONDS:
                    since_tidied, before = 0.0, self._core.now() - self._keep
                    await self._core.store.write(partial(_tidy, before))
            except XosError as error:
                log.warning("requests-not-kept", code=error.code, waiting=len(self._waiting))

    async def flush(self) -> None:
        """Write what waits; when this returns, everything noted before is on disk."""
        async with self._writing:
            while self._waiting:
                rows = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                try:
                    await self._core.store.write(partial(_insert, rows))
                except XosError:
                    self._waiting.extendleft(reversed(rows))
                    raise


def _insert(rows: list[dict[str, object]], connection: sa.Connection) -> None:
    connection.execute(REQUESTS.insert(), rows)


def _tidy(before: float, connection: sa.Connection) -> None:
    connection.execute(REQUESTS.delete().where(REQUESTS.c.at < before))


Kept = tuple[PastRequest, Asked]


def read(connection: sa.Connection, vo: str, before: int, limit: int, since: float = 0.0) -> list[Kept]:
    """Past requests, the newest first."""
    query = sa.select(REQUESTS).where(REQUESTS.c.vo == vo, REQUESTS.c.at >= since)
    if before:
        query = query.where(REQUESTS.c.number < before)
    query = query.order_by(REQUESTS.c.number.desc()).limit(limit)
    return [_kept(row) for row in connection.execute(query)]


def _kept(row: sa.Row[tuple[object, ...]]) -> Kept:
    fields = row._mapping  # noqa: SLF001 -- SQLAlchemy's public name for it
    asked = _asked.decode(fields["request"])
    told = PastRequest(
        fields["number"],
        fields["vo"],
        fields["at"],
        str(asked.principal),
        asked.action,
        asked.node.name,
        bool(fields["allowed"]),
        fields["reason"],
    )
    return told, asked


def try_on(draft: PolicySet, requests: list[Kept]) -> DryRun:
    """What *draft* says to the same requests. Takes about 0.2 ms each with 200 rules."""
    changed: list[Changed] = []
    allowed = differing = 0
    for told, asked in requests:
        decision = draft.decide(asked.request())
        allowed += decision.allowed
        if decision.allowed != told.allowed:
            differing += 1
            if len(changed) < MOST_CHANGED:
                changed.append(Changed(told, decision.allowed, decision.explain()))
    return DryRun(len(requests), allowed, tuple(changed), differing)
