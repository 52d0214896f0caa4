# SPDX-License-Identifier: BSD-3-Clause
"""By a certificate that is still valid: the caller's on the connection."""

from __future__ import annotations

from xos.common.identity import Kind
from xos.dixi.api import current_call
from xos.vom import members
from xos.vom.api import CertificateWish
from xos.vom.backends import Admission, Prover
from xos.vom.errors import BadCredentials, DelegationShown, PasswordNeeded
from xos.vom.policy import Act, require


class CertificateBackend(Prover):
    """Renewal: TLS has verified the certificate already, and that its key is there."""

    name = "certificate"
    description = "the XOS-Certificate that you have, while it is valid"
    needs = "certificate"

    async def admit(self, wish: CertificateWish) -> Admission:
        """See `Prover.admit`."""
        caller = current_call().caller
        if caller.kind is Kind.ANONYMOUS:
            raise PasswordNeeded(vo=wish.vo, user=wish.user)
        if caller.delegated:
            raise DelegationShown(user=str(caller))
        require(Act.RENEW_USER, caller, wish.vo, wish.user)
        member = await self.core.store.read(lambda c: members.find_member(c, wish.vo, wish.user))
        if member is None:
            raise BadCredentials
        return Admission(member, caller)
