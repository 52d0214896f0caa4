# SPDX-License-Identifier: BSD-3-Clause
"""The machines of a VO: what the RCA certifies of them, what is free on them now; how another one joins."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from xos.aem.api import Resource as Offer
from xos.dixi.directory import NodeRecord
from xos.dixi.transports import Address
from xos.volife.errors import NotHere
from xos.volife.live import live, page_of
from xos.volife.visit import Page, Visit
from xos.vom.api import Resource
from xos.vom.word import of_token

ON_A_PAGE = 100
FRONT_PORT = 6730
"""Of the core's front door, where machines without a certificate are heard."""


class Machine(msgspec.Struct, frozen=True):
    """A machine of the VO: as certified, and as its Resource Manager tells now (None: no answer)."""

    resource: Resource
    up: bool
    offer: Offer | None


async def listed(visit: Visit) -> dict[str, Any]:
    """What the list shows now."""
    after = visit.query("after")
    found = await visit.grid.rca.list_resources(visit.vo, after, ON_A_PAGE)
    nodes = {node.node: node for node in visit.site.nodes}
    resources = [one for one in found if _runs_jobs(one, nodes.get(one.node))]
    offers = await visit.site.machines.of([one.node for one in resources if one.node in nodes])
    machines = [Machine(one, one.node in nodes, offers.get(one.node)) for one in resources]
    told = [machine.offer for machine in machines if machine.offer is not None]
    return {
        "machines": machines,
        "up": sum(machine.up for machine in machines),
        "slots": sum(offer.slots for offer in told),
        "taken": sum(offer.slots - offer.slots_free for offer in told),
        "after": after,
        "next": found[-1].node if len(found) == ON_A_PAGE else "",
    }


def _runs_jobs(resource: Resource, node: NodeRecord | None) -> bool:
    """Whether a machine is there to run jobs: the core and the like serve every VO too, but not so."""
    return "resource" in resource.roles and (node is None or "ResourceManager" in node.services)


async def change(visit: Visit) -> web.StreamResponse:
    """Make a join word for another machine, or take one out of the VO."""
    fields = visit.fields
    node = fields.line("node")
    if fields.choice("action", ("token", "remove")) == "remove":
        await visit.grid.rca.remove_from_vo(node, visit.vo)
        visit.tell("{node} no longer serves this VO.", node=node)
        return visit.go(visit.request.path)
    minutes = fields.number("minutes", least=1, most=10_080, default=60)
    token = await visit.grid.rca.create_token(node, minutes, fields.words("addresses"), visit.vo)
    directory, front_door = _doors(visit)
    word = of_token(token, front_door=front_door, directory=directory)
    return visit.show("token.html", token=token, word=word)


def _doors(visit: Visit) -> tuple[str, str]:
    """Where a joining machine finds the Directory, and the RCA's front door."""
    core = next((node for node in visit.site.nodes if "RCA" in node.services and node.address), None)
    if core is None:
        raise NotHere(service="RCA")
    host = Address.parse(core.address).host
    return core.address, visit.site.settings.front_door or str(Address(host, FRONT_PORT))


PAGES = (
    Page(path="/vo/{vo}/resources", get=page_of("resources.html", listed), post=change),
    Page(path="/vo/{vo}/resources/live", get=live("_resources.html", listed), quiet=True, streams=True),
)
