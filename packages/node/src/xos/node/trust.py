# SPDX-License-Identifier: BSD-3-Clause
"""Whom a VO's certificates are believed from: CA and revocations in the directory that the node's daemon keeps current.

Looked at before each decision, so that a suspension counts as soon as the list is there.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common import ssh
from xos.common.certificate import check_issuer, load_certificate, parse_identity
from xos.common.errors import BadSignature, CertificateError, XosError
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.trust import Trust
from xos.node.errors import UnknownVo

log = get_logger("xos.node.trust")

FILES = ("ca.pem", "crl.der")


class Verified(NamedTuple):
    """A certificate that was found good."""

    identity: Identity
    authority: str
    """SHA-256 of the CA's public key, hex."""
    certificate: bytes
    """DER."""


class VoTrust:
    """One directory of trust."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: tuple[object, ...] = ()
        self._trust: Trust | None = None

    def current(self) -> Trust:
        """What is in the directory now. What cannot be read leaves the old in force; raises `XosError` without one."""
        seen = tuple(_stamp(self._directory / name) for name in FILES)
        if self._trust is not None and seen == self._seen:
            return self._trust
        try:
            if self._trust is None:
                self._trust = Trust.load(self._directory)
            else:
                self._trust.reload()
        except (XosError, OSError) as error:
            if self._trust is None:
                raise
            log.warning("trust.unreadable", directory=str(self._directory), detail=str(error))
        self._seen = seen
        return self._trust


class Trusts:
    """The trust of each VO that is served. VOs of one directory share what is read from it."""

    def __init__(self, directories: dict[str, Path]) -> None:
        by_path = {path: VoTrust(path) for path in directories.values()}
        self._vos = {vo: by_path[path] for vo, path in directories.items()}

    def verify(self, certificate: bytes, *, at: float | None = None) -> Verified:
        """Whose user certificate this is, once its VO's CA, its dates and the revocations are found right.

        *certificate*: an XOS-Certificate in DER, or an OpenSSH certificate (as it travels in the SSH protocol) that
        carries one. Raises `UnknownVo`, and what `Trust.identify` and `ssh.verify_user` do.
        """
        if certificate[:1] != b"\0":
            trust = self._trust_for(certificate)
            return Verified(
                trust.identify(certificate, kind=Kind.USER, at=at), _authority(certificate, trust), certificate
            )
        text = base64.b64encode(certificate).decode()
        der = ssh.parse(text).extensions.get(ssh.CARRIED.encode(), b"")
        trust = self._trust_for(der)
        identity, der = ssh.verify_user(text, trust, at=at)
        return Verified(identity, _authority(der, trust), der)

    def renews(self, new: Verified, held: bytes) -> bool:
        """Whether *new* takes the place of *held* (DER): the same CA says the same of its holder, for longer.

        *held* was verified when it was shown; it may have expired since. False for what is no certificate, and for one
        of another CA: containers of one kernel see each other's keys.
        """
        try:
            old = parse_identity(held)
            same = _authority(held, self._trust_for(held)) == new.authority
        except XosError:
            return False
        return same and new.identity.not_after > old.not_after and _holder(new.identity) == _holder(old)

    def _trust_for(self, der: bytes) -> Trust:
        """The trust of the VO that a certificate claims to be of. Not verified: it says whom to ask."""
        vo = parse_identity(der).vo
        if vo not in self._vos:
            raise UnknownVo(vo=vo or "(none)")
        return self._vos[vo].current()


def _holder(identity: Identity) -> Identity:
    return msgspec.structs.replace(identity, serial=0, not_before=0, not_after=0, fingerprint="")


CHALLENGE = "xos-login:"
"""What is signed at a login begins so: no document, handshake or certificate does."""


def prove(verified: Verified, challenge: str, proof: bytes, *, user: str) -> None:
    """Pass when *proof* (ECDSA with SHA-256, DER) is the certificate's key's signature of *challenge*.

    *challenge* is ``xos-login:HOST:USER:RANDOM``, made for this very login of *user*. Raises `BadSignature`.
    """
    key = load_certificate(verified.certificate).public_key()
    right = challenge.startswith(CHALLENGE) and challenge.split(":")[2:3] == [user]
    if not right or not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadSignature(name=str(verified.identity))
    try:
        key.verify(proof, challenge.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadSignature(name=str(verified.identity)) from error


def _authority(der: bytes, trust: Trust) -> str:
    """Which of the CAs signed *der*, which one of them did."""
    certificate = load_certificate(der)
    for ca in trust.ca_certificates:
        if certificate.issuer == ca.subject and _signed(certificate, ca):
            spki = ca.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return hashlib.sha256(spki).hexdigest()
    raise CertificateError(detail="its CA is not trusted any more")


def _signed(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        check_issuer(certificate, (ca,))
    except CertificateError:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
