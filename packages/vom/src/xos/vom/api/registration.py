# SPDX-License-Identifier: BSD-3-Clause
"""Registration: how people become members of a VO, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.dixi.api import call, service
from xos.vom.api.cda import ANYONE
from xos.vom.api.xvoms import Invitation, User


class RequestState(enum.StrEnum):
    """What became of a request for membership."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"


class MembershipRequest(msgspec.Struct, array_like=True, frozen=True):
    """Somebody wants to be a member of a VO."""

    id: str
    """Not to be guessed: who has it may see what became of the request."""
    vo: str
    name: str
    full_name: str = ""
    email: str = ""
    reason: str = ""
    """Why, in the person's own words."""
    state: RequestState = RequestState.PENDING
    created: float = 0.0
    expires: float = 0.0
    """Unix seconds after which it counts as refused."""
    by: str = ""
    """``USER@VO`` of the certificate that the person showed; empty: none."""
    address: str = ""
    """Where it came from."""
    decided: float = 0.0
    decided_by: str = ""
    answer: str = ""
    """What whoever refused it had to say."""


class OpenVO(msgspec.Struct, array_like=True, frozen=True):
    """A VO that takes requests for membership."""

    name: str
    description: str = ""


@service
class Registration(Protocol):
    """The front door of the VOs: requests for membership, decisions on them, invitations."""

    @call(reads=True, allow=ANYONE)
    async def open_vos(self) -> list[OpenVO]:
        """The VOs that take requests."""
        ...

    @call(idempotent=True, allow=ANYONE)
    async def ask(
        self, vo: str, name: str, password: str, full_name: str = "", email: str = "", reason: str = ""
    ) -> MembershipRequest:
        """Ask to become the member *name*; the *password* counts from the approval on.

        Who shows a certificate of another VO keeps its password (and may leave *password* empty): both memberships
        are then one person's. The same request again returns the one that waits.
        """
        ...

    @call(reads=True, allow=ANYONE)
    async def status(self, request: str) -> MembershipRequest:
        """What became of a request."""
        ...

    @call(reads=True)
    async def list_requests(
        self, vo: str, state: RequestState | None = RequestState.PENDING, after: str = "", limit: int = 1000
    ) -> list[MembershipRequest]:
        """The requests of a VO, oldest first, those after the one with the id *after*; administrators only."""
        ...

    @call(idempotent=True)
    async def approve(
        self, vo: str, request: str, group: str = "users", groups: tuple[str, ...] = (), roles: tuple[str, ...] = ()
    ) -> User:
        """Make the person a member."""
        ...

    @call(idempotent=True)
    async def refuse(self, vo: str, request: str, answer: str = "") -> MembershipRequest:
        """Do not; *answer* is shown to the person."""
        ...

    @call
    async def invite(self, vo: str, name: str, hours: float = 168.0) -> Invitation:
        """A code by which a member chooses a (new) password, once; any earlier code is void."""
        ...

    @call(idempotent=True, allow=ANYONE)
    async def accept(self, vo: str, name: str, code: str, password: str) -> None:
        """Choose a password by an invitation."""
        ...
