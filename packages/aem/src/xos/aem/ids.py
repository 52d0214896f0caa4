# SPDX-License-Identifier: BSD-3-Clause
"""The ids of jobs and units. A job's id follows from what its user signed, and both sides work it out for themselves:
no Job Manager can run one signed order under two ids.
"""

from __future__ import annotations

import base64
import hashlib


def job_id_of(owner: str, vo: str, request_id: str) -> str:
    """The id of the job that a request of *owner*'s (``alice@demo``) is: the same request can never become two jobs.

    80 bits of SHA-256. Who made two requests collide would only have the second refused, since the order differs.
    """
    digest = hashlib.sha256(f"{owner}\0{request_id}".encode()).digest()
    return f"{vo}-{base64.b32encode(digest[:10]).decode().lower()}"


def unit_id_of(job_id: str, index: int) -> str:
    """The id of the job's unit number *index*, from 0."""
    return f"{job_id}.{index}"
