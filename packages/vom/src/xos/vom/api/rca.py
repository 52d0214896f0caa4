# SPDX-License-Identifier: BSD-3-Clause
"""RCA: who gives machines their certificates, as others see it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service
from xos.vom.api.cda import ANYONE, Issued


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

    @call(allow={Kind.MACHINE}, reads=True)
    async def certify_host_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """OpenSSH host certificates for the calling machine's *keys* (lines of ``ssh_host_*_key.pub``), in their order.

        For the machine's name and certified addresses, for as long as its own certificate holds.
        """
        ...
