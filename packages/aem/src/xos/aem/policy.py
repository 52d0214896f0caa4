# SPDX-License-Identifier: BSD-3-Clause
"""A job as policies see it: what VOPS is asked about is what a node later finds in the signed order."""

from __future__ import annotations

import hashlib

import msgspec

from xos.aem.api import JobOrder, Resource
from xos.aem.jsdl import JobDescription
from xos.common.policy import JobContext, NodeAttributes
from xos.common.signing import Signed

NAMED = 200
"""Characters of a name that policies see."""


def digest_of(order: Signed) -> bytes:
    """What ties a ruling to one signed order."""
    return hashlib.sha256(order.payload).digest()


def job_context(description: JobDescription, order: JobOrder) -> JobContext:
    """The job, without time and usage: those VOPS knows."""
    return JobContext(
        name=description.name[:NAMED],
        executable=description.executable[:NAMED],
        units=description.total_resource_count,
        cores=description.cores,
        memory=description.memory,
        wall_time=float(description.wall_time or 0),
        input_bytes=sum(len(file.content) for file in order.files),
    )


def is_of(told: JobContext, context: JobContext) -> bool:
    """Whether *told*, which has time and usage besides, is of the same job."""
    bare = JobContext()
    return context == msgspec.structs.replace(
        told,
        time=bare.time,
        used=bare.used,
        used_by_group=bare.used_by_group,
        used_by_vo=bare.used_by_vo,
        quota_exceeded=bare.quota_exceeded,
    )


def attributes_of(resource: Resource) -> NodeAttributes:
    """A node as it describes itself."""
    return NodeAttributes(
        resource.node,
        resource.architecture,
        resource.operating_system,
        cores=resource.cores,
        memory=resource.memory,
    )
