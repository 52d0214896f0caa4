# SPDX-License-Identifier: BSD-3-Clause
"""OpenSSH certificates (PROTOCOL.certkeys) of users and hosts, signed by the VO CA's own key.

A user's is for the same key as their XOS-Certificate, whose DER it carries in the extension `CARRIED`; serial and dates
are the same too, the principal is the global identity, ``alice@demo``. That has an ``@``, so it is no local account's
name: an sshd that trusts the CA but does not ask us who may log in (AuthorizedPrincipalsCommand) lets nobody in.

There is one CA key, not two: a node that has the VO's CA certificate has all it needs, and the key cannot be made to
sign one thing for the other. What it signs is DER (first octet 0x30) or an OpenSSH certificate (first octets the
length of a name, 0x000000…), and in the latter sshd and ssh tell users from hosts by the type.
"""

from __future__ import annotations

import base64
import binascii
import struct
import time
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_identity,
    load_ssh_public_key,
)

from xos.common.authority import BACKDATED_S, Authority
from xos.common.certificate import load_certificate, parse_identity
from xos.common.errors import BadCertificate, CertificateForeign, CertificateTooLarge, WeakKey
from xos.common.identity import Identity, Kind
from xos.common.keys import UNREADABLE
from xos.common.trust import Trust

CARRIED = "xos-certificate@xtreemos.eu"
"""The extension whose value is the XOS-Certificate, DER."""
MAX_CARRIED = 16 * 1024
"""Bytes of DER: sshd hands the whole to AuthorizedPrincipalsCommand as one argument, of at most 128 KiB."""
MAX_TEXT = 96 * 1024
PERMITS = ("permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-user-rc")
"""What a session may do unless the VO says otherwise."""
_SMALLEST_RSA = 2048

HostKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def principal(identity: Identity) -> str:
    """The one principal of a user's certificate: the global identity."""
    return f"{identity.name}@{identity.vo}"


def certify_user(authority: Authority, certificate: bytes, permits: Sequence[str] = PERMITS) -> str:
    """The OpenSSH certificate (one line of text) that goes with the XOS-Certificate *certificate* (DER).

    *authority* has issued that. Raises `CertificateTooLarge`, `BadCertificate`.
    """
    if len(certificate) > MAX_CARRIED:
        raise CertificateTooLarge(size=len(certificate), most=MAX_CARRIED)
    identity = parse_identity(certificate)
    builder = (
        SSHCertificateBuilder()
        .public_key(_ec_key(load_certificate(certificate)))
        .serial(identity.serial)
        .type(SSHCertificateType.USER)
        .key_id(f"{identity} {identity.serial:x}".encode())
        .valid_principals([principal(identity).encode()])
        .valid_after(identity.not_before)
        .valid_before(identity.not_after)
        .add_extension(CARRIED.encode(), certificate)
    )
    for permit in sorted(set(permits)):
        builder = builder.add_extension(permit.encode(), b"")
    return _text(builder.sign(authority.key))


def certify_host(
    authority: Authority, key: str, names: Iterable[str], not_after: int, *, serial: int, at: float | None = None
) -> str:
    """A host certificate for the public *key* (a line of ``ssh_host_*_key.pub``), good for *names* until *not_after*.

    *not_after*: Unix seconds. Raises `BadCertificate`, `WeakKey` for a key that is none, or is not Ed25519, ECDSA, or
    RSA of at least 2048 bits.
    """
    principals = list(dict.fromkeys(names))
    return _text(
        SSHCertificateBuilder()
        .public_key(load_host_key(key))
        .serial(serial)
        .type(SSHCertificateType.HOST)
        .key_id(f"{principals[0]} {serial:x}".encode())
        .valid_principals([name.encode() for name in principals])
        .valid_after(int(time.time() if at is None else at) - BACKDATED_S)
        .valid_before(not_after)
        .sign(authority.key)
    )


def load_host_key(line: str) -> HostKey:
    """The key in *line*. Raises `BadCertificate`, `WeakKey`."""
    if len(line) > MAX_TEXT:
        raise BadCertificate(detail=f"an SSH key of {len(line)} characters")
    try:
        key = load_ssh_public_key(line.encode())
    except UNREADABLE as error:
        raise BadCertificate(detail="it is not an SSH public key") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise WeakKey(detail=f"RSA of {key.key_size} bits, fewer than {_SMALLEST_RSA}")
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise WeakKey(detail="an SSH host key must be Ed25519, ECDSA or RSA")
    return key


