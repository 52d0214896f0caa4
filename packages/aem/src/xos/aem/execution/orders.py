# SPDX-License-Identifier: BSD-3-Clause
"""Whether an order is to be believed: decided by what its user signed, whatever the Job Manager says."""

from __future__ import annotations

import msgspec

from xos.aem import jsdl
from xos.aem.api import ORDER_PURPOSE, JobOrder, UnitOrder
from xos.aem.errors import RulingNeeded, UnitRefused
from xos.aem.execution.staging import problem_with
from xos.aem.execution.unitdir import is_unit_id
from xos.aem.ids import job_id_of, unit_id_of
from xos.aem.jsdl import JobDescription
from xos.aem.policy import digest_of, is_of, job_context
from xos.common.errors import UNDECODABLE, XosError
from xos.common.identity import Identity, Kind
from xos.common.policy import Action, JobContext
from xos.common.signing import verify_signed
from xos.common.tls import Trust
from xos.vom.rulings import verify as verify_ruling

_order = msgspec.msgpack.Decoder(JobOrder)


class Checked(msgspec.Struct, frozen=True):
    """An order that was found good."""

    owner: Identity
    job: JobOrder
    description: JobDescription
    context: JobContext
    """As policies see it: with time and usage, if VOPS has ruled on it."""


def read_job(order: UnitOrder) -> tuple[JobOrder, JobDescription]:
    """The job in an order that was found good before. Raises `XosError` and `msgspec.MsgspecError`."""
    job = _order.decode(order.job.payload)
    return job, jsdl.parse(job.jsdl)


def check_order(order: UnitOrder, trust: Trust, *, node: str, at: float, rulings: bool) -> Checked:
    """What an order is about, once it is beyond doubt at *at* (Unix seconds). Raises `UnitRefused`, `RulingNeeded`.

    Signature and certificate (not expired, not revoked, a user's) are verified; VO, job id, unit id and the number of
    units must be those that follow from the signed order; the job must not name other nodes alone. With *rulings*, VOPS
    must have allowed just this order of this user here.
    """

    def refused(detail: str) -> UnitRefused:
        return UnitRefused(node=node, unit_id=order.unit_id[:200], detail=detail)

    if not is_unit_id(order.unit_id):
        raise refused("that is no unit's id")
    try:
        owner = verify_signed(order.job, trust, purpose=ORDER_PURPOSE, at=at, kind=Kind.USER)
        job, description = read_job(order)
    except XosError as error:
        raise refused(error.message) from error
    except UNDECODABLE as error:
        raise refused(f"the signed order cannot be read: {error}") from error
    if job.vo != owner.vo:
        raise refused(f"signed by {owner} for VO {job.vo[:64]!r}")
    if order.job_id != job_id_of(str(owner), job.vo, job.request_id):
        raise refused("the job id is not that of the signed order")
    if order.count != description.total_resource_count:
        raise refused(f"{order.count} units ordered, {description.total_resource_count} signed")
    if not 0 <= order.index < order.count or order.unit_id != unit_id_of(order.job_id, order.index):
        raise refused(f"unit {order.index} of {order.count} cannot have this id")
    if description.candidate_hosts and node not in description.candidate_hosts:
        raise refused("the job does not want this node")
    if problem := problem_with(job.files, description):
        raise refused(problem)
    checked = Checked(owner, job, description, job_context(description, job))
    return _ruled(order, checked, trust, node=node, at=at) if rulings else checked


def _ruled(order: UnitOrder, checked: Checked, trust: Trust, *, node: str, at: float) -> Checked:
    """The order with what VOPS knows of it.

    Raises `UnitRefused` when VOPS did not allow it, `RulingNeeded` when there is no ruling that holds (any more).
    """
    if order.ruling is None:
        raise RulingNeeded(node=node, unit_id=order.unit_id, detail="there is none")
    try:
        ruling = verify_ruling(order.ruling, trust, at=at)
    except XosError as error:
        raise RulingNeeded(node=node, unit_id=order.unit_id, detail=error.message) from error
    owner, detail = checked.owner, ""
    if (ruling.subject, ruling.vo, ruling.action) != (str(owner), owner.vo, Action.RUN_JOB):
        detail = f"VOPS has ruled on {ruling.action.value} of {ruling.subject}"
    elif ruling.digest != digest_of(order.job) or not is_of(ruling.job, checked.context):
        detail = "VOPS has ruled on another job"
    elif node not in ruling.nodes:
        detail = "VOPS does not allow it here"
    if detail:
        raise UnitRefused(node=node, unit_id=order.unit_id, detail=detail)
    return msgspec.structs.replace(checked, context=ruling.job)
