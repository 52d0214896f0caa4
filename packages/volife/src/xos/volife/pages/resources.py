# SPDX-License-Identifier: BSD-3-Clause
"""The machines of the grid: what they have, what is free, live; how another one joins."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from xos.aem.api import Resource
from xos.aem.xati import ResourceManagerAsync
from xos.common.errors import XosError
from xos.dixi.directory import NodeRecord
from xos.volife.live import live, page_of
from xos.volife.visit import Page, Visit

ASKED_AT_ONCE = 32
ANSWER_SECONDS = 5.0


class Machine(msgspec.Struct, frozen=True):
    """A node that is up, and what its Resource Manager says; None when that does not answer."""

    record: NodeRecord
    resource: Resource | None


async def listed(visit: Visit) -> dict[str, Any]:
    """What the list shows now."""
    nodes = [node for node in visit.site.nodes if "ResourceManager" in node.services]
    places = asyncio.Semaphore(ASKED_AT_ONCE)
    machines = await asyncio.gather(*(_machine(visit, node, places) for node in nodes))
    told = [machine.resource for machine in machines if machine.resource is not None]
    return {
        "machines": machines,
        "slots": sum(resource.slots for resource in told),
        "taken": sum(resource.slots - resource.slots_free for resource in told),
        "cores": sum(resource.cores for resource in told),
    }


async def _machine(visit: Visit, node: NodeRecord, places: asyncio.Semaphore) -> Machine:
    # Not as the user: what machines have is for everybody, and a session of its own to each would be thousands.
    manager = ResourceManagerAsync(visit.site.host.bus, node.node)
    async with places:
        try:
            return Machine(node, await manager.describe_resource(deadline=ANSWER_SECONDS))
        except XosError:
            return Machine(node, None)


PAGES = (
    Page(path="/vo/{vo}/resources", get=page_of("resources.html", listed)),
    Page(path="/vo/{vo}/resources/live", get=live("_resources.html", listed), quiet=True),
)
