# SPDX-License-Identifier: BSD-3-Clause
"""By password, argon2id."""

from __future__ import annotations

from xos.dixi.api import current_call
from xos.vom import members
from xos.vom.api import CertificateWish
from xos.vom.backends import Admission, Prover
from xos.vom.errors import BadCredentials, PasswordNeeded


class PasswordBackend(Prover):
    """The password that XVOMS keeps the hash of."""

    name = "password"
    description = "the password that you have in the VO"
    needs = "password"

    async def admit(self, wish: CertificateWish) -> Admission:
        """See `Prover.admit`. An unknown user takes as long as a wrong password, and is told the same."""
        if wish.password is None:
            raise PasswordNeeded(vo=wish.vo, user=wish.user)
        member = await self.core.store.read(lambda c: members.find_member(c, wish.vo, wish.user))
        kept = None if member is None else member.password
        address = current_call().address
        await self.core.gate.admit(vo=wish.vo, user=wish.user, address=address, kept=kept, password=wish.password)
        if member is None:
            raise BadCredentials
        return Admission(member)
