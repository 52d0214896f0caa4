# SPDX-License-Identifier: BSD-3-Clause
"""The ways to prove to the CDA who one is: one interface, one module each.

A back-end says who somebody is and no more; what their certificate may say is the CDA's to choose. Those that ask
elsewhere (`Elsewhere`) name a person by what they are called there; XVOMS knows which member that is.
"""

from __future__ import annotations

import abc

import msgspec
import sqlalchemy as sa

from xos.common.identity import Identity
from xos.vom import accounts, members
from xos.vom.api import Backend, CertificateWish, LinkedIdentity
from xos.vom.core import VomCore
from xos.vom.errors import NotLinked
from xos.vom.members import Member


class Admission(msgspec.Struct, frozen=True):
    """Somebody has proved who they are."""

    member: Member
    shown: Identity | None = None
    """The certificate that was shown; None: another proof, which narrows nothing."""


class Prover(abc.ABC):
    """A way to prove who one is. Made once per CDA; called concurrently."""

    name: str
    description: str
    """A sentence for people."""
    needs: str
    """See `xos.vom.api.Backend.needs`."""
    service: str = ""

    def __init__(self, core: VomCore) -> None:
        self.core = core

    def told(self) -> Backend:
        """What clients are told of it."""
        return Backend(self.name, self.description, self.needs, self.service)

    @abc.abstractmethod
    async def admit(self, wish: CertificateWish) -> Admission:
        """The member whom the caller has proved to be, who is the one that *wish* names.

        Takes a few seconds at most. Raises `BadCredentials` and `TooManyAttempts` for guesses, `NotLinked`,
        `LoginPending`, `LoginOver`, `BackendAway` when nobody can tell at present.
        """

    async def close(self) -> None:  # noqa: B027 -- most have nothing to close
        """Let go of connections."""


class Elsewhere(Prover):
    """One where people have names of their own, which XVOMS links to members."""

    @abc.abstractmethod
    async def subject(self, wish: CertificateWish) -> str:
        """Who has proved to be there, as they are called there. Raises as `admit`."""

    async def admit(self, wish: CertificateWish) -> Admission:
        """See `Prover.admit`. A wish without a user is for whoever the person is in that VO."""
        subject = await self.subject(wish)
        identity = LinkedIdentity(self.name, subject)
        member = await self.core.store.read(lambda connection: _find(connection, wish, identity))
        if member is None:
            raise NotLinked(backend=self.name, subject=subject, user=wish.user or "anybody", vo=wish.vo)
        return Admission(member)


def _find(connection: sa.Connection, wish: CertificateWish, identity: LinkedIdentity) -> Member | None:
    account = accounts.find_account(connection, identity)
    if account is None:
        return None
    name = accounts.name_in(connection, wish.vo, account)
    if name is None or wish.user not in ("", name):
        return None
    return members.find_member(connection, wish.vo, name)
