# SPDX-License-Identifier: BSD-3-Clause
"""Whom a process believes: CA certificates and revocations."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.attributes import identity_of
from xos.common.certificate import check_issuer, check_time, load_certificate
from xos.common.credential import read_file, split_pem
from xos.common.errors import BadCertificate, BadRevocations, CertificateRevoked, WrongKind
from xos.common.files import write_atomically
from xos.common.identity import Identity, Kind
from xos.common.keys import UNREADABLE

MAX_CRL = 32 * 1024 * 1024
_CACHED = 4096


class Trust:
    """Whom this process believes: the VO's CA certificates and the current revocations. Thread-safe.

    `check` runs on every call and only compares integers; `identify` remembers what it verified.
    """

    def __init__(self, cas: Iterable[bytes], crl: bytes | None = None, *, directory: Path | None = None) -> None:
        """*cas* and *crl* are DER; with a *directory*, `set_crl` keeps the list there as ``crl.der``."""
        self.ca_certificates: tuple[x509.Certificate, ...] = tuple(load_certificate(ca) for ca in cas)
        if not self.ca_certificates:
            raise BadCertificate(detail="no CA certificate given")
        self.directory = directory
        self.crl_number = -1
        self.crl_next_update = 0
        """Unix seconds; 0 without a CRL. A list past this time stays in force: better old news than none."""
        self._revoked: frozenset[int] = frozenset()
        self._lock = threading.Lock()  # held to change what is known; look-ups need none
        self._known: dict[bytes, tuple[Identity, ec.EllipticCurvePublicKey]] = {}
        if crl is not None:
            self._take_crl(crl)

    @classmethod
    def load(cls, directory: Path) -> Trust:
        """The trust kept in *directory*: ``ca.pem`` (one or more certificates) and, if there, ``crl.der``.

        Raises `CredentialMissing`, `BadCertificate`, `BadRevocations`.
        """
        crl = directory / "crl.der"
        return cls(
            split_pem(read_file(directory / "ca.pem")), crl.read_bytes() if crl.exists() else None, directory=directory
        )

    @classmethod
    def from_pem(cls, pem: bytes) -> Trust:
        """The CA certificates in *pem*, no revocations, nothing kept on disk."""
        return cls(split_pem(pem))

    def ca_pem(self) -> bytes:
        """The CA certificates as PEM."""
        return b"".join(ca.public_bytes(serialization.Encoding.PEM) for ca in self.ca_certificates)

    def check(self, identity: Identity, at: float) -> None:
        """Pass when *identity*, verified earlier, still holds at *at* (Unix seconds). Cheap: called on every call.

        Raises `CertificateExpired`, `CertificateNotYetValid`, `CertificateRevoked`.
        """
        if identity.not_before <= at <= identity.not_after and identity.serial not in self._revoked:
            return
        if identity.kind is Kind.ANONYMOUS:
            return
        if identity.serial in self._revoked:
            raise CertificateRevoked(name=str(identity), serial=identity.serial)
        check_time(identity, at)

    def identify(self, der: bytes, *, kind: Kind | None = None, at: float | None = None) -> Identity:
        """Who the certificate in *der* names, verified against CA, revocations and the time *at* (now).

        *kind*: raise `WrongKind` when it names the other kind of holder. Raises besides what
        `xos.common.certificate.verify` does. A certificate seen before costs two dictionary look-ups.
        """
        return self.holder(der, kind=kind, at=at)[0]

    def holder(
        self, der: bytes, *, kind: Kind | None = None, at: float | None = None
    ) -> tuple[Identity, ec.EllipticCurvePublicKey]:
        """As `identify`, with the public key that the certificate vouches for."""
        known = self._known.get(der)
        if known is None:
            known = self._verify(der)
        identity = known[0]
        self.check(identity, time.time() if at is None else at)
        if kind is not None and identity.kind is not kind:
            raise WrongKind(name=str(identity), kind=identity.kind.value, wanted=kind.value)
        return known

    def set_crl(self, der: bytes) -> bool:
        """Take a newer revocation list into force and keep it on disk; False when it is the one already here.

        Raises `BadRevocations` when it cannot be read, our CA did not sign it, or it is older than ours.
        """
        if not self._take_crl(der):
            return False
        if self.directory is not None:
            write_atomically(self.directory / "crl.der", der, 0o644)
        return True

    def reload(self) -> None:
        """Read the directory again: other CA certificates, a newer list. What cannot be read leaves the old in force.

        TLS contexts made earlier keep the CA certificates they were made with. Raises as `load`, and `ValueError`
        without a directory.
        """
        if self.directory is None:
            raise ValueError("this trust was not loaded from a directory")
        now = Trust.load(self.directory)
        with self._lock:
            if now.ca_certificates != self.ca_certificates:
                self.ca_certificates = now.ca_certificates
                self._known.clear()
            if now.crl_number > self.crl_number:
                self._revoked = now._revoked  # noqa: SLF001 - of our own class
                self.crl_number, self.crl_next_update = now.crl_number, now.crl_next_update

    def _verify(self, der: bytes) -> tuple[Identity, ec.EllipticCurvePublicKey]:
        certificate = load_certificate(der)
        check_issuer(certificate, self.ca_certificates)
        identity = identity_of(certificate, der)
        try:
            key = certificate.public_key()
        except UNREADABLE as error:
            raise BadCertificate(detail="its key cannot be read") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadCertificate(detail="its key is not an EC key")
        with self._lock:
            while len(self._known) >= _CACHED:
                del self._known[next(iter(self._known))]
            self._known[der] = identity, key
        return identity, key

    def _take_crl(self, der: bytes) -> bool:
        number, next_update, revoked = self._read_crl(der)
        if number < self.crl_number:
            raise BadRevocations(detail=f"number {number} is older than ours, {self.crl_number}")
        if number == self.crl_number:
            return False
        self._revoked, self.crl_number, self.crl_next_update = revoked, number, next_update
        return True

    def _read_crl(self, der: bytes) -> tuple[int, int, frozenset[int]]:
        """Number, next update and serials of a list that our CA signed."""
        if len(der) > MAX_CRL:
            raise BadRevocations(detail=f"{len(der)} bytes, at most {MAX_CRL} are read")
        try:
            crl = x509.load_der_x509_crl(der)
            if not any(crl.issuer == ca.subject and _signed_by(crl, ca) for ca in self.ca_certificates):
                raise BadRevocations(detail="our CA did not sign it")
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            next_update = crl.next_update_utc
            serials = frozenset(entry.serial_number for entry in crl)
        except x509.ExtensionNotFound as error:
            raise BadRevocations(detail="it has no number") from error
        except UNREADABLE as error:
            raise BadRevocations(detail="it cannot be read") from error
        return number, int(next_update.timestamp()) if next_update else 0, serials


def _signed_by(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    key = ca.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)
