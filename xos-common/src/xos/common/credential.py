# SPDX-License-Identifier: BSD-3-Clause
"""A certificate with its private key, in memory and in PEM files."""

from __future__ import annotations

import dataclasses
import functools
import re
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.certificate import key_pem, load_certificate, load_key, parse_identity
from xos.common.errors import BadCertificate, BadKey, CredentialMissing, KeyExposed
from xos.common.identity import Identity
from xos.common.keys import UNREADABLE

_SSH = re.compile(rb"^(ecdsa-sha2-nistp(?:256|384)-cert-v01@openssh\.com [A-Za-z0-9+/=]+)", re.MULTILINE)
"""An OpenSSH certificate as it stands, one line of text, among the PEM blocks: readers of PEM pass it over."""


@dataclasses.dataclass(frozen=True, eq=False)
class Credential:
    """A certificate and its private key: what one needs to act as somebody. Never shown by `repr`."""

    certificate: bytes
    """DER."""
    key: ec.EllipticCurvePrivateKey = dataclasses.field(repr=False)
    chain: tuple[bytes, ...] = ()
    """Intermediate certificates (DER), nearest first; our VO CA needs none."""
    ssh: str = ""
    """The OpenSSH certificate for the same key, one line (`xos.common.ssh`); empty: there is none. Not verified."""

    def __post_init__(self) -> None:
        try:
            vouched_for = load_certificate(self.certificate).public_key()
        except UNREADABLE as error:
            raise BadCertificate(detail="its key cannot be read") from error
        if vouched_for != self.key.public_key():
            raise BadKey(detail="it is not the key of the certificate")

    @functools.cached_property
    def identity(self) -> Identity:
        """Whom the certificate names. Raises `BadCertificate`."""
        return parse_identity(self.certificate)

    @classmethod
    def load(cls, cert_path: Path, key_path: Path, passphrase: bytes | None = None) -> Credential:
        """The credential in two PEM files.

        Raises `CredentialMissing`, `KeyExposed` (an unencrypted key that others may read), `WrongPassphrase`,
        `BadKey`, `BadCertificate`.
        """
        certificate, key = read_file(cert_path), read_file(key_path)
        if b"ENCRYPTED" not in key and stat.S_IMODE(key_path.stat().st_mode) & 0o077:
            raise KeyExposed(path=str(key_path))
        return cls._from_parts(certificate, key, passphrase)

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> Credential:
        """The credential in one PEM text: certificate, key, further certificates, in any order."""
        return cls._from_parts(pem, pem, passphrase)

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """Certificate, chain and key as one PEM text; the key is NOT encrypted without a passphrase."""
        return self.certificate_pem() + key_pem(self.key, passphrase)

    def certificate_pem(self) -> bytes:
        """Certificate and chain as PEM, without the key; the OpenSSH certificate after them."""
        ssh = f"{self.ssh}\n".encode() if self.ssh else b""
        return b"".join(_pem(der) for der in (self.certificate, *self.chain)) + ssh

    def key_pem(self, passphrase: bytes | None) -> bytes:
        """The key as PEM, encrypted when a passphrase is given."""
        return key_pem(self.key, passphrase)

    @classmethod
    def _from_parts(cls, certificates: bytes, key: bytes, passphrase: bytes | None) -> Credential:
        first, *rest = split_pem(certificates)
        ssh = _SSH.search(certificates)
        return cls(first, load_key(key, passphrase), tuple(rest), ssh[1].decode() if ssh else "")


def read_file(path: Path) -> bytes:
    """What is in *path*; raises `CredentialMissing`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialMissing(path=str(path), detail=error.strerror or "") from error


def split_pem(pem: bytes) -> list[bytes]:
    """The certificates (DER) in *pem*; raises `BadCertificate` when there is none."""
    try:
        return [c.public_bytes(serialization.Encoding.DER) for c in x509.load_pem_x509_certificates(pem)]
    except UNREADABLE as error:
        raise BadCertificate(detail="no certificate in PEM form in it") from error


def _pem(der: bytes) -> bytes:
    return load_certificate(der).public_bytes(serialization.Encoding.PEM)
