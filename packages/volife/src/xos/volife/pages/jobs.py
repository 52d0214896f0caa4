# SPDX-License-Identifier: BSD-3-Clause
"""Jobs and machines, live."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from xos.aem.api import JobInfo
from xos.aem.xati import ExecutionManagerAsync, JobManagerAsync
from xos.common.errors import XosError
from xos.volife.live import live, page_of
from xos.volife.visit import ADMIN, MANAGER, Page, Visit

LISTED = 100
MOST_OUTPUT = 256 * 1024
"""Bytes of a unit's output that a page shows."""


async def listed(visit: Visit) -> dict[str, Any]:
    """What the list shows now."""
    if visit.has(MANAGER, ADMIN):
        return {"jobs": await visit.grid.jobs.list_jobs(True, LISTED, visit.vo)}
    jobs = await visit.grid.jobs.list_jobs(True, LISTED)
    return {"jobs": [job for job in jobs if job.vo == visit.vo]}


async def one(visit: Visit) -> dict[str, Any]:
    """What one job's page shows now."""
    return {"job": await _manager(visit).job_info(visit.part("job"))}


async def cancel(visit: Visit) -> web.StreamResponse:
    """End a job."""
    visit.fields.choice("action", ("cancel",))
    job = await _manager(visit).cancel_job(visit.part("job"))
    visit.tell("Job {name} is cancelled.", name=job.name or job.job_id)
    return visit.go(visit.request.path)


async def output(visit: Visit) -> web.StreamResponse:
    """What the units of a job have written."""
    job: JobInfo = await _manager(visit).job_info(visit.part("job"))
    texts = []
    for unit in job.units:
        for stream in ("output", "error"):
            text = await _written(visit, unit.node, unit.unit_id, stream)
            if text:
                texts.append((unit, stream, text))
    return visit.show("output.html", job=job, texts=texts)


async def _written(visit: Visit, node: str, unit: str, stream: str) -> str:
    if not node:
        return ""
    taken = bytearray()
    try:
        async for chunk in ExecutionManagerAsync(visit.grid, node).output(unit, stream):
            taken += chunk.content
            if len(taken) > MOST_OUTPUT:
                taken[MOST_OUTPUT:] = "\n…".encode()
                break
    except XosError as error:
        return f"[{error.message}]"
    return taken.decode("utf-8", "replace")


def _manager(visit: Visit) -> JobManagerAsync:
    return visit.grid.jobs


PAGES = (
    Page(path="/vo/{vo}/jobs", get=page_of("jobs.html", listed)),
    Page(path="/vo/{vo}/jobs/live", get=live("_jobs.html", listed), quiet=True, streams=True),
    Page(path="/vo/{vo}/jobs/{job}", get=page_of("job.html", one), post=cancel),
    Page(path="/vo/{vo}/jobs/{job}/live", get=live("_job.html", one), quiet=True, streams=True),
    Page(path="/vo/{vo}/jobs/{job}/output", get=output),
)
