# SPDX-License-Identifier: BSD-3-Clause
"""The ids of jobs and units. A job's id follows from what its user signed, and both sides work it out for themselves:
no Job Manager can run one signed order under two ids.
"""

from __future__ import annotations

import hashlib


def job_id_of(owner: str, vo: str, request_id: str) -> str:
    """The id of the job that *owner* (``alice@demo``) submitted to *vo* with *request_id*."""
    digest = hashlib.sha256(f"{owner}\0{request_id}".encode()).hexdigest()
    return f"{vo}-{digest[:16]}"


def unit_id_of(job_id: str, index: int) -> str:
    """The id of the job's unit number *index*, from 0."""
    return f"{job_id}.{index}"
