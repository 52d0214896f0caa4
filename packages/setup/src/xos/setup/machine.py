# SPDX-License-Identifier: BSD-3-Clause
"""Machine certificates: how a machine founds a VO core, or joins one with a token.

The key is made here and stays here; only a certificate signing request leaves.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes

from xos.common.certificate import key_pem, make_csr, make_key
from xos.common.errors import XosError
from xos.common.files import write_atomically
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.transports import Address, Endpoint, transport
from xos.setup.errors import SetupError
from xos.vom.api import Issued, JoinToken
from xos.vom.founding import found as found_core
from xos.vom.xati import RCAAsync

CONNECT_SECONDS = 10.0
CORE_DAYS = 90.0


class WrongAuthority(SetupError):
    """Raised when the VO CA that a machine was given is not the one that its join token names."""

    code = "setup.wrong-authority"
    template = "the token is of the CA {wanted}, but {path} holds {found}"
    hint = "Somebody between this machine and the core may have exchanged the CA certificate"


class MachineFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where one machine keeps certificate, key and trust."""

    certificate: Path
    """PEM."""
    key: Path
    """PEM, not encrypted, mode 0600."""
    trust: Path
    """Directory of ``ca.pem`` and ``crl.der``."""

    def credential(self) -> Credential:
        """Raises `CredentialMissing` and what else `Credential.load` does."""
        return Credential.load(self.certificate, self.key, None)

    def good_for(self, seconds: float, node: str) -> bool:
        """Whether there is a certificate for *node*, by the CA we trust, that holds at least that much longer."""
        try:
            identity = Trust.load(self.trust).identify(self.credential().certificate)
        except XosError:
            return False
        return identity.name == node and identity.not_after > time.time() + seconds

    def keep(self, key: bytes, issued: Issued, crl: bytes | None = None) -> None:
        """Write key (PEM), certificate and CA; the certificate last, so that half of it is never `good_for`."""
        self.certificate.unlink(missing_ok=True)
        self.trust.mkdir(mode=0o755, exist_ok=True)
        write_atomically(self.trust / "ca.pem", Trust([issued.ca]).ca_pem(), 0o644)
        if crl is not None:
            Trust.load(self.trust).set_crl(crl)
        write_atomically(self.key, key, 0o600)
        write_atomically(self.certificate, Trust([issued.certificate]).ca_pem(), 0o644)


async def found(files: MachineFiles, *, vom: Path, node: str, address: str) -> None:
    """Make the VO core in directory *vom* if it is not there, and this machine's certificate as its core.

    Only while no daemon has the core open. Raises what `xos.vom.founding.found` does.
    """
    key = make_key()
    issued, crl = await found_core(vom, node, make_csr(key, node), addresses=(address,), days=CORE_DAYS)
    files.keep(key_pem(key), issued, crl)


async def create_token(core: MachineFiles, rca: Address, *, node: str, address: str) -> JoinToken:
    """A join token for *node*, asked for with the core machine's certificate."""
    endpoint = Endpoint(Trust.load(core.trust), core.credential())
    async with direct(rca, endpoint) as bus:
        return await RCAAsync(bus).create_token(node, 10.0, (address,))


async def join(files: MachineFiles, front_door: Address, token: JoinToken, *, ca: Path) -> None:
    """Join the grid behind *front_door* by *token*, believing the CA certificate in file *ca* (PEM).

    Raises `WrongAuthority` before anything is sent, `xos.vom.errors.TokenExpired`, `TokenUsed`, `UnknownToken`,
    `NotConnected`.
    """
    trust = Trust.from_pem(ca.read_bytes())
    fingerprints = [certificate.fingerprint(hashes.SHA256()).hex() for certificate in trust.ca_certificates]
    if token.ca_fingerprint not in fingerprints:
        raise WrongAuthority(wanted=token.ca_fingerprint, path=str(ca), found=", ".join(fingerprints))
    key = make_key()
    async with direct(front_door, Endpoint(trust, None)) as bus:
        issued = await RCAAsync(bus).join(token.token, token.node, make_csr(key, token.node))
    files.keep(key_pem(key), issued)


class Direct:
    """One connection as a bus: every service is at its other end."""

    def __init__(self, link: Caller) -> None:
        self._link = link

    def caller(self, service: str, node: str | None = None) -> Caller:  # noqa: ARG002 -- the shape of a bus
        """The connection."""
        return self._link


@asynccontextmanager
async def direct(address: Address, endpoint: Endpoint, *, node: str | None = None) -> AsyncIterator[Direct]:
    """A connection to the daemon at *address*, without asking any Directory. Raises `NotConnected`, ``cert.*``."""
    link = await transport("dixi").connect(address, endpoint, node=node, seconds=CONNECT_SECONDS)
    try:
        yield Direct(link)
    finally:
        link.close()