def verify_user(text: str, trust: Trust, *, at: float | None = None) -> tuple[Identity, bytes]:
    """Whom the OpenSSH certificate *text* names, and the XOS-Certificate (DER) that it carries.

    *text* is a line (``TYPE BASE64 COMMENT``) or its base64 alone. Everything is verified for the time *at* (now): our
    CA signed both certificates, they are for the same key, serial and person, neither is outdated or revoked. Raises
    `BadCertificate`, `CertificateForeign` and what `Trust.identify` does.
    """
    shown = parse(text)
    _check_signer(shown, trust)
    der = shown.extensions.get(CARRIED.encode(), b"")
    if not 0 < len(der) <= MAX_CARRIED:
        raise BadCertificate(detail=f"no XOS-Certificate in its extension {CARRIED}")
    identity, key = trust.holder(der, kind=Kind.USER, at=at)
    if shown.type is not SSHCertificateType.USER or key != shown.public_key():
        raise BadCertificate(detail="it is not a user's, or not for the key of the XOS-Certificate in it")
    if (shown.serial, list(shown.valid_principals)) != (identity.serial, [principal(identity).encode()]):
        raise BadCertificate(detail="it and the XOS-Certificate in it are for different people")
    if (shown.valid_after, shown.valid_before) != (identity.not_before, identity.not_after) or shown.critical_options:
        raise BadCertificate(detail="it has other dates than the XOS-Certificate in it, or critical options")
    return identity, der


def parse(text: str) -> SSHCertificate:
    """The certificate in *text*, NOT verified. Raises `BadCertificate`."""
    if len(text) > MAX_TEXT:
        raise BadCertificate(detail=f"an SSH certificate of {len(text)} characters, at most {MAX_TEXT} are read")
    try:
        found = load_ssh_public_identity(_line(text).encode("ascii"))
    except (*UNREADABLE, struct.error, binascii.Error) as error:
        raise BadCertificate(detail="it is not an SSH certificate") from error
    if not isinstance(found, SSHCertificate):
        raise BadCertificate(detail="it is an SSH key without a certificate")
    return found


def blob(text: str) -> bytes:
    """The certificate or key in *text* as it travels in the SSH protocol. Raises `BadCertificate`."""
    try:
        return base64.b64decode(_line(text).split()[1], validate=True)
    except (ValueError, IndexError) as error:
        raise BadCertificate(detail="it is not an SSH certificate") from error


def trusted_ca_keys(trust: Trust) -> str:
    """For ``TrustedUserCAKeys``: the keys of the VO CAs, a line each."""
    return "".join(f"{_ca_key(ca)} {_ca_name(ca)}\n" for ca in trust.ca_certificates)


def known_hosts(trust: Trust, pattern: str = "*") -> str:
    """For a ``known_hosts`` file: hosts whose name matches *pattern* are who a VO CA says they are."""
    return "".join(f"@cert-authority {pattern} {_ca_key(ca)} {_ca_name(ca)}\n" for ca in trust.ca_certificates)


def _check_signer(shown: SSHCertificate, trust: Trust) -> None:
    """Pass when one of our CAs signed it. `cryptography` reads CA key and signature only when they are asked for."""
    name = _shown(shown.key_id)
    try:
        signer = shown.signature_key()
        if not any(ca.public_key() == signer for ca in trust.ca_certificates):
            raise CertificateForeign(name=name, issuer="another SSH CA")
        shown.verify_cert_signature()
    except InvalidSignature as error:
        raise CertificateForeign(name=name, issuer="somebody else in the name of our CA") from error
    except UNREADABLE as error:
        raise BadCertificate(detail="its signature cannot be read") from error


def _line(text: str) -> str:
    fields = text.split()
    if len(fields) > 1:
        return f"{fields[0]} {fields[1]}"
    data = base64.b64decode(fields[0] if fields else "", validate=True)
    (length,) = struct.unpack_from(">I", data)
    return f"{data[4 : 4 + min(length, 64)].decode('ascii')} {fields[0]}"


def _text(certificate: SSHCertificate) -> str:
    return certificate.public_bytes().decode("ascii")


def _ec_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadCertificate(detail="its key is not an EC key")
    return key


def _ca_key(ca: x509.Certificate) -> str:
    line = _ec_key(ca).public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line.decode("ascii")


def _ca_name(ca: x509.Certificate) -> str:
    """A comment: whatever the subject holds, it stays on its line."""
    name = "".join(c if c.isprintable() else "?" for c in ca.subject.rfc4514_string())
    return name.replace(" ", "-")[:120]


def _shown(key_id: bytes) -> str:
    return key_id[:120].decode("utf-8", "replace")
