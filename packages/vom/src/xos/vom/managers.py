# SPDX-License-Identifier: BSD-3-Clause
"""The VO manager's key pair: what it signs is said by the VO.

The key is made with the VO and lies in the database, encrypted as the CA's key is; its certificate (`VO.manager`) is
the CA's, and names neither a user nor a machine. It signs the archive, and whatever else must be verifiable later as
the VO's own word.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.certificate import key_pem, load_certificate, load_key, make_key
from xos.vom import vos
from xos.vom.core import VomCore
from xos.vom.errors import UnknownVO

COMMON_NAME = "VO manager"
YEARS = 10
_ECDSA = ec.ECDSA(hashes.SHA256())


class Manager:
    """A VO manager's key and certificate."""

    def __init__(self, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256 over *data* (DER, RFC 3279)."""
        return self._key.sign(data, _ECDSA)

    @property
    def certificate_pem(self) -> str:
        """The certificate as PEM."""
        return load_certificate(self.certificate).public_bytes(serialization.Encoding.PEM).decode()


async def make(core: VomCore, vo: str) -> tuple[bytes, bytes]:
    """A new key pair for the manager of *vo*: certificate (DER), key (PEM, encrypted). Not kept yet."""
    key = make_key()
    lifetime = YEARS * 365.25 * 86400
    certificate = await core.signed(
        lambda ca: ca.issue_signer(key.public_key(), COMMON_NAME, vo, lifetime, at=core.now())
    )
    return certificate, await asyncio.to_thread(key_pem, key, core.secret)


async def of(core: VomCore, vo: str) -> Manager:
    """The manager of *vo*; a VO from before there were managers gets one now. Raises `UnknownVO`."""

    def read(connection: sa.Connection) -> tuple[bytes, bytes] | None:
        found, key = vos.find_vo(connection, vo), vos.manager_key(connection, vo)
        return None if found is None else (found.manager, key or b"")

    kept = await core.store.read(read)
    if kept is None:
        raise UnknownVO(vo=vo)
    if not kept[1]:
        made = await make(core, vo)
        await core.store.write(lambda connection: vos.keep_manager(connection, vo, *made))
        return await of(core, vo)
    return Manager(kept[0], await asyncio.to_thread(load_key, kept[1], core.secret))
