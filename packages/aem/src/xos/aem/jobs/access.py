# SPDX-License-Identifier: BSD-3-Clause
"""Who may see and cancel a job: its owner, and the administrators of its VO."""

from __future__ import annotations

from xos.aem.errors import NotYourJob
from xos.common.identity import Identity, Kind

ADMIN = "VOAdmin"
"""The role that administers a VO."""


def check_owner(caller: Identity, *, job_id: str, owner: str, vo: str) -> None:
    """Raise `NotYourJob` unless *caller* may see and cancel the job of *owner* (``alice@demo``) in *vo*."""
    if caller.kind is Kind.USER and (str(caller) == owner or (caller.vo == vo and ADMIN in caller.roles)):
        return
    raise NotYourJob(job_id=job_id, caller=str(caller))
