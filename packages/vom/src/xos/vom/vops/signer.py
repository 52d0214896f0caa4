# SPDX-License-Identifier: BSD-3-Clause
"""The key that signs rulings: made at each start, in memory only, certified by the VO CA for hours."""

from __future__ import annotations

import msgspec

from xos.common.certificate import make_csr, make_key
from xos.common.signing import Signed, sign
from xos.common.tls import Credential
from xos.vom.api import RULING_PURPOSE, VOPS_ROLE, Ruling
from xos.vom.core import VomCore

NAME = "vops"
LIFETIME_S = 3600.0


class Signer:
    """Signs for one VOPS. What a stolen memory image holds is good for an hour."""

    def __init__(self, core: VomCore) -> None:
        self._core = core
        self._credential: Credential | None = None
        self._renew_at = 0.0

    async def sign(self, ruling: Ruling, now: float) -> Signed:
        """*ruling*, signed; about 0.1 ms, once in half an hour some more."""
        if self._credential is None or now >= self._renew_at:
            key = make_key()
            csr = make_csr(key, NAME)
            issued = await self._core.signed(
                lambda ca: ca.issue_machine(csr, NAME, (VOPS_ROLE,), (), LIFETIME_S, at=now)
            )
            self._credential, self._renew_at = Credential(issued, key), now + LIFETIME_S / 2
        return sign(msgspec.msgpack.encode(ruling), self._credential, purpose=RULING_PURPOSE)
