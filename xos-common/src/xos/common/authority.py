# SPDX-License-Identifier: BSD-3-Clause
"""Issuing XOS-Certificates and revocation lists."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import time
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xos.common.attributes import (
    CAPABILITIES,
    DELEGATION,
    MAX_ATTRIBUTES,
    NODE_NAME,
    NODE_ROLES,
    NODE_VOS,
    PRIMARY_GROUP,
    PRIMARY_VO,
    ROLE,
    SECONDARY_GROUPS,
    SECONDARY_VOS,
    USER_ID,
    Measures,
    check_name,
    delegation_told,
    groups_told,
    write_utf8_string,
)
from xos.common.errors import BadCertificate, BadKey
from xos.common.identity import Identity
from xos.common.keys import UNREADABLE, check_csr, key_pem, load_key, make_key

BACKDATED_S = 300
NOTHING = Measures()


def new_serial() -> int:
    """A random certificate serial: 63 bits, so that SQL integers and msgpack both hold it."""
    return secrets.randbits(63) | 1 << 62


class Authority:
    """A CA: its key and its certificate. Keeps no records; whoever issues decides and remembers. Thread-safe.

    The key need not be in memory: whatever has the methods of `ec.EllipticCurvePrivateKey` will do; what its `sign`
    raises comes through.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        public = certificate.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or public != key.public_key():
            raise BadKey(detail="it is not the key of the CA certificate")
        self.key = key
        self.certificate = certificate
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self._not_after = int(certificate.not_valid_after_utc.timestamp())
        self._authority_key = x509.Extension(
            x509.AuthorityKeyIdentifier.oid, False, x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        )

    @classmethod
    def create(cls, name: str, years: float = 10, key: ec.EllipticCurvePrivateKey | None = None) -> Authority:
        """A new CA, valid from five minutes ago for *years*, with that key or a new one."""
        key = make_key() if key is None else key
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "XtreemOS"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        now = int(time.time())
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), new_serial())
            .not_valid_before(_when(now - BACKDATED_S))
            .not_valid_after(_when(now + int(years * 365.25 * 86400)))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, key: bytes, certificate: bytes, passphrase: bytes | None = None) -> Authority:
        """The CA in two PEM texts. Raises `WrongPassphrase`, `BadKey`, `BadCertificate`."""
        parsed = load_ca(certificate)
        return cls(load_key(key, passphrase), parsed)

    def key_pem(self, passphrase: bytes | None) -> bytes:
        """The CA's key as PEM, encrypted when a passphrase is given."""
        return key_pem(self.key, passphrase)

    def certificate_pem(self) -> bytes:
        """The CA's certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_user(
        self,
        csr: bytes | x509.CertificateSigningRequest,
        identity: Identity,
        lifetime_s: float,
        *,
        serial: int | None = None,
        at: float | None = None,
    ) -> bytes:
        """A user's certificate (DER) for the key of *csr*: `name`, `vo`, `vos`, groups and roles from *identity*.

        A request given as bytes is checked here (`check_csr`); one given parsed must have come from `check_csr`.
        Valid from five minutes before *at* (now) until *lifetime_s* after it, never beyond the CA itself.
        *serial*: 1 to 2^63 - 1. Raises `BadCertificate` for names that may not stand in a certificate.
        """
        values = {
            PRIMARY_VO: check_name(identity.vo, "VO"),
            SECONDARY_VOS: ",".join(check_name(vo, "VO") for vo in identity.vos),
            USER_ID: check_name(identity.name, "user"),
            PRIMARY_GROUP: check_name(identity.group, "group", capitals=True),
            SECONDARY_GROUPS: ",".join(check_name(group, "group", capitals=True) for group in identity.groups),
            ROLE: ",".join(check_name(role, "role", capitals=True) for role in identity.roles),
            CAPABILITIES: ",".join(check_name(name, "capability", capitals=True) for name in identity.capabilities),
            DELEGATION: delegation_told(delegated=identity.delegated),
            **groups_told(identity.group, identity.groups),
        }
        subject = _name(identity.name, identity.vo)
        return self._issue(csr, subject, values, [_CLIENT_ONLY], lifetime_s, serial, at)

    def issue_machine(
        self,
        csr: bytes | x509.CertificateSigningRequest,
        node: str,
        roles: Iterable[str],
        addresses: Iterable[str],
        lifetime_s: float,
        *,
        vos: Iterable[str] = (),
        measures: Measures = NOTHING,
        serial: int | None = None,
        at: float | None = None,
    ) -> bytes:
        """A machine's certificate (DER): *roles* are ``core``, ``resource``; *addresses* IP addresses or host names.

        *vos*: those that it belongs to; none is all. Otherwise as `issue_user`.
        """
        values = {
            NODE_NAME: check_name(node, "node"),
            NODE_ROLES: ",".join(check_name(role, "role") for role in roles),
            NODE_VOS: ",".join(check_name(vo, "VO") for vo in vos),
            **measures.attributes(),
        }
        also: list[x509.GeneralName] = [x509.DNSName(node)]
        also += [_alternative(address) for address in addresses if address != node]
        names = x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName(also))
        return self._issue(csr, _name(node, "nodes"), values, [_CLIENT_AND_SERVER, names], lifetime_s, serial, at)

    def issue_signer(
        self, public: ec.EllipticCurvePublicKey, common: str, organisation: str, lifetime_s: float, *, at: float
    ) -> bytes:
        """A certificate (DER) for a key that signs statements only: it names nobody, so it opens no door.

        The VO manager's is one: *organisation* is the VO.
        """
        builder = x509.CertificateBuilder(
            self.certificate.subject,
            _name(common, organisation),
            public,
            new_serial(),
            _when(int(at) - BACKDATED_S),
            _when(min(int(at + lifetime_s), self._not_after)),
            [
                _NOT_A_CA,
                _SIGNS,
                x509.Extension(x509.SubjectKeyIdentifier.oid, False, x509.SubjectKeyIdentifier.from_public_key(public)),
                self._authority_key,
            ],
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def crl(
        self,
        revoked: Iterable[tuple[int, float]],
        number: int,
        lifetime_s: float = 7 * 86400,
        *,
        at: float | None = None,
    ) -> bytes:
        """A revocation list (DER, RFC 5280) of (serial, Unix seconds) pairs; *number* only ever grows."""
        now = int(time.time() if at is None else at)
        entries = [
            x509.RevokedCertificateBuilder(serial, _when(int(when))).build() for serial, when in sorted(set(revoked))
        ]
        extensions: list[x509.Extension[x509.ExtensionType]] = [
            self._authority_key,
            x509.Extension(x509.CRLNumber.oid, False, x509.CRLNumber(number)),
        ]
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, _when(now - BACKDATED_S), _when(now + int(lifetime_s)), extensions, entries
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def _issue(
        self,
        csr: bytes | x509.CertificateSigningRequest,
        subject: x509.Name,
        values: dict[x509.ObjectIdentifier, str],
        more: Sequence[x509.Extension[x509.ExtensionType]],
        lifetime_s: float,
        serial: int | None,
        at: float | None,
    ) -> bytes:
        request = check_csr(csr) if isinstance(csr, bytes) else csr
        now = int(time.time() if at is None else at)
        public = request.public_key()
        extensions: list[x509.Extension[x509.ExtensionType]] = [
            _NOT_A_CA,
            _SIGNS,
            *more,
            x509.Extension(x509.SubjectKeyIdentifier.oid, False, x509.SubjectKeyIdentifier.from_public_key(public)),
            self._authority_key,
        ]
        attributes = [
            x509.Extension(oid, False, x509.UnrecognizedExtension(oid, write_utf8_string(text)))
            for oid, text in values.items()
            if text
        ]
        if sum(len(text) for text in values.values()) > MAX_ATTRIBUTES // 2:
            raise BadCertificate(detail="too many groups and roles for one certificate")
        builder = x509.CertificateBuilder(
            self.certificate.subject,
            subject,
            public,
            new_serial() if serial is None else serial,
            _when(now - BACKDATED_S),
            _when(min(now + int(lifetime_s), self._not_after)),
            [*extensions, *attributes],
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def load_ca(pem: bytes) -> x509.Certificate:
    """A CA's certificate. Raises `BadCertificate`."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except UNREADABLE as error:
        raise BadCertificate(detail="the CA's cannot be read") from error


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(check_name(address, "address"))


def _when(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _extension(value: x509.ExtensionType, *, critical: bool) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)


_NOT_A_CA = _extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
_SIGNS = _extension(_key_usage(ca=False), critical=True)
_CLIENT_ONLY = _extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
_CLIENT_AND_SERVER = _extension(
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
)
