# SPDX-License-Identifier: BSD-3-Clause
"""Takes what nodes report of their units; acknowledged when it is on disk."""

from __future__ import annotations

import time
from functools import partial

import sqlalchemy as sa

from xos.aem.api import State, Unit
from xos.aem.jobs.dispatcher import Dispatcher
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import Reported, job_of
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.store import read_job
from xos.common.log import get_logger
from xos.common.storage import Store

log = get_logger("xos.aem.jobs.reports")


class Reports:
    """What stands behind ``report``."""

    def __init__(self, store: Store, registry: Registry, ledger: Ledger, dispatcher: Dispatcher) -> None:
        self._store, self._registry, self._ledger, self._dispatcher = store, registry, ledger, dispatcher

    async def take(self, node: str, units: list[Unit]) -> None:
        """*node* says how *units* of its stand; returns when that is on disk. Raises what `Store.write` does."""
        now = time.time()
        for unit in units:
            job_id, index = job_of(unit.unit_id)
            job = self._registry.apply(job_id, Reported(node, unit, now))
            if job is None:
                known = await self._store.read(partial(_unit, job_id, index))
            else:
                known = job.units[index] if 0 <= index < len(job.units) else None
            self._check(node, unit, known)
        await self._ledger.barrier()

    def _check(self, node: str, said: Unit, known: Unit | None) -> None:
        """A report of what this Job Manager knows otherwise is acknowledged, so that it is not repeated for ever."""
        if known is None or known.unit_id != said.unit_id or known.node != node:
            log.warning("report.unknown", unit=said.unit_id, peer_node=node, state=said.state.value)
        elif known.state.ended and said.state in (State.SCHEDULED, State.RUNNING):
            log.warning("report.late", unit=said.unit_id, peer_node=node, state=said.state.value)
            self._dispatcher.kill_stray(said.unit_id, node)


def _unit(job_id: str, index: int, connection: sa.Connection) -> Unit | None:
    job = read_job(connection, job_id)
    return job.units[index] if job is not None and 0 <= index < len(job.units) else None
