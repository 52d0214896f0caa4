# SPDX-License-Identifier: BSD-3-Clause
"""By a certificate that is still valid: the caller's on the connection."""

from __future__ import annotations

import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.dixi.api import current_call
from xos.vom import members, vos
from xos.vom.api import CertificateWish
from xos.vom.backends import Admission, Prover
from xos.vom.errors import BadCredentials, DelegationShown, PasswordNeeded
from xos.vom.members import Member
from xos.vom.policy import Act, require

FOUNDING_S = 600.0
"""For so long after its creation a VO is open to the certificate that created it."""


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
        if wish.vo != caller.vo and (founder := await self._has_just_founded(caller, wish)) is not None:
            return Admission(founder, None)
        require(Act.RENEW_USER, caller, wish.vo, wish.user)
        member = await self.core.store.read(lambda c: members.find_member(c, wish.vo, wish.user))
        if member is None:
            raise BadCredentials
        return Admission(member, caller)

    async def _has_just_founded(self, caller: Identity, wish: CertificateWish) -> Member | None:
        """The caller in the VO that they have created a moment ago: their first certificate of it.

        Only for a moment, so that who gets hold of a certificate later does not get every VO that its holder made.
        """

        def read(connection: sa.Connection) -> Member | None:
            vo = vos.find_vo(connection, wish.vo)
            if vo is None or vo.creator != str(caller) or not 0 <= self.core.now() - vo.created < FOUNDING_S:
                return None
            here, there = (members.find_member(connection, name, wish.user) for name in (wish.vo, caller.vo))
            same = here is not None and there is not None and here.account == there.account
            return here if same and wish.user == caller.name else None

        return await self.core.store.read(read)
