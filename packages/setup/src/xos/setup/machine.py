# SPDX-License-Identifier: BSD-3-Clause
"""Machine certificates: how a machine founds a VO core, or joins one with a token.

The key is made here and stays here; only a certificate signing request leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes

from xos.common.certificate import check_csr, key_pem, make_csr, make_key
from xos.common.errors import StorageError, XosError, from_fault
from xos.common.files import write_atomically
from xos.common.tls import Credential, Trust
from xos.dixi import frames
from xos.dixi.api import Caller
from xos.dixi.errors import BadFrame, ConnectionLost, NotConnected
from xos.dixi.transports import Address, Endpoint, transport
from xos.setup.errors import NotApproved, SetupError
from xos.vom.api import Issued
from xos.vom.errors import MachinePending
from xos.vom.founding import found as found_core
from xos.vom.machines import key_digest
from xos.vom.rca_client import Settings, measure
from xos.vom.word import JoinWord, of_token
from xos.vom.xati import RCAAsync
from xos.xtreemfs.api import Ask, Policy
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCAsync

CONNECT_SECONDS = 10.0
CORE_DAYS = 90.0
TOKEN_MINUTES = 10.0
ASK_SECONDS = 5.0
"""Between two looks whether the machine has been let in."""
LARGEST_ANSWER = 64 * 1024
"""Bytes of what somebody unknown may answer."""


Say = Callable[[str], None]


class WrongAuthority(SetupError):
    """Raised when the VO CA that a machine was given is not the one that its join token names."""

    code = "setup.wrong-authority"
    template = "the token is of the CA {wanted}, but {place} holds {found}"
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

    def request(self, node: str) -> tuple[bytes, bytes]:
        """Key (PEM) and certificate signing request (DER) for *node*, on disk before anybody sees the request.

        Whoever was interrupted after the RCA had answered asks again with the same, and gets the same certificate.
        """
        try:
            kept = msgspec.msgpack.decode(self._asked.read_bytes(), type=tuple[str, bytes, bytes])
        except (FileNotFoundError, msgspec.DecodeError):
            kept = ("", b"", b"")
        if kept[0] != node:
            key = make_key()
            kept = (node, key_pem(key), make_csr(key, node))
            write_atomically(self._asked, msgspec.msgpack.encode(kept), 0o600)
        return kept[1], kept[2]

    def forget_request(self) -> None:
        """The certificate is there: the next request is to be a new one."""
        self._asked.unlink(missing_ok=True)

    @property
    def _asked(self) -> Path:
        return self.key.with_name(f"{self.key.name}.asked")

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


async def create_word(
    core: MachineFiles,
    directory: str,
    front_door: str,
    *,
    node: str,
    addresses: tuple[str, ...] = (),
    minutes: float = TOKEN_MINUTES,
) -> str:
    """A join word for *node*, asked for with the core machine's certificate. Addresses of the core: ``host:port``."""
    endpoint = Endpoint(Trust.load(core.trust), core.credential())
    async with direct(Address.parse(directory), endpoint) as bus:
        token = await RCAAsync(bus).create_token(node, minutes, addresses)
    return of_token(token, front_door=front_door, directory=directory)


HOMES = "home"
"""Name of the volume for the homes of VO users."""
HOMES_MODE = 0o5777
"""Everybody may make a directory of their own name in it (the set-uid bit: `xos.xtreemfs.mrc.access.may_name`), and
nobody but its owner take that away (the sticky bit)."""
VOLUME_SECONDS = 30.0


async def make_homes(core: MachineFiles, directory: str) -> None:
    """The volume `HOMES` at the MRC of the core, asked for with its certificate; one that is there stays as it is."""
    endpoint = Endpoint(Trust.load(core.trust), core.credential())
    async with direct(Address.parse(directory), endpoint) as bus:
        try:
            await MRCAsync(bus).make_volume(HOMES, HOMES_MODE, Policy(), 0, Ask(), deadline=VOLUME_SECONDS)
        except Refused as refused:
            if refused.data["errno"] != errno.EEXIST:
                raise


