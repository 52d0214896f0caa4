# SPDX-License-Identifier: BSD-3-Clause
"""The file system of a VO: its volumes and what they hold, and how the services are that keep them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from xos.common.errors import XosError
from xos.dixi.stubs import AsyncStub
from xos.volife.errors import NoSuchPage
from xos.volife.live import live, page_of
from xos.volife.visit import Page, Visit
from xos.xtreemfs.api import Health, Quota, ServiceRecord, Status, Volume, VolumeRecord
from xos.xtreemfs.xati import DIRAsync, MRCAsync, OSDAsync

ON_A_PAGE = 100
DRAWN = 12
"""Bars of a chart."""
ANSWER_SECONDS = 5.0
STUBS: dict[str, type[AsyncStub]] = {"DIR": DIRAsync, "MRC": MRCAsync, "OSD": OSDAsync}
UNITS = {"TiB": float(1 << 40), "GiB": float(1 << 30), "MiB": float(1 << 20), "KiB": 1024.0, "B": 1.0}
GIB = UNITS["GiB"]


class Held(msgspec.Struct, frozen=True):
    """A volume: as the DIR has it, and as its MRC tells now (None: no answer)."""

    record: VolumeRecord
    volume: Volume | None


class Service(msgspec.Struct, frozen=True):
    """A service of the file system, as people see it."""

    record: ServiceRecord
    state: str
    """``online``, ``suspect``, ``draining``, ``removed`` or ``up``."""

    @property
    def used(self) -> int:
        """Bytes."""
        return max(0, self.record.total - self.record.free)

    @property
    def vos(self) -> str:
        """The VOs whose files its machine may hold, with commas between; empty: all."""
        return dict(self.record.attributes).get("vos", "")

    @property
    def site(self) -> str:
        """As its machine says."""
        return dict(self.record.attributes).get("site", "")


async def listed(visit: Visit) -> dict[str, Any]:
    """What the list shows now."""
    services = await _services(visit)
    osds = [one for one in services if one.record.kind == "OSD"]
    held = await _held(visit, [one.record.node for one in services if one.record.kind == "MRC"])
    after = visit.query("after")
    rest = [one for one in held if one.record.name > after]
    there = [one for one in osds if one.record.status is not Status.REMOVED]
    known = [one.volume for one in held if one.volume is not None]
    largest = sorted((one for one in known if one.used), key=lambda one: -one.used)[:DRAWN]
    unit = next((unit for unit in UNITS if largest and largest[0].used >= UNITS[unit]), "B")
    return {
        "volumes": rest[:ON_A_PAGE],
        "after": after,
        "next": rest[ON_A_PAGE - 1].record.name if len(rest) > ON_A_PAGE else "",
        "how_many": len(held),
        "files": sum(volume.files for volume in known),
        "used": sum(one.used for one in there),
        "total": sum(one.record.total for one in there),
        "osds": osds,
        "others": [one for one in services if one.record.kind != "OSD"],
        "suspects": [one for one in services if one.state == "suspect"],
        "levels": [(one.record.node, one.used / GIB, one.record.total / GIB) for one in there[:DRAWN]],
        "unit": unit,
        "largest": [(one.name, one.used / UNITS[unit]) for one in largest],
    }


async def _services(visit: Visit) -> list[Service]:
    """Those that serve the VO, the DIR first."""
    found = [Service(one, _state(one)) for one in await visit.grid.dir.services("") if _serves(one, visit.vo)]
    dirs = [
        Service(ServiceRecord("DIR", node.node, heard=int(node.started * 1e9)), "up")
        for node in visit.site.nodes
        if "DIR" in node.services
    ]
    return dirs + found


def _serves(record: ServiceRecord, vo: str) -> bool:
    vos = dict(record.attributes).get("vos", "")
    return not vos or vo in vos.split(",")


def _state(record: ServiceRecord) -> str:
    if record.suspect:
        return "suspect"
    return str(record.status) if record.kind == "OSD" else "up"


async def _held(visit: Visit, mrcs: list[str]) -> list[Held]:
    """The volumes of the VO, and those of machines' own accounts, by name."""
    records = await visit.grid.dir.volumes()
    told = await asyncio.gather(*(_told(visit, node) for node in mrcs))
    known = {volume.id: volume for volumes in told for volume in volumes}
    held = [Held(record, known.get(record.id)) for record in records]
    return [one for one in held if one.volume is None or _concerns(one.volume, visit.vo)]


async def _told(visit: Visit, node: str) -> list[Volume]:
    try:
        return await MRCAsync(visit.grid, node).volumes(deadline=ANSWER_SECONDS)
    except XosError:
        return []  # the page says that it is suspect, or will soon


def _concerns(volume: Volume, vo: str) -> bool:
    name, _, where = volume.owner.rpartition("@")
    return where == vo or name == "root" or name.startswith("uid.")


async def volume(visit: Visit) -> web.StreamResponse:
    """One volume: how its files are laid out, and what its quotas leave."""
    name = visit.part("name")
    record = await visit.grid.dir.volume(name)
    mrc = MRCAsync(visit.grid, record.mrc[0] if record.mrc else None)
    found = next((one for one in await mrc.volumes() if one.name == name and _concerns(one, visit.vo)), None)
    if found is None:
        raise NoSuchPage(path=visit.request.path[:200])
    quotas: list[Quota] = await mrc.quotas(name)
    return visit.show("volume.html", volume=found, quotas=[one for one in quotas if one.name.endswith(f"@{visit.vo}")])


async def service(visit: Visit) -> dict[str, Any]:
    """How one service is."""
    kind, node = visit.part("kind"), visit.part("node")
    found = next((s for s in await _services(visit) if (s.record.kind, s.record.node) == (kind, node)), None)
    if found is None:
        raise NoSuchPage(path=visit.request.path[:200])
    stub = STUBS[kind](visit.grid, node)
    shown: dict[str, Any] = {"service": found, "info": None, "stats": None, "health": None, "silent": None}
    try:
        shown["info"], shown["stats"] = await asyncio.gather(
            stub.info(deadline=ANSWER_SECONDS), stub.stats(deadline=ANSWER_SECONDS)
        )
        if isinstance(stub, OSDAsync):
            health: Health = await stub.health(deadline=ANSWER_SECONDS)
            shown["health"] = health
    except XosError as error:
        shown["silent"] = error
    return shown


async def change(visit: Visit) -> web.StreamResponse:
    """Set what is wanted of an OSD."""
    wanted = Status(visit.fields.choice("action", [str(status) for status in Status]))
    found = await visit.grid.dir.set_status(visit.part("node"), wanted)
    visit.tell("{node} is {status} now.", node=found.node, status=found.status)
    return visit.go(visit.request.path)


PAGES = (
    Page(path="/vo/{vo}/files", get=page_of("files.html", listed)),
    Page(path="/vo/{vo}/files/live", get=live("_files.html", listed), quiet=True, streams=True),
    Page(path="/vo/{vo}/files/volumes/{name}", get=volume),
    Page(path="/vo/{vo}/files/services/{kind}/{node}", get=page_of("service.html", service), post=change),
    Page(
        path="/vo/{vo}/files/services/{kind}/{node}/live", get=live("_service.html", service), quiet=True, streams=True
    ),
)
