# SPDX-License-Identifier: BSD-3-Clause
"""The start page, and the overview of one VO."""

from __future__ import annotations

from aiohttp import web

from xos.volife.visit import Page, Visit


async def start(visit: Visit) -> web.StreamResponse:
    """The reader's VOs."""
    return visit.show("start.html", vos=await visit.grid.xvoms.list_vos())


async def overview(visit: Visit) -> web.StreamResponse:
    """One VO at a glance."""
    grid = visit.grid
    found = [vo for vo in await grid.xvoms.list_vos() if vo.name == visit.vo]
    groups = await grid.xvoms.list_groups(visit.vo)
    jobs = await grid.jobs.list_jobs(True, 5) if "JobManager" in visit.site.offers else []
    resources = [node for node in visit.site.nodes if "ResourceManager" in node.services]
    return visit.show("overview.html", about=found[0] if found else None, groups=groups, jobs=jobs, resources=resources)


PAGES = (
    Page(path="/", get=start),
    Page(path="/vo/{vo}", get=overview),
)
