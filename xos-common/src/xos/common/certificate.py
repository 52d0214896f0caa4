# SPDX-License-Identifier: BSD-3-Clause
"""The XOS-Certificate: an ordinary X.509v3 certificate (RFC 5280) whose extensions say who somebody is in a VO.

Attributes are non-critical extensions; each value is one DER UTF8String, a list is comma separated. The first
eight are the original's; those under ``1.34.5.0.14.100`` are ours. No GlobalUserID means a machine.

====================  ==========================  =====================================================
1.34.5.0.14.1         GlobalPrimaryVOName         users: the VO
1.34.5.0.14.2         GlobalSecondaryVONames      users: further VOs
1.34.5.0.14.3         GlobalUserID                users: the name in the VO
1.34.5.0.14.4         GlobalPrimaryGroupName      users: the primary group
1.34.5.0.14.5         GlobalSecondaryGroupNames   users: further groups
1.34.5.0.14.6         Role                        users: roles in the VO
1.34.5.0.14.7         Group                       users: all groups, without what follows a dot
1.34.5.0.14.8         Subgroup                    users: those groups that have a dot (``physics.atlas``)
1.34.5.0.14.100.1     NodeName                    machines: the node
1.34.5.0.14.100.2     NodeRoles                   machines: ``core``, ``resource``
1.34.5.0.14.100.3     NodeVOs                     machines: the VOs they belong to; none is all
1.34.5.0.14.100.4     NodeCores                   machines: processor cores, a decimal number
1.34.5.0.14.100.5     NodeMemory                  machines: bytes of memory, a decimal number
1.34.5.0.14.100.6     NodeArchitecture            machines: as ``uname -m`` says
1.34.5.0.14.100.7     NodeSite                    machines: where they stand
1.34.5.0.14.100.8     NodeFlavour                 machines: ``pc``, ``ssi``, ``mobile``
1.34.5.0.14.100.9     Capabilities                users: capabilities in the VO
====================  ==========================  =====================================================

Group and Subgroup repeat what 4 and 5 say in the form that the original's software reads; they must agree.
Names match ``[a-z0-9][a-z0-9._-]{0,63}``; groups and roles may have capitals (``VOAdmin``).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from xos.common.attributes import ATTRIBUTES, attributes_of, check_name, identity_of
from xos.common.authority import Authority, new_serial
from xos.common.errors import (
    BadCertificate,
    BadCsr,
    BadKey,
    BadRevocations,
    BadSignature,
    CertificateError,
    CertificateExpired,
    CertificateForeign,
    CertificateNotYetValid,
    CertificateRequired,
    CertificateRevoked,
    CertificateSelfSigned,
    CsrForbidden,
    WeakKey,
    WrongKind,
    WrongPassphrase,
)
from xos.common.identity import Identity
from xos.common.keys import UNREADABLE, check_csr, key_pem, load_key, make_csr, make_key

__all__ = [
    "Authority",
    "BadCertificate",
    "BadCsr",
    "BadKey",
    "BadRevocations",
    "BadSignature",
    "CertificateError",
    "CertificateExpired",
    "CertificateForeign",
    "CertificateNotYetValid",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateSelfSigned",
    "CsrForbidden",
    "WeakKey",
    "WrongKind",
    "WrongPassphrase",
    "check_csr",
    "check_issuer",
    "check_name",
    "check_time",
    "describe",
    "key_pem",
    "load_certificate",
    "load_key",
    "make_csr",
    "make_key",
    "new_serial",
    "parse_identity",
    "verify",
]

MAX_CERTIFICATE = 96 * 1024


def load_certificate(der: bytes) -> x509.Certificate:
    """The certificate in *der*; raises `BadCertificate` when it is too long or cannot be read."""
    if len(der) > MAX_CERTIFICATE:
        raise BadCertificate(detail=f"{len(der)} bytes, at most {MAX_CERTIFICATE} are read")
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise BadCertificate(detail="it cannot be read") from error


def parse_identity(der: bytes) -> Identity:
    """Who the certificate in *der* names, NOT verified. Raises `BadCertificate` for any breach of the profile."""
    return identity_of(load_certificate(der), der)


def verify(
    der: bytes,
    ca: x509.Certificate | Sequence[x509.Certificate],
    crl: x509.CertificateRevocationList | None,
    at: float,
) -> Identity:
    """Who the certificate in *der* names, verified against *ca* and *crl* for the time *at* (Unix seconds).

    Raises `CertificateSelfSigned`, `CertificateForeign`, `CertificateNotYetValid`, `CertificateExpired`,
    `CertificateRevoked`, `BadCertificate`.
    """
    certificate = load_certificate(der)
    check_issuer(certificate, [ca] if isinstance(ca, x509.Certificate) else ca)
    identity = identity_of(certificate, der)
    check_time(identity, at)
    if crl is not None and crl.get_revoked_certificate_by_serial_number(identity.serial) is not None:
        raise CertificateRevoked(name=str(identity), serial=identity.serial)
    return identity


def check_issuer(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> None:
    """Pass when one of *trusted* signed *certificate*; raises `CertificateSelfSigned` or `CertificateForeign`."""
    for ca in trusted:
        try:
            certificate.verify_directly_issued_by(ca)
        except (InvalidSignature, *UNREADABLE):
            continue
        return
    name, issuer = _shown(certificate, "subject"), _shown(certificate, "issuer")
    if name == issuer:
        raise CertificateSelfSigned(name=name, issuer=issuer)
    raise CertificateForeign(name=name, issuer=issuer)


def check_time(identity: Identity, at: float) -> None:
    """Pass when *identity*'s certificate is valid at *at* (Unix seconds, both ends included as in RFC 5280)."""
    if at > identity.not_after:
        raise CertificateExpired(name=str(identity), when=_utc(identity.not_after))
    if at < identity.not_before:
        raise CertificateNotYetValid(name=str(identity), when=_utc(identity.not_before))


def describe(der: bytes) -> dict[str, str]:
    """The attributes of a certificate by their names, for showing to people; not verified."""
    return {ATTRIBUTES[oid]: text for oid, text in attributes_of(load_certificate(der)).items()}


def _shown(certificate: x509.Certificate, which: str) -> str:
    try:
        name = certificate.subject if which == "subject" else certificate.issuer
        return name.rfc4514_string()[:200] or "?"
    except UNREADABLE:
        return "?"


def _utc(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
