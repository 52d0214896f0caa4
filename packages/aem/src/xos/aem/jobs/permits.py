# SPDX-License-Identifier: BSD-3-Clause
"""Asks VOPS whether jobs may run, and keeps its signed rulings for the nodes that start their units.

A ruling that is there and holds is not asked for again; one that has run out, or is not of the nodes wanted, is.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

import msgspec

from xos.aem.api import JobOrder
from xos.aem.jobs.lifecycle import Job
from xos.aem.jobs.nodes import Pool
from xos.aem.jobs.orders import Orders
from xos.aem.jsdl import parse
from xos.aem.policy import attributes_of, digest_of, job_context
from xos.common.errors import XosError
from xos.common.policy import JobContext, NodeAttributes
from xos.common.signing import Signed
from xos.dixi.hosting import Bus
from xos.vom.api import JobQuestion, Ruling
from xos.vom.errors import VomError
from xos.vom.xati import VOPSAsync

CALL_SECONDS = 5.0
MARGIN_SECONDS = 60.0
"""A ruling that ends sooner is asked for anew: the node must still find it good."""
NAMED = 3

_ruling = msgspec.msgpack.Decoder(Ruling)
_order = msgspec.msgpack.Decoder(JobOrder)


class Asked(msgspec.Struct, frozen=True):
    """What VOPS wants to know of a job."""

    certificate: bytes
    digest: bytes
    context: JobContext


class Permit(msgspec.Struct, frozen=True):
    """What VOPS said last."""

    ruling: Signed
    nodes: frozenset[str]
    """Where the job may run."""
    denied: Mapping[str, str]
    """Where not, and why."""
    expires: float

    def knows(self, nodes: Iterable[str]) -> bool:
        """Whether it says something of each of *nodes*."""
        return all(node in self.nodes or node in self.denied for node in nodes)

    def reason(self) -> str:
        """Why not, for the job's owner."""
        each = list(self.denied.items())
        if len({why for _, why in each}) == 1:
            return f"VO policy: {each[0][1]}"
        more = f"; and {len(each) - NAMED} more" if len(each) > NAMED else ""
        return "VO policy: " + "; ".join(f"{node}: {why}" for node, why in each[:NAMED]) + more


def is_final(error: XosError) -> bool:
    """Whether VOPS has answered, and the answer is no: the user is suspended, the certificate has expired."""
    return isinstance(error, VomError)


class Permits:
    """One Job Manager's."""

    def __init__(self, bus: Bus, orders: Orders, pool: Pool) -> None:
        self._vops, self._orders, self._pool = VOPSAsync(bus), orders, pool
        self._asked: dict[str, Asked] = {}
        self._permits: dict[str, Permit] = {}

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._asked.pop(job_id, None)
        self._permits.pop(job_id, None)

    def renew(self, job_id: str) -> None:
        """A node does not find the ruling good (any more): ask anew next time."""
        self._permits.pop(job_id, None)

    async def ask(self, job: Job, nodes: Collection[str]) -> Permit:
        """What VOPS says of the job on *nodes*. Raises what VOPS does, and that it is away (see `is_final`)."""
        permit = self._permits.get(job.job_id)
        if permit is not None and permit.expires > time.time() + MARGIN_SECONDS and permit.knows(nodes):
            return permit
        asked = self._asked.get(job.job_id)
        if asked is None:
            asked = self._asked[job.job_id] = await self._read(job.job_id)
        question = JobQuestion(asked.certificate, asked.digest, asked.context, tuple(map(self._told, nodes)))
        answer = await self._vops.decide_job(question, deadline=CALL_SECONDS)
        expires = _ruling.decode(answer.ruling.payload).expires
        denied = {denial.node: denial.reason for denial in answer.denied}
        permit = self._permits[job.job_id] = Permit(answer.ruling, frozenset(answer.nodes), denied, expires)
        return permit

    def _told(self, name: str) -> NodeAttributes:
        resource = self._pool.get(name).resource
        return NodeAttributes(name) if resource is None else attributes_of(resource)

    async def _read(self, job_id: str) -> Asked:
        signed = await self._orders.get(job_id)
        order = _order.decode(signed.payload)
        return Asked(signed.certificate, digest_of(signed), job_context(parse(order.jsdl), order))
