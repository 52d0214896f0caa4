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
====================  ==========================  =====================================================

Group and Subgroup repeat what 4 and 5 say in the form that the original's software reads; they must agree.
Names match ``[a-z0-9][a-z0-9._-]{0,63}``; groups and roles may have capitals (``VOAdmin``).
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import re
import secrets
import time
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
from xos.common.identity import Identity, Kind

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
    "check_name",
    "describe",
    "load_certificate",
    "load_key",
    "make_csr",
    "make_key",
    "new_serial",
    "parse_identity",
    "verify",
]

MAX_CERTIFICATE = 96 * 1024
MAX_ATTRIBUTES = 64 * 1024
MAX_CSR = 16 * 1024
BACKDATED_S = 300

_ARC = "1.34.5.0.14"
PRIMARY_VO = x509.ObjectIdentifier(f"{_ARC}.1")
SECONDARY_VOS = x509.ObjectIdentifier(f"{_ARC}.2")
USER_ID = x509.ObjectIdentifier(f"{_ARC}.3")
PRIMARY_GROUP = x509.ObjectIdentifier(f"{_ARC}.4")
SECONDARY_GROUPS = x509.ObjectIdentifier(f"{_ARC}.5")
ROLE = x509.ObjectIdentifier(f"{_ARC}.6")
GROUP = x509.ObjectIdentifier(f"{_ARC}.7")
SUBGROUP = x509.ObjectIdentifier(f"{_ARC}.8")
NODE_NAME = x509.ObjectIdentifier(f"{_ARC}.100.1")
NODE_ROLES = x509.ObjectIdentifier(f"{_ARC}.100.2")

