# SPDX-License-Identifier: BSD-3-Clause
"""Takes orders: verify, understand, keep, answer. Nothing else happens before the answer."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections import Counter
from functools import partial

import msgspec

from xos.aem.api import ORDER_PURPOSE, JobOrder, Needs
from xos.aem.errors import JobRefused, OrderTooLarge, TooManyJobs, TooManyUnits
from xos.aem.ids import job_id_of
from xos.aem.jobs.ledger import Ledger
from xos.aem.jobs.lifecycle import Job, new_job
from xos.aem.jobs.orders import Orders
from xos.aem.jobs.registry import Registry
from xos.aem.jobs.settings import Settings
from xos.aem.jsdl import parse
from xos.common.errors import UNDECODABLE
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust

_REQUEST = re.compile(r"[A-Za-z0-9._:-]{8,128}")
_decode = msgspec.msgpack.Decoder(JobOrder).decode
_encode = msgspec.msgpack.Encoder().encode
_REMEMBERED_BYTES = 64 * 1024
"""Job descriptions up to that size are remembered: a thousand jobs often have one."""


LARGE_DOCUMENT = 32 * 1024
"""Bytes; a JSDL document above it is parsed in a thread, so that other callers do not wait for it."""


class Intake:
    """What stands behind ``create_job``."""

    def __init__(
        self, trust: Trust, registry: Registry, ledger: Ledger, orders: Orders, settings: Settings, *, last: int
    ) -> None:
        """*last* is the highest sequence number given out in earlier lives."""
        self._trust, self._registry, self._ledger, self._orders = trust, registry, ledger, orders
        self._settings = settings
        self._sequence = last
        self._coming: dict[str, Signed] = {}
        """Orders that are on their way to disk, by job."""
        self._coming_of: Counter[str] = Counter()
        """How many of them each owner has."""

    async def create(self, caller: Identity, signed: Signed) -> str:
        """The id of the job, once it is on disk. See `JobManager.create_job`."""
        size = len(signed.payload)
        if size > self._settings.order_bytes:
            raise OrderTooLarge(size=size, limit=self._settings.order_bytes)
        signer = verify_signed(signed, self._trust, purpose=ORDER_PURPOSE, at=time.time(), kind=Kind.USER)
        order = self._order(signed.payload)
        _check_order(caller, signer, order)
        large = len(order.jsdl) > LARGE_DOCUMENT
        described = await asyncio.to_thread(_described, order.jsdl) if large else _described(order.jsdl)
        job = self._job(str(signer), order, *described)
        if self._registry.get(job.job_id) is not None:
            return await self._same(job.job_id, signed)
        waiting = self._registry.count_of(job.owner) + self._coming_of[job.owner]
        if waiting >= self._settings.jobs_per_user:
            raise TooManyJobs(owner=job.owner, jobs=waiting, limit=self._settings.jobs_per_user)
        return await self._keep(job, signed)

    async def _keep(self, job: Job, signed: Signed) -> str:
        first = self._coming.get(job.job_id)
        if first is not None and first.payload != signed.payload:
            raise _reused(job.job_id)
        if first is None:
            self._coming[job.job_id] = signed
            self._coming_of[job.owner] += 1
        kept = self._ledger.add(job, _encode(signed))
        if first is None:
            kept.add_done_callback(partial(self._arrived, job))
        if not await asyncio.shield(kept):
            return await self._same(job.job_id, signed)
        if first is None:
            self._orders.keep(job.job_id, signed)
        return job.job_id

    def _arrived(self, job: Job, _kept: object) -> None:
        del self._coming[job.job_id]
        self._coming_of[job.owner] -= 1
        if not self._coming_of[job.owner]:
            del self._coming_of[job.owner]

    async def _same(self, job_id: str, signed: Signed) -> str:
        """A request that was made before is that job, if it is the same order."""
        known = await self._orders.get(job_id)
        if known.payload != signed.payload:
            raise _reused(job_id)
        return job_id

    @staticmethod
    def _order(payload: bytes) -> JobOrder:
        try:
            return _decode(payload)
        except UNDECODABLE as error:
            raise JobRefused(detail=f"not a job order: {error}") from error

    def _job(self, owner: str, order: JobOrder, name: str, needs: Needs, count: int) -> Job:
        if count > self._settings.units_per_job:
            raise TooManyUnits(units=count, limit=self._settings.units_per_job)
        self._sequence += 1
        return new_job(
            job_id=job_id_of(owner, order.vo, order.request_id),
            request_id=order.request_id,
            owner=owner,
            vo=order.vo,
            name=name,
            needs=needs,
            count=count,
            sequence=self._sequence,
            submitted=time.time(),
        )


def _check_order(caller: Identity, signer: Identity, order: JobOrder) -> None:
    """Raises `JobRefused` when the order is not its submitter's own."""
    if str(signer) != str(caller):
        raise JobRefused(detail=f"signed by {signer}, submitted by {caller}")
    if order.vo != signer.vo:
        raise JobRefused(detail=f"for VO {order.vo[:64]}, signed by a member of {signer.vo}")
    if not _REQUEST.fullmatch(order.request_id):
        raise JobRefused(detail="a request id is 8 to 128 letters, digits, '.', '_', ':' or '-'")


def _reused(job_id: str) -> JobRefused:
    return JobRefused(detail=f"the request id of {job_id} was used for another order")


def _described(jsdl: bytes) -> tuple[str, Needs, int]:
    return _remembered(jsdl) if len(jsdl) <= _REMEMBERED_BYTES else _parsed(jsdl)


def _parsed(jsdl: bytes) -> tuple[str, Needs, int]:
    job = parse(jsdl)
    return job.name, job.needs, job.total_resource_count


_remembered = functools.lru_cache(maxsize=256)(_parsed)
