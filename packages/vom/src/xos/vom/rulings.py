# SPDX-License-Identifier: BSD-3-Clause
"""Rulings of VOPS, verified offline: by the CA certificate and the revocations that every node has."""

from __future__ import annotations

import msgspec

from xos.common.errors import UNDECODABLE
from xos.common.identity import Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.vom.api import RULING_PURPOSE, VOPS_ROLE, Ruling
from xos.vom.errors import BadRuling

SKEW_SECONDS = 300.0
"""Clocks of two machines may differ by so much (as with certificates)."""
LONGEST = 256 * 1024

_ruling = msgspec.msgpack.Decoder(Ruling)


def verify(signed: Signed, trust: Trust, *, at: float) -> Ruling:
    """The ruling, once it is beyond doubt that VOPS made it and that it is still good at *at* (Unix seconds).

    What it says of user, job and nodes is for the caller to compare. Raises `BadRuling` and what `verify_signed` does.
    """
    if len(signed.payload) > LONGEST:
        raise BadRuling(detail=f"longer than {LONGEST} bytes")
    signer = verify_signed(signed, trust, purpose=RULING_PURPOSE, at=at, kind=Kind.MACHINE)
    if VOPS_ROLE not in signer.roles:
        raise BadRuling(detail=f"{signer.name} has signed it, which is not VOPS")
    try:
        ruling = _ruling.decode(signed.payload)
    except UNDECODABLE as error:
        raise BadRuling(detail=str(error)) from error
    if not ruling.issued - SKEW_SECONDS <= at <= ruling.expires:
        raise BadRuling(detail=f"good from {ruling.issued} to {ruling.expires}, and it is {at:.0f}")
    return ruling