async def join(files: MachineFiles, word: JoinWord) -> None:
    """Join the grid that *word* names; the VO CA's certificate comes from the core and is believed by its fingerprint.

    Raises `WrongAuthority` before the token is sent, `xos.vom.errors.TokenExpired`, `TokenUsed`, `UnknownToken`,
    `NotConnected`.
    """
    front_door = Address.parse(word.front_door)
    trust = Trust([await fetch_authority(front_door)])
    check_authority(trust, word.ca_fingerprint.hex(), word.front_door)
    key, csr = files.request(word.node)
    async with direct(front_door, Endpoint(trust, None)) as bus:
        issued = await RCAAsync(bus).join(word.token, word.node, csr, measure(Settings()))
    files.keep(key, issued)
    files.forget_request()


async def ask(
    files: MachineFiles, front_door: Address, fingerprint: str, node: str, *, address: str, seconds: float, say: Say
) -> None:
    """Join without a word: ask to be let in, and wait until somebody on the core has approved.

    The key stays the same however often this is begun again, so an approval in the meantime is found. A core that is
    away for a while is waited for too. Raises `NotApproved` after *seconds*, `WrongAuthority`, and what `RCA.ask` does.
    """
    loop, told = asyncio.get_running_loop(), False
    until = loop.time() + seconds
    trust = Trust([await fetch_authority(front_door)])
    check_authority(trust, fingerprint, str(front_door))
    key, csr = files.request(node)
    shown = key_digest(check_csr(csr))
    while True:
        try:
            async with direct(front_door, Endpoint(trust, None)) as bus:
                joining = await RCAAsync(bus).ask(node, csr, (address,) if address else (), measure(Settings()))
            if joining.issued is not None:
                files.keep(key, joining.issued)
                return files.forget_request()
            if not told:
                say(f"{node} has asked; on the core, as root:  xos-resource approve {node} --fingerprint {shown}")
                told = True
        except (NotConnected, ConnectionLost, MachinePending, StorageError) as error:
            if not told:  # it may never have been heard
                raise
            say(f"still waiting: {error.message}")
        if loop.time() + ASK_SECONDS > until:
            raise NotApproved(node=node, place=str(front_door), fingerprint=shown)
        await asyncio.sleep(ASK_SECONDS)


def check_authority(trust: Trust, fingerprint: str, place: str) -> None:
    """Raises `WrongAuthority` unless *trust*, which came from *place*, is of the CA of that SHA-256 *fingerprint*."""
    found = [certificate.fingerprint(hashes.SHA256()).hex() for certificate in trust.ca_certificates]
    if fingerprint not in found:
        raise WrongAuthority(wanted=fingerprint, place=place, found=", ".join(found))


async def fetch_authority(front_door: Address) -> bytes:
    """What whoever answers at *front_door* says is the VO CA's certificate (DER): nothing of it is believed yet.

    The one connection without a check of the other side, since the check needs this certificate. Raises `NotConnected`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([frames.ALPN])
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(front_door.host, front_door.port, ssl=context)
            try:
                writer.writelines(frames.pack_request(1, "CDA.ca", (), int(CONNECT_SECONDS * 1000)))
                return await _answer(reader)
            finally:
                # Nothing is left to be said: no polite end of TLS that would wait for the other side.
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        detail = f"no answer for {CONNECT_SECONDS:.0f} s"
        raise NotConnected(address=str(front_door), detail=detail) from error
    except (OSError, BadFrame, msgspec.DecodeError) as error:  # ssl.SSLError is an OSError
        raise NotConnected(address=str(front_door), detail=str(error) or type(error).__name__) from error


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The bytes that the first result holds."""
    splitter = frames.Splitter(LARGEST_ANSWER)
    while data := await reader.read(LARGEST_ANSWER):
        for body in splitter.feed(data):
            match frames.unpack(body):
                case frames.Result(value=value):
                    return msgspec.msgpack.decode(value, type=bytes)
                case frames.Failure(fault=fault):
                    raise from_fault(fault)
    raise ConnectionResetError("closed by the other side")


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
