# SPDX-License-Identifier: BSD-3-Clause
"""By Kerberos (RFC 4121), where the host has it: the client sends a GSS-API token for the CDA's service.

The token comes over TLS to a server that the client has verified, so mutual authentication is not asked for; replays
are refused by the library's replay cache. python3-gssapi is imported here only: without it there is no such back-end.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from xos.vom.api import CertificateWish
from xos.vom.backends import Elsewhere
from xos.vom.core import VomCore
from xos.vom.errors import BackendAway, BadCredentials, BadRequest
from xos.vom.tickets import said

LONGEST_TOKEN = 64 * 1024
SECONDS = 10.0


class KerberosSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.CDA.settings.kerberos]``."""

    service: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?$")]
    """The CDA's principal, ``xos/core.example.org``."""
    keytab: str = "/etc/xos/cda.keytab"


class KerberosBackend(Elsewhere):
    """One realm, and those that it trusts."""

    name = "kerberos"
    description = "your Kerberos ticket (kinit)"
    needs = "kerberos"

    def __init__(self, core: VomCore, settings: KerberosSettings) -> None:
        super().__init__(core)
        self._settings = settings
        self.service = settings.service
        try:
            import gssapi
        except ImportError as error:
            raise BackendAway(backend="Kerberos", detail="python3-gssapi is not there", known="a password") from error
        self._gssapi: Any = gssapi

    async def subject(self, wish: CertificateWish) -> str:
        """See `Elsewhere.subject`: the principal, ``alice@EXAMPLE.ORG``. Raises `BadCredentials`, `BackendAway`."""
        if not 0 < len(wish.proof) <= LONGEST_TOKEN:
            raise BadRequest(what="proof", detail=f"a GSS-API token of at most {LONGEST_TOKEN} bytes")
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._accept, wish.proof), SECONDS)
        except TimeoutError as error:
            raise BackendAway(
                backend="Kerberos", detail=f"no answer for {SECONDS:.0f} s", known="a password"
            ) from error

    def _accept(self, token: bytes) -> str:
        gss = self._gssapi
        try:
            name = gss.Name(self._settings.service, gss.NameType.kerberos_principal)
            ours = gss.Credentials(name=name, usage="accept", store={b"keytab": self._settings.keytab.encode()})
        except gss.exceptions.GSSError as error:
            raise BackendAway(backend="Kerberos", detail=said(error), known="a password") from error
        try:
            context = gss.SecurityContext(creds=ours, usage="accept")
            context.step(token)
            if not context.complete:
                raise BadCredentials
            return str(context.initiator_name)
        except gss.exceptions.GSSError as error:
            raise BadCredentials from error
