# SPDX-License-Identifier: BSD-3-Clause
"""The start page, and the overview of one VO."""

from __future__ import annotations

from aiohttp import web

from xos.volife.visit import Page, Visit


async def start(visit: Visit) -> web.StreamResponse:
    """The reader's VOs."""
    vos = await visit.grid.xvoms.list_vos()
    others = [user.vo for user in await visit.grid.xvoms.memberships() if user.vo != visit.who.vo]
    return visit.show("start.html", vos=vos, others=others)


async def overview(visit: Visit) -> web.StreamResponse:
    """One VO at a glance."""
    grid = visit.grid
    about = await grid.xvoms.vo_info(visit.vo)
    groups = await grid.xvoms.list_groups(visit.vo)
    jobs = await grid.jobs.list_jobs(True, 5) if "JobManager" in visit.site.offers else []
    jobs = [job for job in jobs if job.vo == visit.vo]
    return visit.show("overview.html", about=about, groups=groups, jobs=jobs)


PAGES = (
    Page(path="/", get=start),
    Page(path="/vo/{vo}", get=overview),
)
