# SPDX-License-Identifier: BSD-3-Clause
"""Reserves that holders show again with what they made: whether an MRC gave them to who shows them.

So nothing is kept of a reserve here, and one is good at the MRC's backup and after a restart.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.xtreemfs.api import CAPABILITY_PURPOSE, CAPABILITY_SECONDS, MOST_RESERVED, Access, Capability
from xos.xtreemfs.mrc.batches import Shown
from xos.xtreemfs.mrc.leases import one_replica

MOST_PAYLOAD = 64 << 10
"""Bytes of a reserve."""
MOST_KNOWN = 1000
"""Reserves that are not verified again."""
SHOWN_SECONDS = 86400.0
"""So long after it has expired at OSDs a reserve counts here: what was made by it may be told late."""
_decode = msgspec.msgpack.Decoder(Capability).decode


class Reserves:
    """What was verified lately."""

    def __init__(self, node: str, trust: Trust) -> None:
        self._node, self._trust = node, trust
        self._known: OrderedDict[Signed, Shown] = OrderedDict()

    def read(self, signed: Signed, holder: str, now: float) -> Shown | None:
        """What it is for, if it is one of *holder*'s; None: it is not. *now*: Unix seconds."""
        shown = self._known.get(signed) or self._verified(signed, now)
        if shown is None or shown.capability.holder != holder:
            return None
        if now > shown.capability.expires + SHOWN_SECONDS:
            return None
        self._known[signed] = shown
        self._known.move_to_end(signed)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return shown

    def _verified(self, signed: Signed, now: float) -> Shown | None:
        if len(signed.payload) > MOST_PAYLOAD:
            return None
        try:
            capability = _decode(signed.payload)
            first = int(capability.file_id.rpartition("-")[2], 16)
            # Its signer's certificate may have run out since.
            at = min(now, float(capability.expires - CAPABILITY_SECONDS))
            signer = verify_signed(signed, self._trust, purpose=CAPABILITY_PURPOSE, at=at, kind=Kind.MACHINE)
        except (XosError, msgspec.DecodeError, ValueError, OverflowError, RecursionError):
            return None
        writes = capability.access & Access.WRITE and not capability.origin and one_replica(capability.layout)
        fits = writes and 1 <= capability.count <= MOST_RESERVED
        return Shown(capability, first) if fits and self._may_sign(signer) else None

    def _may_sign(self, signer: Identity) -> bool:
        """An MRC: this one, or its other half, which is a core."""
        return signer.name == self._node or "core" in signer.roles
