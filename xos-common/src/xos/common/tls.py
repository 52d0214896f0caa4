# SPDX-License-Identifier: BSD-3-Clause
"""Mutual TLS 1.3: who we are (`Credential`), whom we believe (`Trust`), and what went wrong (`explain_tls_error`)."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Sequence

from cryptography.hazmat.primitives import serialization

from xos.common.certificate import load_certificate
from xos.common.credential import Credential
from xos.common.errors import (
    BadCertificate,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRequired,
    CertificateRevoked,
    CertificateSelfSigned,
    CredentialMissing,
    NotTls,
    TlsError,
    TlsProtocol,
    TlsVersion,
    WrongKind,
    XosError,
)
from xos.common.identity import Identity, Kind
from xos.common.keys import UNREADABLE
from xos.common.trust import Trust

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

# Alerts (RFC 8446, 6.2): the other side's check of ours failed, or we do not speak the same. Keys are what follows
# "alert" in OpenSSL's reason, else the whole reason.
_REASONS: dict[str, type[XosError]] = {
    "CERTIFICATE_EXPIRED": CertificateExpired,
    "CERTIFICATE_REVOKED": CertificateRevoked,
    # OpenSSL sends "bad certificate" for "not yet valid"; nothing else in our profile leads to it.
    "BAD_CERTIFICATE": CertificateNotYetValid,
    "UNKNOWN_CA": CertificateForeign,
    "DECRYPT_ERROR": CertificateForeign,
    "UNSUPPORTED_CERTIFICATE": WrongKind,
    "CERTIFICATE_UNKNOWN": BadCertificate,
    "CERTIFICATE_REQUIRED": CertificateRequired,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": CertificateRequired,
    "PROTOCOL_VERSION": TlsVersion,
    "UNSUPPORTED_PROTOCOL": TlsVersion,
    "NO_APPLICATION_PROTOCOL": TlsProtocol,
    "WRONG_VERSION_NUMBER": NotTls,
    "HTTP_REQUEST": NotTls,
    "RECORD_LAYER_FAILURE": NotTls,
    "PACKET_LENGTH_TOO_LONG": NotTls,
}


def explain_tls_error(exc: ssl.SSLError, credential: Credential | None = None) -> XosError:
    """What *exc* means, as one of our errors. With *credential*, the one we showed, the answer names its holder."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        kind = _VERIFY.get(exc.verify_code, BadCertificate)
        return _build(kind, "the other side", None, exc.verify_message or str(exc))
    kind = _REASONS.get(_reason(exc), TlsError)
    identity = None if credential is None else _identity(credential)
    if kind is CertificateForeign and credential is not None and _is_self_signed(credential.certificate):
        kind = CertificateSelfSigned
    return _build(kind, str(identity) if identity else "this user", identity, exc.reason or str(exc))


def _reason(exc: ssl.SSLError) -> str:
    """``CERTIFICATE_EXPIRED`` from ``SSLV3_ALERT_CERTIFICATE_EXPIRED``, or from the text where Python has no name."""
    told = (exc.reason or str(exc)).upper().replace(" ", "_")
    found = re.search(r"ALERT_([A-Z_]+?)(?:_\(|$)", told)
    return found[1] if found else told


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


def _identity(credential: Credential) -> Identity | None:
    try:
        return credential.identity
    except BadCertificate:
        return None  # somebody else's certificate, outside our profile: explained without a name


def _is_self_signed(der: bytes) -> bool:
    certificate = load_certificate(der)
    try:
        return certificate.subject == certificate.issuer
    except UNREADABLE:
        return False
