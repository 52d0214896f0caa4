# SPDX-License-Identifier: BSD-3-Clause
"""The Job Directory: which Job Manager holds which job. Job Managers tell it; what it missed, they tell again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from xos.aem.api import JobDirectory, Placement, State
from xos.aem.errors import UnknownJob
from xos.aem.jobs.access import check_owner
from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.common.storage import Store
from xos.dixi.api import current_call
from xos.dixi.hosting import Host, Hosted

log = get_logger("xos.aem.jobs.directory")

METADATA = sa.MetaData()
PLACEMENTS = sa.Table(
    "placements",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),  # order of arrival
    sa.Column("job_id", sa.String(96), nullable=False, unique=True),
    sa.Column("owner", sa.String(160), nullable=False),
    sa.Column("vo", sa.String(64), nullable=False),
    sa.Column("manager", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Index("ix_placements_owner_number", "owner", "number"),
)
LISTED = 10_000
"""Most placements in one answer."""
_CHUNK = 500
_UPDATE = sa.update(PLACEMENTS).where(PLACEMENTS.c.job_id == sa.bindparam("at_job")).values(state=sa.bindparam("state"))


class DirectorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.JobDirectory.settings]`` of the daemon's configuration."""

    database: str = ""
    """SQLAlchemy URL, or a file; empty: ``placements.sqlite`` in the service's own directory."""


class JobDirectoryService(Hosted[DirectorySettings], JobDirectory):
    """Satisfies `xos.aem.api.JobDirectory`."""

    settings_type = DirectorySettings

    def __init__(self, host: Host, settings: DirectorySettings) -> None:
        super().__init__(host, settings)
        self._opening: asyncio.Future[Store] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Open the database; a Job Manager of the same daemon may call before that, and waits."""
        place = self.settings.database or self.host.data / "placements.sqlite"
        self._opening.set_result(await Store.open(place, METADATA, migrations="xos.aem.jobs:directory_migrations"))

    async def stop(self) -> None:
        """Close the database."""
        if self._opening.done():
            await self._opening.result().close()

    async def record(self, jobs: list[Placement]) -> None:
        """See `JobDirectory.record`. A machine speaks of the jobs that it manages itself, of no others."""
        manager = current_call().caller.name
        own = [job for job in jobs if job.manager == manager]
        if len(own) < len(jobs):
            log.warning("placement.foreign", peer_node=manager, refused=len(jobs) - len(own))
        store = await asyncio.shield(self._opening)
        foreign = await store.write(partial(_record, own))
        if foreign:
            log.warning("placement.taken", peer_node=manager, refused=foreign)

    async def locate(self, job_id: str) -> Placement:
        """See `JobDirectory.locate`. Raises `UnknownJob`, `NotYourJob`."""
        store = await asyncio.shield(self._opening)
        placement = await store.read(partial(_one, job_id))
        if placement is None:
            raise UnknownJob(job_id=job_id)
        check_owner(current_call().caller, job_id=job_id, owner=placement.owner, vo=placement.vo)
        return placement

    async def placements(self, limit: int = 1000) -> list[Placement]:
        """See `JobDirectory.placements`."""
        caller = current_call().caller
        if caller.kind is not Kind.USER:
            return []
        store = await asyncio.shield(self._opening)
        return await store.read(partial(_newest, str(caller), min(max(limit, 0), LISTED)))


def _record(jobs: Sequence[Placement], connection: sa.Connection) -> int:
    """Keep *jobs*; how many were left out because another manager holds a job of that id."""
    newest = {job.job_id: job for job in jobs}
    known: dict[str, str] = {}
    ids = list(newest)
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(PLACEMENTS.c.job_id, PLACEMENTS.c.manager).where(
            PLACEMENTS.c.job_id.in_(ids[start : start + _CHUNK])
        )
        known.update((row.job_id, row.manager) for row in connection.execute(query))
    fresh = [_row(job) for job in newest.values() if job.job_id not in known]
    held = [job for job in newest.values() if known.get(job.job_id) == job.manager]
    if fresh:
        connection.execute(sa.insert(PLACEMENTS), fresh)
    if held:
        connection.execute(_UPDATE, [{"at_job": job.job_id, "state": job.state.value} for job in held])
    return len(newest) - len(fresh) - len(held)


def _one(job_id: str, connection: sa.Connection) -> Placement | None:
    row = connection.execute(sa.select(PLACEMENTS).where(PLACEMENTS.c.job_id == job_id)).one_or_none()
    return None if row is None else _placement(row)


def _newest(owner: str, limit: int, connection: sa.Connection) -> list[Placement]:
    query = sa.select(PLACEMENTS).where(PLACEMENTS.c.owner == owner).order_by(PLACEMENTS.c.number.desc()).limit(limit)
    return [_placement(row) for row in connection.execute(query)]


def _row(job: Placement) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "owner": job.owner,
        "vo": job.vo,
        "manager": job.manager,
        "state": job.state.value,
    }


def _placement(row: Any) -> Placement:
    return Placement(row.job_id, row.owner, row.vo, row.manager, State(row.state))
