# SPDX-License-Identifier: BSD-3-Clause
"""The Resource Manager: what its node has, and who holds its slots.

A slot is held for a unit until a time (a Job Manager's reservation), or until it is released (the node's own Execution
Manager, for a unit that has started). Nothing is kept on disk: after a restart the Execution Manager holds the slots of
its units again before the daemon answers anybody, and reservations are asked for again.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from pathlib import Path

import msgspec

from xos.aem.api import Needs, Reservation, Resource, ResourceManager
from xos.aem.errors import DoesNotFit, NoSlot
from xos.aem.execution.settings import ResourceSettings
from xos.aem.execution.unitdir import is_unit_id
from xos.common.identity import Kind
from xos.dixi.api import current_call
from xos.dixi.hosting import Host, Hosted

TOPIC = "aem.resource"
"""A `Resource` is published there whenever a slot is taken or freed."""
ALWAYS = 315_360_000.0
"""Seconds (ten years): the Execution Manager holds a slot until it releases it."""


class Facts(msgspec.Struct, frozen=True):
    """What a machine has."""

    cores: int
    memory: int
    """Bytes."""
    architecture: str
    hostname: str
    operating_system: str = "LINUX"


def read_facts() -> Facts:
    """What this machine has, as far as this process may use it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
            break
    else:
        memory = 0
    return Facts(len(os.sched_getaffinity(0)), memory, platform.machine(), socket.gethostname())


def misfit(facts: Facts, node: str, needs: Needs) -> str:
    """Why the node could never run such a unit; empty when it could."""
    if needs.hosts and node not in needs.hosts:
        return "the job names other nodes"
    if needs.architecture and needs.architecture != facts.architecture:
        return f"it is {facts.architecture}, the job needs {needs.architecture}"
    if needs.cores > facts.cores:
        return f"it has {facts.cores} cores, the job needs {needs.cores}"
    if needs.memory > facts.memory:
        return f"it has {facts.memory} bytes of memory, the job needs {needs.memory}"
    return ""


class ResourceManagerService(Hosted[ResourceSettings], ResourceManager):
    """See the module."""

    settings_type = ResourceSettings

    def __init__(self, host: Host, settings: ResourceSettings) -> None:
        super().__init__(host, settings)
        found = read_facts()
        self._facts = msgspec.structs.replace(
            found, cores=settings.cores or found.cores, memory=settings.memory or found.memory
        )
        self._slots = settings.slots or self._facts.cores
        self._held: dict[str, asyncio.TimerHandle | None] = {}

    async def stop(self) -> None:
        """See `Hosted.stop`."""
        for timer in self._held.values():
            if timer is not None:
                timer.cancel()

    async def describe_resource(self) -> Resource:
        """See `ResourceManager.describe_resource`."""
        return self._resource()

    def _resource(self) -> Resource:
        facts = self._facts
        free = max(0, self._slots - len(self._held))
        return Resource(
            self.host.node,
            facts.architecture,
            facts.cores,
            facts.memory,
            self._slots,
            free,
            facts.operating_system,
            facts.hostname,
        )

    async def reserve(self, unit_id: str, needs: Needs, seconds: float = 30.0) -> Reservation:
        """See `ResourceManager.reserve`."""
        node = self.host.node
        if not is_unit_id(unit_id):
            raise DoesNotFit(node=node, detail="that is no unit's id")
        if detail := misfit(self._facts, node, needs):
            raise DoesNotFit(node=node, detail=detail)
        if unit_id not in self._held and len(self._held) >= self._slots:
            raise NoSlot(node=node, used=len(self._held), slots=self._slots)
        if self._is_own_call() and seconds >= ALWAYS:
            self._hold(unit_id, None)
            return Reservation(unit_id, node)
        if unit_id in self._held and self._held[unit_id] is None:
            return Reservation(unit_id, node)  # it runs: nothing to hold for it
        bounded = min(seconds, self.settings.longest_reservation) if seconds > 0 else 0.0  # NaN is not above 0
        loop = asyncio.get_running_loop()
        self._hold(unit_id, loop.call_later(bounded, self._free, unit_id))
        return Reservation(unit_id, node, time.time() + bounded)

    async def release(self, unit_id: str) -> None:
        """See `ResourceManager.release`; the slot of a unit that has started is the Execution Manager's to give."""
        if unit_id in self._held and (self._held[unit_id] is not None or self._is_own_call()):
            self._free(unit_id)

    def _is_own_call(self) -> bool:
        caller = current_call().caller
        return caller.kind is Kind.MACHINE and caller.name == self.host.node

    def _hold(self, unit_id: str, timer: asyncio.TimerHandle | None) -> None:
        before = self._held.get(unit_id)
        if before is not None:
            before.cancel()
        fresh = unit_id not in self._held
        self._held[unit_id] = timer
        if fresh:
            self.host.bus.publish(TOPIC, self._resource())

    def _free(self, unit_id: str) -> None:
        timer = self._held.pop(unit_id)
        if timer is not None:
            timer.cancel()
        self.host.bus.publish(TOPIC, self._resource())
