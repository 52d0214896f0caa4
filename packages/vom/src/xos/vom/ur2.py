# SPDX-License-Identifier: BSD-3-Clause
"""Usage records as XML: OGF Usage Record 2.0 (GFD-R-P.204).

The record is a sequence of blocks: who made it and when (RecordIdentityBlock), whose it is (SubjectIdentityBlock), what
was computed (ComputeUsageBlock), by which job (JobUsageBlock), in how much memory (MemoryUsageBlock). Times are UTC,
durations ISO 8601, sizes bytes. What a node did not tell is left out.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from xos.vom.api import UsageRecord

NAMESPACE = "http://schema.ogf.org/urf/2013/04/urf"
PREFIX = "urf"
INFRASTRUCTURE = "XtreemOS"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""

Element = tuple[str, str | None, dict[str, str]]


def document(records: Iterable[UsageRecord]) -> Iterator[str]:
    """The lines of a document with *records*, one record after the other."""
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<{PREFIX}:UsageRecords xmlns:{PREFIX}={quoteattr(NAMESPACE)}>"
    for record in records:
        yield f"  <{PREFIX}:UsageRecord>"
        for block, elements in blocks(record):
            yield f"    <{PREFIX}:{block}>"
            yield from (f"      {_xml(*element)}" for element in elements if element[1])
            yield f"    </{PREFIX}:{block}>"
        yield f"  </{PREFIX}:UsageRecord>"
    yield f"</{PREFIX}:UsageRecords>"


def blocks(record: UsageRecord) -> Iterator[tuple[str, list[Element]]]:
    """The blocks of one record, with their elements: name, text (None or empty: not told) and attributes."""
    r = record
    yield (
        "RecordIdentityBlock",
        [("RecordId", r.record_id, {}), ("CreateTime", moment(r.created or r.ended), {})],
    )
    yield (
        "SubjectIdentityBlock",
        [
            ("LocalUserId", r.local_user, {}),
            ("GlobalUserId", f"{r.user}@{r.vo}", {}),
            ("GlobalGroupId", r.vo, {}),
            ("GlobalGroupAttribute", r.group, {"type": "group"}),
            ("Site", r.site, {}),
            ("Infrastructure", INFRASTRUCTURE, {}),
        ],
    )
    yield (
        "ComputeUsageBlock",
        [
            ("CpuDuration", duration(r.cpu_seconds), {}),
            ("WallDuration", duration(r.wall_seconds), {}),
            ("StartTime", moment(r.started), {}),
            ("EndTime", moment(r.ended), {}),
            ("ExecutionHost", r.node, {}),
            ("Processors", str(r.processors), {}),
            ("ExitStatus", None if r.exit_code is None else str(r.exit_code), {}),
        ],
    )
    yield (
        "JobUsageBlock",
        [
            ("GlobalJobId", r.job_id, {}),
            ("LocalJobId", r.unit_id, {}),
            ("JobName", r.job_name, {}),
            ("MachineName", r.node, {}),
            ("TimeInstant", moment(r.submitted) if r.submitted else None, {"type": "submit"}),
            ("Status", r.status, {}),
        ],
    )
    if r.memory_peak:
        yield (
            "MemoryUsageBlock",
            [("MemoryClass", "RAM", {}), ("MemoryResourceCapacityUsed", str(r.memory_peak), {})],
        )


def moment(seconds: float) -> str:
    """Unix seconds as UTC, to the millisecond: ``2026-11-26T18:00:00.000Z``."""
    at = datetime.datetime.fromtimestamp(round(seconds, 3), datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """As ISO 8601 has it, to the millisecond: ``PT3.5S``."""
    whole = math.floor(seconds)
    milliseconds = round((seconds - whole) * 1000)
    return f"PT{whole + milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "S"


def _xml(name: str, text: str | None, attributes: dict[str, str]) -> str:
    told = "".join(f" {PREFIX}:{key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{PREFIX}:{name}{told}>{escape(_FORBIDDEN.sub('?', text or ''))}</{PREFIX}:{name}>"
