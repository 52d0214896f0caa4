# SPDX-License-Identifier: BSD-3-Clause
"""Mutual TLS 1.3: who we are (`Credential`), whom we believe (`Trust`), and what went wrong (`explain_tls_error`)."""

from __future__ import annotations

import dataclasses
import functools
import os
import ssl
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.certificate import (
    check_issuer,
    check_time,
    key_pem,
    load_certificate,
    load_key,
    parse_identity,
)
from xos.common.errors import (
    BadCertificate,
    BadKey,
    BadRevocations,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRequired,
    CertificateRevoked,
    CertificateSelfSigned,
    CredentialMissing,
    KeyExposed,
    NotTls,
    TlsError,
    TlsProtocol,
    TlsVersion,
    WrongKind,
    XosError,
)
from xos.common.files import write_atomically
from xos.common.identity import Identity, Kind

__all__ = [
    "BadCertificate",
    "CertificateExpired",
    "CertificateForeign",
    "CertificateNotYetValid",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateSelfSigned",
    "Credential",
    "CredentialMissing",
    "NotTls",
    "TlsError",
    "Trust",
    "WrongKind",
    "client_context",
    "explain_tls_error",
    "server_context",
    "use_credential",
]

MAX_CRL = 32 * 1024 * 1024
_CACHED = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Credential:
    """A certificate and its private key: what one needs to act as somebody. Never shown by `repr`."""

    certificate: bytes
    """DER."""
    key: ec.EllipticCurvePrivateKey = dataclasses.field(repr=False)
    chain: tuple[bytes, ...] = ()
    """Intermediate certificates (DER), nearest first; our VO CA needs none."""

    def __post_init__(self) -> None:
        if load_certificate(self.certificate).public_key() != self.key.public_key():
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
        certificate, key = _read(cert_path), _read(key_path)
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
        """Certificate and chain as PEM, without the key."""
        return b"".join(_pem(der) for der in (self.certificate, *self.chain))

    def key_pem(self, passphrase: bytes | None) -> bytes:
        """The key as PEM, encrypted when a passphrase is given."""
        return key_pem(self.key, passphrase)

    @classmethod
    def _from_parts(cls, certificates: bytes, key: bytes, passphrase: bytes | None) -> Credential:
        first, *rest = _split(certificates)
        return cls(first, load_key(key, passphrase), tuple(rest))


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
        self._known: dict[bytes, tuple[Identity, ec.EllipticCurvePublicKey]] = {}
        if crl is not None:
            self._take_crl(crl)

    @classmethod
    def load(cls, directory: Path) -> Trust:
        """The trust kept in *directory*: ``ca.pem`` (one or more certificates) and, if there, ``crl.der``.

        Raises `CredentialMissing`, `BadCertificate`, `BadRevocations`.
        """
        crl = directory / "crl.der"
        return cls(_split(_read(directory / "ca.pem")), crl.read_bytes() if crl.exists() else None, directory=directory)

    @classmethod
    def from_pem(cls, pem: bytes) -> Trust:
        """The CA certificates in *pem*, no revocations, nothing kept on disk."""
        return cls(_split(pem))

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

    def _verify(self, der: bytes) -> tuple[Identity, ec.EllipticCurvePublicKey]:
        certificate = load_certificate(der)
        check_issuer(certificate, self.ca_certificates)
        identity = parse_identity(der)
        try:
            key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadCertificate(detail="its key cannot be read") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadCertificate(detail="its key is not an EC key")
        while len(self._known) >= _CACHED:
            self._known.pop(next(iter(self._known)), None)
        self._known[der] = identity, key
        return identity, key

    def _take_crl(self, der: bytes) -> bool:
        crl = _read_crl(der)
        if not any(crl.issuer == ca.subject and _signed_by(crl, ca) for ca in self.ca_certificates):
            raise BadRevocations(detail="our CA did not sign it")
        try:
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            revoked = frozenset(entry.serial_number for entry in crl)
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise BadRevocations(detail="it has no number or cannot be read") from error
        if number < self.crl_number:
            raise BadRevocations(detail=f"number {number} is older than ours, {self.crl_number}")
        if number == self.crl_number:
            return False
        next_update = crl.next_update_utc
        self.crl_next_update = int(next_update.timestamp()) if next_update else 0
        self._revoked, self.crl_number = revoked, number
        return True


def server_context(
    credential: Credential, trust: Trust, *, anonymous: bool = False, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """A TLS 1.3 context to listen with. A client certificate is required, or may be left out with *anonymous*.

    OpenSSL checks chain and dates; the caller must still ask `Trust.identify` of the peer's certificate, which
    checks the profile and the revocations. No session tickets: every connection shows its certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL if anonymous else ssl.CERT_REQUIRED
    _prepare(context, trust, alpn)
    use_credential(context, credential)
    return context


def client_context(credential: Credential | None, trust: Trust, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """A TLS 1.3 context to connect with: the server must show a machine certificate of our CA.

    Which machine it is, the caller reads from `Trust.identify` of the peer's certificate (nodes are known by
    NodeName, not by DNS name, so `check_hostname` is off).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _prepare(context, trust, alpn)
    if credential is not None:
        use_credential(context, credential)
    return context


