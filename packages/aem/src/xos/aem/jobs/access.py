# SPDX-License-Identifier: BSD-3-Clause
"""Who may see and cancel a job: its owner, and the administrators of its VO."""

from __future__ import annotations

from xos.aem.errors import NotYourJob
from xos.common.identity import Identity, Kind

ADMINS = frozenset({"VOAdmin", "VOManager"})
"""The roles that administer a VO."""


def administers(caller: Identity, vo: str) -> bool:
    """Whether *caller* may see and cancel every job of *vo*."""
    return caller.kind is Kind.USER and caller.vo == vo and not ADMINS.isdisjoint(caller.roles)


def check_owner(caller: Identity, *, job_id: str, owner: str, vo: str) -> None:
    """Raise `NotYourJob` unless *caller* may see and cancel the job of *owner* (``alice@demo``) in *vo*."""
    if caller.kind is Kind.USER and (str(caller) == owner or administers(caller, vo)):
        return
    raise NotYourJob(job_id=job_id, caller=str(caller))
