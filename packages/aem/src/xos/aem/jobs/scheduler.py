# SPDX-License-Identifier: BSD-3-Clause
"""Gives waiting jobs to nodes: woken by events (a job came, a slot is free, a node came or left), it never polls.

A job is placed in two steps. First each chosen node holds a slot (`ResourceManager.reserve`); when one refuses, the
others are released and the job waits on, in its old place. Then the job is SCHEDULED with its nodes; when that is
on disk, the dispatcher starts the units. A job of one unit skips the first step on nodes that nobody else is known
to use: there this Job Manager's own count of slots is right, and starting a unit takes its slot anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any, Protocol

import msgspec

from xos.aem.api import State
from xos.aem.jobs.lifecycle import Assigned, Denied, Job, cleaned
from xos.aem.jobs.nodes import Pool
from xos.aem.jobs.permits import Permits, is_final
from xos.aem.jobs.placement import NAMED, Claim, Queue, Shape, Waiting, explain, fits, plan
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.settings import Settings
from xos.aem.xati import ResourceManagerAsync
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Bus

log = get_logger("xos.aem.jobs.scheduler")

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds until VOPS is asked again when it did not answer."""
MOST_ASKED = 1000
"""Nodes in one question to VOPS."""
CALL_SECONDS = 5.0
"""Deadline of a call to a node; one that is slower counts as silent."""


class Spawn(Protocol):
    """`Host.spawn`."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run *work* in the background."""
        ...


class Trouble(Protocol):
    """Hears of a node that did not do as asked."""

    def __call__(self, name: str, error: XosError) -> None:
        """Node *name* answered a call with *error*, or did not answer."""
        ...


def shape_of(job: Job) -> Shape:
    """What a job asks for."""
    return Shape(job.needs, len(job.units))


