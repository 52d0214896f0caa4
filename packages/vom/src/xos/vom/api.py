# SPDX-License-Identifier: BSD-3-Clause
"""VO management: the interfaces of XVOMS, CDA and RCA, and what travels over them."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service

ANYONE: frozenset[Kind] = frozenset(Kind)
CRL_TOPIC = "vom.crl"
"""Each new CRL is published on the bus under this topic, as a `CrlPublished`."""


class UserState(enum.StrEnum):
    """Whether a user may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class VO(msgspec.Struct, array_like=True, frozen=True):
    """A Virtual Organisation."""

    name: str
    description: str = ""
    created: float = 0.0
    """Unix seconds."""
    users: int = 0


class User(msgspec.Struct, array_like=True, frozen=True):
    """A member of a VO."""

    vo: str
    name: str
    group: str = ""
    """Primary group."""
    groups: tuple[str, ...] = ()
    """Further groups."""
    roles: tuple[str, ...] = ()
    state: UserState = UserState.ACTIVE
    created: float = 0.0


class Group(msgspec.Struct, array_like=True, frozen=True):
    """A group of a VO."""

    vo: str
    name: str
    members: int = 0


class CertificateWish(msgspec.Struct, array_like=True, frozen=True):
    """What a user asks the CDA for."""

    vo: str
    user: str
    csr: bytes
    """PKCS#10, DER; its key was made by the client and stays there."""
    password: str | None = None
    """None: the caller shows a valid XOS-Certificate of the same user instead."""
    hours: float = 12.0
    group: str | None = None
    """Another of the user's groups as primary group."""
    roles: tuple[str, ...] | None = None
    """None: all the user has."""


class Issued(msgspec.Struct, array_like=True, frozen=True):
    """A certificate and what it takes to check it."""

    certificate: bytes
    """DER."""
    ca: bytes
    """DER of the VO CA's certificate."""
    not_after: int = 0
    """Unix seconds."""


class CrlPublished(msgspec.Struct, array_like=True, frozen=True):
    """The event under `CRL_TOPIC`: who trusts the VO CA takes this CRL into use."""

    number: int
    """Grows with each CRL (RFC 5280, 5.2.3)."""
    crl: bytes
    """DER."""


class JoinToken(msgspec.Struct, array_like=True, frozen=True):
    """Lets one machine join, once."""

    token: str
    """Shown once, kept only as a hash."""
    node: str
    expires: int = 0
    """Unix seconds."""
    ca_fingerprint: str = ""
    """SHA-256 of the VO CA's certificate (DER), hex: by this the joining machine knows the right RCA."""


@service
class XVOMS(Protocol):
    """The VO database: VOs, users, groups, roles.

    VOs are created by the core machine's own certificate; a VO is administered by that or by its ``VOAdmin`` users.
    """

    @call(idempotent=True)
    async def create_vo(self, name: str, description: str = "") -> VO:
        """Create a VO; creating it again with the same description returns it."""
        ...

    @call(reads=True)
    async def list_vos(self) -> list[VO]:
        """The VOs that the caller may see: a machine all, a user their own."""
        ...

    @call(idempotent=True)
    async def add_user(
        self,
        vo: str,
        name: str,
        password: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
    ) -> User:
        """Add a member; groups and roles that do not exist yet are created."""
        ...

    @call(reads=True)
    async def list_users(self, vo: str, after: str = "", limit: int = 1000) -> list[User]:
        """The members of a VO by name, those after *after*, at most *limit* (and 1,000); administrators only."""
        ...

    @call(reads=True)
    async def user_info(self, vo: str, name: str) -> User:
        """One member: oneself, or any as administrator."""
        ...

    @call(reads=True)
    async def list_groups(self, vo: str) -> list[Group]:
        """The groups of a VO."""
        ...

    @call(idempotent=True)
    async def set_user_state(self, vo: str, name: str, state: UserState) -> User:
        """Suspend a member (certificates already issued are revoked) or let them act again."""
        ...

    @call(idempotent=True)
    async def set_password(self, vo: str, name: str, password: str, current: str | None = None) -> None:
        """Change a password: one's own, by telling the *current* one, or any member's as administrator."""
        ...


@service
class CDA(Protocol):
    """Credential Distribution Authority: gives users short-lived XOS-Certificates."""

    @call(allow=ANYONE)
    async def issue(self, wish: CertificateWish) -> Issued:
        """A certificate for the CSR's key, by password or by the caller's still valid certificate."""
        ...

    @call(reads=True, allow=ANYONE)
    async def ca(self) -> bytes:
        """The VO CA's certificate (DER)."""
        ...

    @call(reads=True, allow=ANYONE)
    async def revocations(self) -> bytes:
        """The current CRL (DER, RFC 5280), signed by the VO CA."""
        ...


@service
class RCA(Protocol):
    """Resource Certification Authority: gives machines their certificates."""

    @call
    async def create_token(self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = ()) -> JoinToken:
        """A one-time token by which *node* may join; core machines only, since machines belong to every VO.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them.
        """
        ...

    @call(allow=ANYONE, idempotent=True)
    async def join(self, token: str, node: str, csr: bytes) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        ...

    @call(allow={Kind.MACHINE}, idempotent=True)
    async def renew(self, csr: bytes) -> Issued:
        """A new machine certificate for the calling machine."""
        ...
