# SPDX-License-Identifier: BSD-3-Clause
"""VO management: the interfaces of its services and what travels over them, one module each.

Others import from here only.
"""

from xos.vom.api.cda import ANYONE, CDA, CRL_TOPIC, CertificateWish, CrlPublished, Issued
from xos.vom.api.rca import RCA, JoinToken
from xos.vom.api.xvoms import VO, XVOMS, Group, User, UserState

__all__ = [
    "ANYONE",
    "CDA",
    "CRL_TOPIC",
    "RCA",
    "VO",
    "XVOMS",
    "CertificateWish",
    "CrlPublished",
    "Group",
    "Issued",
    "JoinToken",
    "User",
    "UserState",
]