class Scheduler:
    """The queue of waiting jobs and the loop that empties it."""

    def __init__(
        self,
        bus: Bus,
        registry: Registry,
        pool: Pool,
        permits: Permits | None,
        settings: Settings,
        *,
        spawn: Spawn,
        trouble: Trouble,
        looked: Callable[[], None],
    ) -> None:
        """*looked* is called after each round: reasons may have changed. *permits*: None in a grid without VOPS."""
        self._bus, self._registry, self._pool, self._settings = bus, registry, pool, settings
        self._permits = permits
        self._allowed: dict[str, tuple[str, ...]] = {}
        """Jobs that the VO's policies let run on some nodes only."""
        self._away = ""
        """What VOPS's silence looks like; no job is placed until it is asked again."""
        self._pause = FIRST_PAUSE
        self._spawn, self._trouble, self._looked = spawn, trouble, looked
        self._queue = Queue()
        self._claim: Claim | None = None
        self._since: dict[str, float] = {}
        self._event = asyncio.Event()
        self._reasons: dict[tuple[Shape, Claim | None], str] = {}
        self._reasons_at = (0, 0)

    def __len__(self) -> int:
        return len(self._queue)

    def wake(self) -> None:
        """Something has changed that may let a job start."""
        self._event.set()

    def enqueue(self, job: Job) -> None:
        """A job waits from now on (or again: it keeps its place and the time it has waited)."""
        since = self._since.setdefault(job.job_id, asyncio.get_running_loop().time())
        self._queue.add(self._shape(job), Waiting(job.job_id, job.sequence, since))
        self._event.set()

    def changed(self, before: Job, after: Job) -> None:
        """A job has changed: a slot may be free, or it waits no more."""
        if after.state is not State.PENDING:
            self._queue.remove(after.job_id)
            self._since.pop(after.job_id, None)
            self._allowed.pop(after.job_id, None)
        for old, new in zip(before.units, after.units, strict=True):
            if old is not new and new.node:
                self._pool.refresh(new.node)
                if new.state.ended:
                    self._event.set()

    def reason(self, job: Job) -> str:
        """Why a job waits: for resources, or for a node that has been told of it and is silent; empty when it runs."""
        if job.state is not State.PENDING:
            nodes = (self._pool.get(unit.node) for unit in job.units if unit.state is State.SCHEDULED)
            return "; ".join(f"{node.name} {node.closed}" for node in islice((n for n in nodes if n.closed), NAMED))
        if self._away:
            return f"waits for VOPS, which decides by the VO's policies: {self._away}"
        claim = None if self._claim is not None and self._claim.job_id == job.job_id else self._claim
        at = (self._pool.version, len(self._queue))
        if at != self._reasons_at:
            self._reasons, self._reasons_at = {}, at
        key = self._shape(job), claim
        if key not in self._reasons:
            self._reasons[key] = explain(key[0], self._pool.views(), waiting=len(self._queue), claim=claim)
        return self._reasons[key]

    async def run(self) -> None:
        """Place jobs until cancelled."""
        while True:
            await self._event.wait()
            self._event.clear()
            self.round()
            self._looked()

    def round(self) -> None:
        """Place what can be placed now."""
        if self._away:
            return
        now = asyncio.get_running_loop().time()
        decided = plan(self._queue.groups, self._pool.views(), now=now, patience=self._settings.patience_seconds)
        self._claim = decided.claim
        for job_id, nodes in decided.placed:
            self._queue.remove(job_id)
            self._pool.hold(nodes, 1)
            self._spawn(self._place(job_id, nodes), name=f"place {job_id}")

    async def _place(self, job_id: str, nodes: tuple[str, ...]) -> None:
        try:
            job = self._registry.get(job_id)
            if job is None or not await self._permitted(job, nodes) or not await self._reserve(job, nodes):
                return
            after = self._registry.apply(job_id, Assigned(nodes))
            if after is None or after.units[0].node != nodes[0]:  # cancelled meanwhile
                self._release(job, nodes)
        finally:
            self._pool.hold(nodes, -1)
            self._again(job_id)

    def _again(self, job_id: str) -> None:
        """A job that is still PENDING after the attempt goes back to its place in the queue."""
        job = self._registry.get(job_id)
        if job is not None and job.state is State.PENDING:
            self.enqueue(job)

    def _shape(self, job: Job) -> Shape:
        """What the job asks for, on nodes that the VO's policies allow."""
        shape, allowed = shape_of(job), self._allowed.get(job.job_id)
        if allowed is None:
            return shape
        return Shape(msgspec.structs.replace(shape.needs, hosts=allowed), shape.count)

    async def _permitted(self, job: Job, nodes: tuple[str, ...]) -> bool:
        """Whether VOPS allows the job on *nodes*; if not, it goes elsewhere, ends, or waits until VOPS answers."""
        if self._permits is None:
            return True
        try:
            permit = await self._permits.ask(job, nodes)
            if permit.nodes.issuperset(nodes):
                self._answers()
                return True
            fitting = (name for name, view in self._pool.views().items() if fits(view.resource, job.needs))
            permit = await self._permits.ask(job, tuple(islice(fitting, MOST_ASKED)))
        except XosError as error:
            if is_final(error):
                self._registry.apply(job.job_id, Denied(f"VO policy: {error.message}", time.time()))
            else:
                self._silent(error)
            return False
        self._answers()
        if len(permit.nodes) < len(job.units):
            some = f" ({len(permit.nodes)} of {len(job.units)} nodes allowed)" if permit.nodes else ""
            self._registry.apply(job.job_id, Denied(permit.reason() + some, time.time()))
        else:
            self._allowed[job.job_id] = tuple(sorted(permit.nodes))
        return False

    def _answers(self) -> None:
        self._pause = FIRST_PAUSE

    def _silent(self, error: XosError) -> None:
        """VOPS did not answer: all jobs wait, and one of them asks again a little later."""
        if not self._away:
            log.warning("vops.away", code=error.code, detail=error.message, pause=self._pause)
            self._away = cleaned(error.message)
            asyncio.get_running_loop().call_later(self._pause, self._ask_again)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _ask_again(self) -> None:
        self._away = ""
        self._event.set()

    async def _reserve(self, job: Job, nodes: tuple[str, ...]) -> bool:
        """Hold a slot on every node, or on none."""
        if len(nodes) == 1 and not self._pool.get(nodes[0]).shared:
            return True
        held = await asyncio.gather(
            *(self._reserve_one(job, unit.unit_id, node) for unit, node in zip(job.units, nodes, strict=True))
        )
        if all(held):
            return True
        self._release(job, tuple(node if got else "" for node, got in zip(nodes, held, strict=True)))
        return False

    async def _reserve_one(self, job: Job, unit_id: str, node: str) -> bool:
        manager = ResourceManagerAsync(self._bus, node)
        try:
            await manager.reserve(unit_id, job.needs, self._settings.reserve_seconds, deadline=CALL_SECONDS)
        except XosError as error:
            self._trouble(node, error)
            return False
        return True

    def _release(self, job: Job, nodes: tuple[str, ...]) -> None:
        """Give the slots back of the units whose node is named."""
        for unit, node in zip(job.units, nodes, strict=True):
            if node:
                self._spawn(self._release_one(unit.unit_id, node), name=f"release {unit.unit_id}")

    async def _release_one(self, unit_id: str, node: str) -> None:
        try:
            await ResourceManagerAsync(self._bus, node).release(unit_id, deadline=CALL_SECONDS)
        except XosError as error:
            # The reservation runs out by itself.
            log.info("release.failed", unit=unit_id, peer_node=node, code=error.code)
