# SPDX-License-Identifier: BSD-3-Clause
"""VO management: the interfaces of its services and what travels over them, one module each.

Others import from here only.
"""

from xos.vom.api.accounting import USAGE_PURPOSE, Accounting, By, Period, Quota, QuotaState, Usage, UsageRecord
from xos.vom.api.audit import HEAD_PURPOSE, Audit, Certification, Entry, Head, Link, Log
from xos.vom.api.cda import ANYONE, CDA, CRL_TOPIC, CertificateWish, CrlPublished, Issued
from xos.vom.api.rca import RCA, JoinToken
from xos.vom.api.vops import (
    RULING_PURPOSE,
    VOPS,
    VOPS_ROLE,
    Changed,
    Denial,
    DryRun,
    JobAnswer,
    JobQuestion,
    PastRequest,
    Policy,
    PolicyCheck,
    Problem,
    Ruling,
    Verdict,
)
from xos.vom.api.xvoms import VO, XVOMS, Group, User, UserState

__all__ = [
    "ANYONE",
    "CDA",
    "CRL_TOPIC",
    "HEAD_PURPOSE",
    "RCA",
    "RULING_PURPOSE",
    "USAGE_PURPOSE",
    "VO",
    "VOPS",
    "VOPS_ROLE",
    "XVOMS",
    "Accounting",
    "Audit",
    "By",
    "CertificateWish",
    "Certification",
    "Changed",
    "CrlPublished",
    "Denial",
    "DryRun",
    "Entry",
    "Group",
    "Head",
    "Issued",
    "JobAnswer",
    "JobQuestion",
    "JoinToken",
    "Link",
    "Log",
    "PastRequest",
    "Period",
    "Policy",
    "PolicyCheck",
    "Problem",
    "Quota",
    "QuotaState",
    "Ruling",
    "Usage",
    "UsageRecord",
    "User",
    "UserState",
    "Verdict",
]