ATTRIBUTES = {
    PRIMARY_VO: "GlobalPrimaryVOName",
    SECONDARY_VOS: "GlobalSecondaryVONames",
    USER_ID: "GlobalUserID",
    PRIMARY_GROUP: "GlobalPrimaryGroupName",
    SECONDARY_GROUPS: "GlobalSecondaryGroupNames",
    ROLE: "Role",
    GROUP: "Group",
    SUBGROUP: "Subgroup",
    NODE_NAME: "NodeName",
    NODE_ROLES: "NodeRoles",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CAPITAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CURVES = ("secp256r1", "secp384r1")


def check_name(name: str, what: str = "name", *, capitals: bool = False) -> str:
    """*name* itself when it may stand in a certificate; raises `BadCertificate` otherwise."""
    if (_CAPITAL_NAME if capitals else _NAME).fullmatch(name) is None:
        letters = "letters" if capitals else "small letters"
        raise BadCertificate(
            detail=f"{what} {name[:80]!r} must be 1 to 64 {letters}, digits, dots, dashes, underscores, "
            "beginning with a letter or digit"
        )
    return name


def new_serial() -> int:
    """A random certificate serial: 63 bits, so that SQL integers and msgpack both hold it."""
    return secrets.randbits(63) | 1 << 62


# --- keys and requests ---


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def load_key(pem: bytes, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """The private key in *pem* (PKCS#8 or SEC 1). Raises `WrongPassphrase`, `BadKey`, `WeakKey`."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase if b"ENCRYPTED" in pem else None)
    except TypeError as error:
        raise WrongPassphrase(detail="missing") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise WrongPassphrase(detail="wrong") from error
        raise BadKey(detail="it cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise WeakKey(detail="not an EC key")
    _check_curve(key.curve)
    return key


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """*key* as PKCS#8 PEM, encrypted when a passphrase is given."""
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def make_csr(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A PKCS#10 request (DER) for *key* with ``CN=name`` and nothing else."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def check_csr(der: bytes) -> x509.CertificateSigningRequest:
    """The request in *der*, once it is known to be harmless.

    Raises `WeakKey` (not EC P-256 or P-384), `CsrForbidden` (extensions or attributes of any kind),
    `BadCsr` (too long, unreadable, not signed by its own key).
    """
    if len(der) > MAX_CSR:
        raise BadCsr(detail=f"{len(der)} bytes, at most {MAX_CSR} are read")
    try:
        csr = x509.load_der_x509_csr(der)
        key = csr.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadCsr(detail="it cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WeakKey(detail="not an EC key")
    _check_curve(key.curve)
    try:
        asked = [attribute.oid.dotted_string for attribute in csr.attributes]
        signed = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadCsr(detail="its attributes or signature cannot be read") from error
    if asked:
        raise CsrForbidden(detail="attributes " + ", ".join(asked[:8]))
    if not signed:
        raise BadCsr(detail="its signature is wrong")
    return csr


def _check_curve(curve: ec.EllipticCurve) -> None:
    if curve.name not in _CURVES:
        raise WeakKey(detail=f"curve {curve.name} is not P-256 or P-384")


# --- reading and verifying ---


def load_certificate(der: bytes) -> x509.Certificate:
    """The certificate in *der*; raises `BadCertificate` when it is too long or cannot be read."""
    if len(der) > MAX_CERTIFICATE:
        raise BadCertificate(detail=f"{len(der)} bytes, at most {MAX_CERTIFICATE} are read")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadCertificate(detail="it cannot be read") from error


def parse_identity(der: bytes) -> Identity:
    """Who the certificate in *der* names, NOT verified. Raises `BadCertificate` for any breach of the profile."""
    return _identity(load_certificate(der), der)


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
    identity = _identity(certificate, der)
    check_time(identity, at)
    if crl is not None and crl.get_revoked_certificate_by_serial_number(identity.serial) is not None:
        raise CertificateRevoked(name=str(identity), serial=identity.serial)
    return identity


def check_issuer(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> None:
    """Pass when one of *trusted* signed *certificate*; raises `CertificateSelfSigned` or `CertificateForeign`."""
    for ca in trusted:
        try:
            certificate.verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
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
    return {ATTRIBUTES[oid]: text for oid, text in _attributes(load_certificate(der)).items()}


def _shown(certificate: x509.Certificate, which: str) -> str:
    try:
        name = certificate.subject if which == "subject" else certificate.issuer
        return name.rfc4514_string()[:200] or "?"
    except ValueError:
        return "?"


def _utc(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _identity(certificate: x509.Certificate, der: bytes) -> Identity:
    found = _attributes(certificate)
    serial = certificate.serial_number
    if not 0 < serial < 1 << 63:
        raise BadCertificate(detail="its serial number is not between 1 and 2^63")
    try:
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except (ValueError, OverflowError) as error:
        raise BadCertificate(detail="its dates cannot be read") from error
    common = {
        "serial": serial,
        "not_before": not_before,
        "not_after": not_after,
        "fingerprint": hashlib.sha256(der).hexdigest(),
    }
    return _user(found, common) if USER_ID in found else _machine(found, common)


def _user(found: dict[x509.ObjectIdentifier, str], common: dict[str, int | str]) -> Identity:
    for oid in (NODE_NAME, NODE_ROLES):
        if oid in found:
            raise BadCertificate(detail=f"both GlobalUserID and {ATTRIBUTES[oid]}")
    for oid in (PRIMARY_VO, PRIMARY_GROUP):
        if oid not in found:
            raise BadCertificate(detail=f"no {ATTRIBUTES[oid]}")
    group = check_name(found[PRIMARY_GROUP], "GlobalPrimaryGroupName", capitals=True)
    groups = _names(found, SECONDARY_GROUPS, capitals=True)
    told = _groups_told(group, groups)
    for oid in (GROUP, SUBGROUP):
        if oid in found and found[oid] != told.get(oid, ""):
            raise BadCertificate(detail=f"{ATTRIBUTES[oid]} disagrees with the group names")
    return Identity(
        Kind.USER,
        check_name(found[USER_ID], "GlobalUserID"),
        vo=check_name(found[PRIMARY_VO], "GlobalPrimaryVOName"),
        group=group,
        groups=groups,
        roles=_names(found, ROLE, capitals=True),
        vos=_names(found, SECONDARY_VOS),
        **common,  # type: ignore[arg-type]
    )


def _machine(found: dict[x509.ObjectIdentifier, str], common: dict[str, int | str]) -> Identity:
    for oid, name in ATTRIBUTES.items():
        if oid in found and oid not in {NODE_NAME, NODE_ROLES}:
            raise BadCertificate(detail=f"{name} without a GlobalUserID")
    if NODE_NAME not in found:
        raise BadCertificate(detail="neither GlobalUserID nor NodeName")
    return Identity(
        Kind.MACHINE,
        check_name(found[NODE_NAME], "NodeName"),
        roles=_names(found, NODE_ROLES),
        **common,  # type: ignore[arg-type]
    )


def _names(
    found: dict[x509.ObjectIdentifier, str], oid: x509.ObjectIdentifier, *, capitals: bool = False
) -> tuple[str, ...]:
    if oid not in found:
        return ()
    names = tuple(check_name(name, ATTRIBUTES[oid], capitals=capitals) for name in found[oid].split(","))
    if len(set(names)) != len(names):
        raise BadCertificate(detail=f"a name twice in {ATTRIBUTES[oid]}")
    return names


def _attributes(certificate: x509.Certificate) -> dict[x509.ObjectIdentifier, str]:
    """The XOS attributes of an end-entity certificate, checked for form but not for sense."""
    try:
        extensions = certificate.extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise BadCertificate(detail="its extensions cannot be read, or one is there twice") from error
    found: dict[x509.ObjectIdentifier, str] = {}
    room = MAX_ATTRIBUTES
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise BadCertificate(detail="it is a CA's certificate, not a user's or a machine's")
        elif isinstance(value, x509.UnrecognizedExtension):
            room -= len(value.value)
            if room < 0:
                raise BadCertificate(detail=f"more than {MAX_ATTRIBUTES} bytes of attributes")
            if extension.oid in ATTRIBUTES:
                found[extension.oid] = read_utf8_string(value.value, ATTRIBUTES[extension.oid])
            elif extension.critical:
                raise BadCertificate(detail=f"unknown critical extension {extension.oid.dotted_string}")
    return found


def read_utf8_string(der: bytes, what: str = "value") -> str:
    """The text of one DER UTF8String (X.690: definite, shortest length; nothing after it); else `BadCertificate`."""
    if len(der) < 2 or der[0] != 0x0C:
        raise BadCertificate(detail=f"{what} is not a UTF8String")
    start, length = 2, der[1]
    if length >= 0x80:
        octets = length & 0x7F
        start += octets
        if not 1 <= octets <= 3 or len(der) < start:
            raise BadCertificate(detail=f"the length of {what} cannot be read")
        length = int.from_bytes(der[2:start], "big")
        if length < 0x80 or der[2] == 0:
            raise BadCertificate(detail=f"the length of {what} is not in its shortest form")
    if len(der) != start + length:
        raise BadCertificate(detail=f"{what} is not as long as it says")
    try:
        return der[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCertificate(detail=f"{what} is not UTF-8") from error


def write_utf8_string(text: str) -> bytes:
    """*text* as one DER UTF8String."""
    value = text.encode()
    if len(value) < 0x80:
        return bytes((0x0C, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((0x0C, 0x80 | len(length))) + length + value


def _groups_told(group: str, groups: Iterable[str]) -> dict[x509.ObjectIdentifier, str]:
    """The Group and Subgroup attributes that follow from the group names."""
    every = list(dict.fromkeys([group, *groups]))
    told = {GROUP: ",".join(dict.fromkeys(name.split(".", 1)[0] for name in every))}
    subgroups = [name for name in every if "." in name]
    if subgroups:
        told[SUBGROUP] = ",".join(subgroups)
    return told


# --- issuing ---


class Authority:
    """A CA: its key and its certificate. Keeps no records; whoever issues decides and remembers. Thread-safe."""

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
    def create(cls, name: str, years: float = 10) -> Authority:
        """A new CA with a key of its own, valid from five minutes ago for *years*."""
        key = make_key()
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
        try:
            parsed = x509.load_pem_x509_certificate(certificate)
        except ValueError as error:
            raise BadCertificate(detail="the CA's cannot be read") from error
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
            **_groups_told(identity.group, identity.groups),
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
        serial: int | None = None,
        at: float | None = None,
    ) -> bytes:
        """A machine's certificate (DER): *roles* are ``core``, ``resource``; *addresses* IP addresses or host names.

        Otherwise as `issue_user`.
        """
        values = {
            NODE_NAME: check_name(node, "node"),
            NODE_ROLES: ",".join(check_name(role, "role") for role in roles),
        }
        also: list[x509.GeneralName] = [x509.DNSName(node)]
        also += [_alternative(address) for address in addresses if address != node]
        names = x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName(also))
        return self._issue(csr, _name(node, "nodes"), values, [_CLIENT_AND_SERVER, names], lifetime_s, serial, at)

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
            self._authority_key,  # type: ignore[list-item]
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
            self._authority_key,  # type: ignore[list-item]
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
