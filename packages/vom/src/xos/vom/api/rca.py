# SPDX-License-Identifier: BSD-3-Clause
"""RCA: who gives machines their certificates, as others see it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service
from xos.vom.api.cda import ANYONE, Issued


class ResourceState(enum.StrEnum):
    """Whether a machine is part of the grid."""

    PENDING = "pending"
    """It has asked to join, and somebody must approve it."""
    ACTIVE = "active"
    WITHDRAWN = "withdrawn"
    """It was taken out: its certificates are revoked."""


class ResourceAttributes(msgspec.Struct, array_like=True, frozen=True):
    """What the RCA certifies about a machine."""

    cores: int = 0
    """0: not told, as with all others."""
    memory: int = 0
    """Bytes."""
    architecture: str = ""
    """As ``uname -m`` says."""
    site: str = ""
    flavour: str = ""
    """``pc``, ``ssi``, ``mobile``."""


class Resource(msgspec.Struct, array_like=True, frozen=True):
    """A machine as the RCA knows it."""

    node: str
    state: ResourceState = ResourceState.ACTIVE
    roles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    vos: tuple[str, ...] = ()
    """The VOs that it belongs to."""
    attributes: ResourceAttributes = ResourceAttributes()
    """Certified."""
    joined: float = 0.0
    """Unix seconds: since when it is a part of the grid, or asks to be."""
    not_after: int = 0
    """Unix seconds: end of its latest certificate."""
    approved_by: str = ""
    version: int = 1
    """Grows with each change."""


class JoinToken(msgspec.Struct, array_like=True, frozen=True):
    """Lets one machine join, once."""

    token: str
    """Shown once, kept only as a hash."""
    node: str
    expires: int = 0
    """Unix seconds."""
    ca_fingerprint: str = ""
    """SHA-256 of the VO CA's certificate (DER), hex: by this the joining machine knows the right RCA."""


class Joining(msgspec.Struct, array_like=True, frozen=True):
    """How far a machine without a token is."""

    state: ResourceState
    issued: Issued | None = None
    """Once it is approved."""


@service
class RCA(Protocol):
    """Resource Certification Authority: gives machines their certificates."""

    @call
    async def create_token(
        self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = (), vo: str = ""
    ) -> JoinToken:
        """A one-time token by which *node* may join.

        *addresses* (IP) are certified beside the node's name, for clients such as curl that check them. *vo*: the
        machine becomes a resource of that VO, whose resource administrators may make such tokens.
        """
        ...

    @call(allow=ANYONE, idempotent=True)
    async def join(self, token: str, node: str, csr: bytes, attributes: ResourceAttributes | None = None) -> Issued:
        """A machine certificate for *node*; the token is used up (the same CSR again gets the same certificate)."""
        ...

    @call(allow={Kind.MACHINE}, idempotent=True)
    async def renew(self, csr: bytes, attributes: ResourceAttributes | None = None) -> Issued:
        """A new machine certificate for the calling machine, with what it now measures of itself."""
        ...

    @call(allow=ANYONE, idempotent=True)
    async def ask(
        self,
        node: str,
        csr: bytes,
        addresses: tuple[str, ...] = (),
        attributes: ResourceAttributes | None = None,
    ) -> Joining:
        """Join without a token: wait in the queue.

        The same call again tells how far it is, and brings the certificate.
        """
        ...

    @call(allow={Kind.MACHINE}, reads=True)
    async def myself(self) -> Resource:
        """The calling machine as the RCA knows it: when it differs from the certificate, renew."""
        ...

    @call(reads=True)
    async def list_resources(
        self, vo: str = "", after: str = "", limit: int = 1000, state: ResourceState | None = None
    ) -> list[Resource]:
        """The machines of a VO (empty: of the grid) by name, those after *after*, at most *limit* (and 1,000)."""
        ...

    @call(reads=True)
    async def resource_info(self, node: str) -> Resource:
        """One machine."""
        ...

    @call(idempotent=True)
    async def approve(self, node: str, fingerprint: str = "") -> Resource:
        """Let a machine that asked into the grid. *fingerprint*: SHA-256 of its public key, to be sure it is that."""
        ...

    @call(idempotent=True)
    async def withdraw(self, node: str) -> Resource:
        """Take a machine out of the grid (or refuse it): its certificates are revoked."""
        ...

    @call
    async def set_attributes(self, node: str, attributes: ResourceAttributes, version: int = 0) -> Resource:
        """Certify other attributes; the machine fetches a new certificate by itself."""
        ...

    @call(idempotent=True)
    async def add_to_vo(self, node: str, vo: str) -> Resource:
        """Make a machine a resource of a VO too."""
        ...

    @call(idempotent=True)
    async def remove_from_vo(self, node: str, vo: str) -> Resource:
        """Take a machine out of a VO; it stays in the grid."""
        ...

    @call(allow={Kind.MACHINE}, reads=True)
    async def certify_host_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """OpenSSH host certificates for the calling machine's *keys* (lines of ``ssh_host_*_key.pub``), in their order.

        For the machine's name and certified addresses, for as long as its own certificate holds.
        """
        ...
