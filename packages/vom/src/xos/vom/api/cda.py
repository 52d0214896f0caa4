# SPDX-License-Identifier: BSD-3-Clause
"""CDA: who gives users their certificates, as others see it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service

ANYONE: frozenset[Kind] = frozenset(Kind)
CRL_TOPIC = "vom.crl"
"""Each new CRL is published on the bus under this topic, as a `CrlPublished`."""


class CertificateWish(msgspec.Struct, array_like=True, frozen=True):
    """What a user asks the CDA for."""

    vo: str
    user: str
    csr: bytes
    """PKCS#10, DER; its key was made by the client and stays there."""
    password: str | None = None
    """None: the caller shows a valid XOS-Certificate of the same user instead, or *proof*."""
    hours: float = 12.0
    group: str | None = None
    """Another of the user's groups as primary group."""
    roles: tuple[str, ...] | None = None
    """None: all the user has."""
    backend: str = ""
    """How the user proves who they are (`CDA.backends`); empty: by password, or by the certificate shown."""
    proof: bytes = b""
    """What that back-end wants: the id of the `Login`, a Kerberos token."""
    groups: tuple[str, ...] | None = None
    """Further groups; None: all the user has."""
    vos: tuple[str, ...] = ()
    """Further VOs of the same person that the certificate shall name."""
    capabilities: tuple[str, ...] | None = None
    """None: all the user has."""


class Issued(msgspec.Struct, array_like=True, frozen=True):
    """A certificate and what it takes to check it."""

    certificate: bytes
    """DER."""
    ca: bytes
    """DER of the VO CA's certificate."""
    not_after: int = 0
    """Unix seconds."""
    ssh: str = ""
    """Users: the OpenSSH certificate for the same key, one line; empty when the certificate is too large for one."""


class Backend(msgspec.Struct, array_like=True, frozen=True):
    """A way to prove to the CDA who one is."""

    name: str
    """``password``, ``certificate``, ``oidc``, ``kerberos``, ``pam``."""
    description: str = ""
    """A sentence for people."""
    needs: str = ""
    """``password``, ``certificate``, ``kerberos`` (a token for *service*), ``login`` (`CDA.begin_login` begins it)."""
    service: str = ""
    """The Kerberos service principal."""


class Login(msgspec.Struct, array_like=True, frozen=True):
    """A login at an OpenID provider that has begun: the person opens the page, and the wish is tried meanwhile."""

    id: bytes
    """`CertificateWish.proof`."""
    url: str
    """The page to open (``verification_uri_complete`` of RFC 8628 if the provider has it)."""
    code: str
    """What to type there, or to compare."""
    interval: float = 5.0
    """Seconds between tries."""
    expires: int = 0
    """Unix seconds."""


class CrlPublished(msgspec.Struct, array_like=True, frozen=True):
    """The event under `CRL_TOPIC`: who trusts the VO CA takes this CRL into use."""

    number: int
    """Grows with each CRL (RFC 5280, 5.2.3)."""
    crl: bytes
    """DER."""


@service
class CDA(Protocol):
    """Credential Distribution Authority: gives users short-lived XOS-Certificates."""

    @call(allow=ANYONE)
    async def issue(self, wish: CertificateWish) -> Issued:
        """A certificate for the CSR's key, by password or by the caller's still valid certificate."""
        ...

    @call(allow=frozenset({Kind.USER}))
    async def delegate(self, csr: bytes, hours: float = 1.0) -> Issued:
        """A certificate of the caller's for the CSR's key, which is somebody else's: who holds it acts as the caller.

        It has the groups and roles of the certificate shown, and does not outlive it.
        """
        ...

    @call(reads=True, allow=ANYONE)
    async def ca(self) -> bytes:
        """The VO CA's certificate (DER)."""
        ...

    @call(reads=True, allow=ANYONE)
    async def revocations(self) -> bytes:
        """The current CRL (DER, RFC 5280), signed by the VO CA."""
        ...

    @call(reads=True, allow=ANYONE)
    async def backends(self) -> list[Backend]:
        """The ways to prove who one is that this CDA offers."""
        ...

    @call(allow=ANYONE)
    async def begin_login(self, backend: str) -> Login:
        """Begin a login at an OpenID provider (device flow, RFC 8628)."""
        ...
