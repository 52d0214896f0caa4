# SPDX-License-Identifier: BSD-3-Clause
"""Keeps a node's revocations current: fetched from the CDA, and at once when this daemon's own CDA publishes them."""

from __future__ import annotations

import asyncio
import contextlib

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.tls import Trust
from xos.dixi.errors import UnknownService
from xos.dixi.hosting import Bus

log = get_logger("xos.dixi.revocation")

TOPIC = "vom.crl"
"""Events on it mean: there are new revocations."""


async def keep_revocations(bus: Bus, trust: Trust, seconds: float) -> None:
    """Fetch the CRL every *seconds* and whenever an event on `TOPIC` says so, until cancelled."""
    events = bus.subscribe(TOPIC)
    try:
        while True:
            await _fetch(bus, trust)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await events.get()
    finally:
        bus.unsubscribe(TOPIC, events)


async def _fetch(bus: Bus, trust: Trust) -> None:
    try:
        trust.set_crl(await bus.caller("CDA").call("CDA.revocations", (), bytes, deadline=10.0, retry=True))
    except UnknownService:
        log.debug("revocations.no-cda")
    except XosError as error:
        log.warning("revocations.not-fetched", code=error.code, detail=error.message)