def use_credential(context: ssl.SSLContext, credential: Credential) -> None:
    """Make later connections of *context* show *credential*: how a daemon takes its renewed certificate into use.

    Python's ssl reads keys from files only: this one is in anonymous memory and gone afterwards.
    """
    fd = os.memfd_create("xos-credential", os.MFD_CLOEXEC)
    try:
        os.write(fd, credential.pem())
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.ftruncate(fd, 0)
        os.close(fd)


def _prepare(context: ssl.SSLContext, trust: Trust, alpn: Sequence[str]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(
        cadata=b"".join(ca.public_bytes(serialization.Encoding.DER) for ca in trust.ca_certificates)
    )
    if alpn:
        context.set_alpn_protocols(list(alpn))


# --- what went wrong ---

# OpenSSL's X509_V_ERR_*: our own check of the other side's certificate failed.
_VERIFY: dict[int, type[XosError]] = {
    9: CertificateNotYetValid,
    10: CertificateExpired,
    18: CertificateSelfSigned,
    19: CertificateSelfSigned,
    20: CertificateForeign,
    21: CertificateForeign,
    7: CertificateForeign,
    23: CertificateRevoked,
    26: WrongKind,
}

# Alerts: the other side's check of ours failed, or we do not speak the same. OpenSSL's reasons, as Python names them.
_ALERTS: dict[str, type[XosError]] = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": CertificateExpired,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": CertificateRevoked,
    # OpenSSL sends "bad certificate" for "not yet valid"; nothing else in our profile leads to it.
    "SSLV3_ALERT_BAD_CERTIFICATE": CertificateNotYetValid,
    "TLSV1_ALERT_UNKNOWN_CA": CertificateForeign,
    "TLSV1_ALERT_DECRYPT_ERROR": CertificateForeign,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": WrongKind,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": BadCertificate,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": CertificateRequired,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": CertificateRequired,
    "TLSV1_ALERT_PROTOCOL_VERSION": TlsVersion,
    "UNSUPPORTED_PROTOCOL": TlsVersion,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": TlsProtocol,
    "NO_APPLICATION_PROTOCOL": TlsProtocol,
    "WRONG_VERSION_NUMBER": NotTls,
    "HTTP_REQUEST": NotTls,
    "RECORD_LAYER_FAILURE": NotTls,
}


def explain_tls_error(exc: ssl.SSLError, credential: Credential | None = None) -> XosError:
    """What *exc* means, as one of our errors. With *credential*, the one we showed, the answer names its holder."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        kind = _VERIFY.get(exc.verify_code, BadCertificate)
        return _build(kind, "the other side", None, exc.verify_message or str(exc))
    kind = _ALERTS.get(exc.reason or "", TlsError)
    identity = None if credential is None else credential.identity
    if kind is CertificateForeign and credential is not None and _is_self_signed(credential.certificate):
        kind = CertificateSelfSigned
    return _build(kind, str(identity) if identity else "this user", identity, exc.reason or str(exc))


def _build(kind: type[XosError], name: str, identity: Identity | None, detail: str) -> XosError:
    when = "an earlier time" if kind is CertificateExpired else "a later time"
    if identity is not None:
        at = identity.not_after if kind is CertificateExpired else identity.not_before
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    wanted = Kind.MACHINE if name == "the other side" else Kind.USER
    return kind(
        name=name,
        when=when,
        issuer="a CA",
        serial=identity.serial if identity else None,
        kind=(identity.kind if identity else Kind.USER).value,
        wanted=wanted.value,
        detail=detail,
    )


def _is_self_signed(der: bytes) -> bool:
    certificate = load_certificate(der)
    return certificate.subject == certificate.issuer


# --- reading ---


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialMissing(path=str(path), detail=error.strerror or "") from error


def _split(pem: bytes) -> list[bytes]:
    try:
        return [c.public_bytes(serialization.Encoding.DER) for c in x509.load_pem_x509_certificates(pem)]
    except ValueError as error:
        raise BadCertificate(detail="no certificate in PEM form in it") from error


def _pem(der: bytes) -> bytes:
    return load_certificate(der).public_bytes(serialization.Encoding.PEM)


def _read_crl(der: bytes) -> x509.CertificateRevocationList:
    if len(der) > MAX_CRL:
        raise BadRevocations(detail=f"{len(der)} bytes, at most {MAX_CRL} are read")
    try:
        return x509.load_der_x509_crl(der)
    except (ValueError, TypeError) as error:
        raise BadRevocations(detail="it cannot be read") from error


def _signed_by(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    key = ca.public_key()
    try:
        return isinstance(key, ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
