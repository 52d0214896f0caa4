# SPDX-License-Identifier: BSD-3-Clause
"""Tells nodes to start and to kill units, once what they are told is on disk.

Nothing is sent twice by a loop of its own: an order that a node may not have got makes the node *troubled*, and
asking a troubled node how its units stand (`Dispatcher.reconcile`) sends whatever it lacks. The same happens when a
node comes back, and to every node when the Job Manager itself does. A unit is only ever sent to the node that is on
disk for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable

from xos.aem.api import State, Unit, UnitOrder
from xos.aem.errors import AemError, NoSlot, RulingNeeded, UnitRefused
from xos.aem.jobs.hints import Hints
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import Job, NeverStarted, Refused, Reported, cleaned, job_of
from xos.aem.jobs.orders import Orders
from xos.aem.jobs.permits import Permits, is_final
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.scheduler import CALL_SECONDS, Spawn, Trouble
from xos.aem.xati import ExecutionManagerAsync
from xos.common.errors import InternalError, RemoteError, XosError
from xos.common.log import get_logger
from xos.common.signing import Signed
from xos.dixi.errors import BadArguments
from xos.dixi.hosting import Bus

log = get_logger("xos.aem.jobs.dispatcher")

ASKED = 500
"""Units in one call of `ExecutionManager.units`."""
VOPS_PAUSE = 2.0
"""Seconds until VOPS is asked again when it did not answer."""
AT_ONCE = 32
"""Calls to one node at a time while it is reconciled."""
_ABOUT_THE_UNIT = (AemError, BadArguments, InternalError, RemoteError)


def may_pass(error: XosError) -> bool:
    """Whether the unit is as good as before: what the node said (or did not say) is not about this unit.

    A node answers with an `AemError` when it will not run this very unit. Everything else (no connection, a certificate
    of one of the two machines, a full disk) is the node's trouble or ours, and the order is sent again later.
    """
    return isinstance(error, NoSlot | RulingNeeded) or not isinstance(error, _ABOUT_THE_UNIT)


class Dispatcher:
    """Sends orders to Execution Managers."""

    def __init__(
        self,
        bus: Bus,
        node: str,
        registry: Registry,
        ledger: Ledger,
        orders: Orders,
        permits: Permits | None,
        hints: Hints,
        *,
        spawn: Spawn,
        trouble: Trouble,
    ) -> None:
        """*node* is the Job Manager's own, where reports are wanted; *permits*: None in a grid without VOPS."""
        self._permits, self._hints = permits, hints
        self._bus, self._node, self._registry, self._ledger, self._orders = bus, node, registry, ledger, orders
        self._spawn, self._trouble = spawn, trouble
        self._strays: dict[str, set[str]] = {}

    def durable(self, before: Job, after: Job) -> None:
        """A change is on disk: send what follows from it."""
        if after.state.ended:
            return
        if after.ending is not None:
            if before.ending is None:
                for unit in after.units:
                    if not unit.state.ended:
                        self._send(self._kill(unit.unit_id, unit.node), unit.unit_id, unit.node)
            return
        placed = [
            new
            for old, new in zip(before.units, after.units, strict=True)
            if old.state is State.PENDING and new.state is State.SCHEDULED
        ]
        if placed:
            self._hints.placed(after.job_id, [unit.node for unit in placed])
        for unit in placed:
            self._send(self._start(unit.unit_id, unit.node), unit.unit_id, unit.node)

    def stray(self, unit_id: str, node: str) -> None:
        """*node* may run a unit that counts as ended: it is killed when the node is next reconciled."""
        if unit_id not in self._strays.setdefault(node, set()):
            self._strays[node].add(unit_id)
            self._ledger.stray(unit_id, node)

    def kill_stray(self, unit_id: str, node: str) -> None:
        """As `stray`, of a node that has just been heard: it is killed now."""
        self.stray(unit_id, node)
        self._send(self._kill_stray(unit_id, node), unit_id, node)

    def recover(self, strays: dict[str, str]) -> None:
        """Take over what an earlier life remembered of strays."""
        for unit_id, node in strays.items():
            self._strays.setdefault(node, set()).add(unit_id)

    def strays_on(self, node: str) -> list[str]:
        """The strays that a node may run."""
        return sorted(self._strays.get(node, ()))

    async def reconcile(self, node: str) -> None:
        """Ask a node how its units stand, believe it, and send what it lacks. Raises what its calls raise."""
        await self._ledger.barrier()
        units = [unit for unit_id in self._registry.units_on(node) if (unit := self._unit(unit_id)) is not None]
        for start in range(0, len(units), ASKED):
            await self._reconcile_some(node, units[start : start + ASKED])
        await _several(self._kill_stray(unit_id, node) for unit_id in self.strays_on(node))

    async def _reconcile_some(self, node: str, asked: list[Unit]) -> None:
        manager = ExecutionManagerAsync(self._bus, node)
        said = await manager.units([unit.unit_id for unit in asked], deadline=CALL_SECONDS)
        known = {unit.unit_id: unit for unit in said}
        work: list[Awaitable[None]] = []
        for unit in asked:
            report = known.get(unit.unit_id)
            if report is not None:
                self._registry.apply_to_unit(unit.unit_id, Reported(node, report, time.time()))
            job = self._registry.get(job_of(unit.unit_id)[0])
            now = self._unit(unit.unit_id)
            if job is None or now is None or now.state.ended:
                continue
            if job.ending is not None:
                work.append(self._kill(unit.unit_id, node))
            elif report is None and unit.state is State.SCHEDULED:
                work.append(self._start(unit.unit_id, node))
            elif report is None:
                # It was running there. To start it again could be to run it twice.
                self._refused(unit.unit_id, node, f"{node} has lost its records of the unit")
        await _several(work)

    def _send(self, work: Awaitable[None], unit_id: str, node: str) -> None:
        self._spawn(self._tried(work, node), name=f"send {unit_id}")

    async def _tried(self, work: Awaitable[None], node: str) -> None:
        try:
            await work
        except XosError as error:
            self._trouble(node, error)

    def _unit(self, unit_id: str) -> Unit | None:
        job_id, index = job_of(unit_id)
        job = self._registry.get(job_id)
        return None if job is None else job.units[index]

    async def _start(self, unit_id: str, node: str) -> None:
        """Send a start order. Raises when it may pass; else the unit has failed."""
        job_id, index = job_of(unit_id)
        signed = await self._orders.get(job_id)
        job = self._registry.get(job_id)
        if job is None or job.ending is not None or job.units[index].state is not State.SCHEDULED:
            return
        ruling, problem = await self._ruling(job, unit_id, node)
        if problem:
            self._refused(unit_id, node, problem)
            self.kill_stray(unit_id, node)
            return
        if ruling is None and self._permits is not None:
            return
        order = UnitOrder(unit_id, job_id, index, len(job.units), signed, self._node, ruling)
        try:
            await ExecutionManagerAsync(self._bus, node).start_unit(order, deadline=CALL_SECONDS)
        except XosError as error:
            if isinstance(error, RulingNeeded) and self._permits is not None:
                self._permits.renew(job_id)
            if may_pass(error):
                raise
            log.warning("unit.refused", job=job_id, unit=unit_id, peer_node=node, code=error.code)
            self._refused(unit_id, node, error.message)
            if not isinstance(error, UnitRefused):
                self.kill_stray(unit_id, node)

    async def _ruling(self, job: Job, unit_id: str, node: str) -> tuple[Signed | None, str]:
        """The ruling for the job's nodes, or why it may not run; neither when VOPS is away: then it is tried again."""
        if self._permits is None:
            return None, ""
        try:
            permit = await self._permits.ask(job, [unit.node for unit in job.units])
        except XosError as error:
            if is_final(error):
                return None, f"VO policy: {error.message}"
            log.warning("ruling.missing", unit=unit_id, code=error.code, detail=error.message)
            self._spawn(self._start_later(unit_id, node), name=f"ask again {unit_id}")
            return None, ""
        if node not in permit.nodes:
            return None, permit.reason()
        return permit.ruling, ""

    async def _start_later(self, unit_id: str, node: str) -> None:
        await asyncio.sleep(VOPS_PAUSE)
        await self._tried(self._start(unit_id, node), node)

    def _refused(self, unit_id: str, node: str, reason: str) -> None:
        self._registry.apply_to_unit(unit_id, Refused(unit_id, node, cleaned(reason), time.time()))

    async def _kill(self, unit_id: str, node: str) -> None:
        """Kill a unit of a job that is ending, and learn whether the node ever had it."""
        manager = ExecutionManagerAsync(self._bus, node)
        await manager.kill_unit(unit_id, deadline=CALL_SECONDS)
        said = await manager.units([unit_id], deadline=CALL_SECONDS)
        now = time.time()
        if said:
            self._registry.apply_to_unit(unit_id, Reported(node, said[0], now))
        else:
            self._registry.apply_to_unit(unit_id, NeverStarted(unit_id, node, now))

    async def _kill_stray(self, unit_id: str, node: str) -> None:
        await ExecutionManagerAsync(self._bus, node).kill_unit(unit_id, deadline=CALL_SECONDS)
        self._strays.get(node, set()).discard(unit_id)
        self._ledger.stray(unit_id, None)


async def _several(work: Iterable[Awaitable[None]]) -> None:
    """Do all of it, a bounded number at a time; then raise the first error, if any."""
    waiting = list(work)
    first: XosError | None = None
    for start in range(0, len(waiting), AT_ONCE):
        for result in await asyncio.gather(*waiting[start : start + AT_ONCE], return_exceptions=True):
            if isinstance(result, XosError):
                first = first or result
            elif isinstance(result, BaseException):
                raise result
    if first is not None:
        raise first
