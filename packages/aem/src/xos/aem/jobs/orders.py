# SPDX-License-Identifier: BSD-3-Clause
"""The signed orders of jobs: on disk, and those most lately used in memory, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import sqlalchemy as sa

from xos.aem.errors import UnknownJob
from xos.aem.jobs.store import read_order
from xos.common.signing import Signed
from xos.common.storage import Store

KEPT_BYTES = 64 * 1024 * 1024


class Orders:
    """Gives the order of a job; starting a unit seldom has to read the disk."""

    def __init__(self, store: Store, *, limit: int = KEPT_BYTES) -> None:
        self._store = store
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[str, Signed] = OrderedDict()

    def keep(self, job_id: str, order: Signed) -> None:
        """Remember an order; the one used longest ago gives way."""
        self.forget(job_id)
        self._kept[job_id] = order
        self._bytes += _size(order)
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)

    def forget(self, job_id: str) -> None:
        """The order is not wanted in memory any more."""
        order = self._kept.pop(job_id, None)
        if order is not None:
            self._bytes -= _size(order)

    async def get(self, job_id: str) -> Signed:
        """The order of a job that is kept. Raises `UnknownJob`, and what `Store.read` does."""
        order = self._kept.get(job_id)
        if order is not None:
            self._kept.move_to_end(job_id)
            return order
        order = await self._store.read(partial(_read, job_id))
        if order is None:
            raise UnknownJob(job_id=job_id)
        self.keep(job_id, order)
        return order


def _read(job_id: str, connection: sa.Connection) -> Signed | None:
    return read_order(connection, job_id)


def _size(order: Signed) -> int:
    return len(order.payload) + len(order.certificate) + 500
