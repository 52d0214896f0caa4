# SPDX-License-Identifier: BSD-3-Clause
"""Follows the nodes: who is up (the Directory tells), who answers, and who has been silent for too long."""

from __future__ import annotations

import asyncio
import random
import time

from xos.aem.errors import NoSlot
from xos.aem.jobs.dispatcher import Dispatcher
from xos.aem.jobs.lifecycle import NodeLost, cleaned
from xos.aem.jobs.nodes import Node, Pool
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.scheduler import CALL_SECONDS, Scheduler, Spawn
from xos.aem.jobs.settings import Settings
from xos.aem.xati import ResourceManagerAsync
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.directory import LEASE_SECONDS, NodeChange, NodeRecord
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected, UnknownService, WrongPeer
from xos.dixi.hosting import Bus
from xos.dixi.xati import DirectoryAsync

log = get_logger("xos.aem.jobs.tracker")

SERVICES = frozenset({"ExecutionManager", "ResourceManager"})
"""What a node that runs jobs offers."""
UNANSWERED = (ConnectionLost, DeadlineExceeded, NotConnected, UnknownService, WrongPeer)
"""With these a node has not answered; with any other error it has."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two attempts to reach a node."""


class Tracker:
    """Opens nodes for work when they answer, closes them when they do not, gives them up in the end."""

    def __init__(self, bus: Bus, registry: Registry, pool: Pool, settings: Settings, *, spawn: Spawn) -> None:
        self._bus, self._registry, self._pool, self._settings, self._spawn = bus, registry, pool, settings, spawn
        self._round = 0
        self._heard: dict[str, int] = {}

    def connect(self, dispatcher: Dispatcher, scheduler: Scheduler) -> None:
        """The two parts that in turn report trouble here."""
        self._dispatcher, self._scheduler = dispatcher, scheduler

    def recover(self) -> None:
        """Expect the nodes that have units of ours: from now on, their silence counts."""
        for name in self._registry.nodes():
            self._silent(self._pool.get(name))

    async def watch(self) -> None:
        """Hear from the Directory which nodes come and go, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            self._round += 1
            asyncio.get_running_loop().call_later(2 * LEASE_SECONDS, self._sweep, self._round)
            try:
                async for change in DirectoryAsync(self._bus).watch():
                    pause = FIRST_PAUSE
                    self._change(change)
            except XosError as error:
                log.info("directory.watch-ended", code=error.code, detail=error.message)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def trouble(self, name: str, error: XosError) -> None:
        """A node did not do as asked: no more work for it until it has said how it stands."""
        node = self._pool.get(name)
        self._note(node, error)
        self._ask(node, FIRST_PAUSE)
        self._scheduler.wake()

    def alive(self, name: str) -> None:
        """A node has called us: it is not lost."""
        node = self._pool.get(name)
        if node.lost is not None:
            node.lost.cancel()
            node.lost = None
            if node.task is None:
                self._silent(node)

    # --- coming and going ---

    def _change(self, change: NodeChange) -> None:
        record = change.node
        if change.up and set(record.services) >= SERVICES:
            self._heard[record.node] = self._round
            self._joined(record)
        elif record.node in self._heard:
            del self._heard[record.node]
            self._left(record.node)

    def _sweep(self, round_: int) -> None:
        """A Directory that started anew says nothing of nodes that went down meanwhile."""
        for name in [name for name, heard in self._heard.items() if heard < round_ == self._round]:
            del self._heard[name]
            self._left(name)

    def _joined(self, record: NodeRecord) -> None:
        node = self._pool.get(record.node)
        if node.up and node.life == record.started:
            return
        node.up, node.life = True, record.started
        self._ask(node, 0.0)

    def _left(self, name: str) -> None:
        node = self._pool.get(name)
        node.up = False
        if node.task is not None:
            node.task.cancel()
            node.task = None
        self._pool.close(name, "is away")
        self._silent(node)
        self._scheduler.wake()
        log.info("node.away", peer_node=name, units=self._registry.used(name))

    # --- asking ---

    def _ask(self, node: Node, pause: float) -> None:
        """Ask a node how it stands, again and again until it answers; if it is being asked, once more afterwards."""
        node.again = True
        if node.up and (node.task is None or node.task.done()):
            node.task = self._spawn(self._asking(node, pause), name=f"ask {node.name}")

    async def _asking(self, node: Node, pause: float) -> None:
        while node.up:
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 -- spreads load, guards nothing
            node.again = False
            pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                resource = await ResourceManagerAsync(self._bus, node.name).describe_resource(deadline=CALL_SECONDS)
                await self._dispatcher.reconcile(node.name)
            except XosError as error:
                self._note(node, error)
                continue
            self._answered(node)
            if resource.slots_free <= 0 < resource.slots - self._registry.used(node.name) - node.held:
                node.resource, node.shared = resource, True
                self._pool.close(node.name, "full (others use it)")
            elif not node.again:
                node.task = None
                self._pool.open(node.name, resource)
                self._scheduler.wake()
                log.info("node.open", peer_node=node.name, slots=resource.slots, units=self._registry.used(node.name))
                return

    def _note(self, node: Node, error: XosError) -> None:
        if isinstance(error, NoSlot):
            node.shared = True
            self._pool.close(node.name, "full")
            return
        log.info("node.trouble", peer_node=node.name, code=error.code, detail=error.message)
        if isinstance(error, UNANSWERED):
            self._pool.close(node.name, f"does not answer ({cleaned(error.message)})" if node.up else "is away")
            self._silent(node)
        else:
            self._pool.close(node.name, f"takes no work ({cleaned(error.message)})")

    # --- silence ---

    def _silent(self, node: Node) -> None:
        if node.lost is None:
            loop = asyncio.get_running_loop()
            node.lost = loop.call_later(self._settings.node_lost_seconds, self._give_up, node)

    def _answered(self, node: Node) -> None:
        if node.lost is not None:
            node.lost.cancel()
            node.lost = None

    def _give_up(self, node: Node) -> None:
        """What runs on a node that has been silent for too long has failed; it is killed if the node comes back."""
        node.lost = None
        units = self._registry.units_on(node.name)
        reason = f"{node.name} has been silent for {self._settings.node_lost_seconds:.0f} s"
        log.warning("node.lost", peer_node=node.name, units=len(units))
        for unit_id in units:
            self._dispatcher.stray(unit_id, node.name)
            self._registry.apply_to_unit(unit_id, NodeLost(node.name, reason, time.time()))
