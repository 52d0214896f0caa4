# SPDX-License-Identifier: BSD-3-Clause
"""The attributes of an XOS-Certificate: their OIDs, their DER, and the `Identity` that they spell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec
from cryptography import x509

from xos.common.errors import BadCertificate
from xos.common.identity import Identity, Kind
from xos.common.keys import UNREADABLE

MAX_ATTRIBUTES = 64 * 1024

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
NODE_VOS = x509.ObjectIdentifier(f"{_ARC}.100.3")
NODE_CORES = x509.ObjectIdentifier(f"{_ARC}.100.4")
NODE_MEMORY = x509.ObjectIdentifier(f"{_ARC}.100.5")
NODE_ARCHITECTURE = x509.ObjectIdentifier(f"{_ARC}.100.6")
NODE_SITE = x509.ObjectIdentifier(f"{_ARC}.100.7")
NODE_FLAVOUR = x509.ObjectIdentifier(f"{_ARC}.100.8")
CAPABILITIES = x509.ObjectIdentifier(f"{_ARC}.100.9")
DELEGATION = x509.ObjectIdentifier(f"{_ARC}.100.10")
_DELEGATED = "yes"

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
    NODE_VOS: "NodeVOs",
    NODE_CORES: "NodeCores",
    NODE_MEMORY: "NodeMemory",
    NODE_ARCHITECTURE: "NodeArchitecture",
    NODE_SITE: "NodeSite",
    NODE_FLAVOUR: "NodeFlavour",
    CAPABILITIES: "Capabilities",
    DELEGATION: "Delegation",
}
_OF_NODES = frozenset(
    {NODE_NAME, NODE_ROLES, NODE_VOS, NODE_CORES, NODE_MEMORY, NODE_ARCHITECTURE, NODE_SITE, NODE_FLAVOUR}
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CAPITAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str, what: str = "name", *, capitals: bool = False) -> str:
    """*name* itself when it may stand in a certificate; raises `BadCertificate` otherwise."""
    if (_CAPITAL_NAME if capitals else _NAME).fullmatch(name) is None:
        letters = "letters" if capitals else "small letters"
        raise BadCertificate(
            detail=f"{what} {name[:80]!r} must be 1 to 64 {letters}, digits, dots, dashes, underscores, "
            "beginning with a letter or digit"
        )
    return name


def identity_of(certificate: x509.Certificate, der: bytes) -> Identity:
    """Whom *certificate*, whose DER is *der*, names. Raises `BadCertificate` for any breach of the profile."""
    found = attributes_of(certificate)
    serial = certificate.serial_number
    if not 0 < serial < 1 << 63:
        raise BadCertificate(detail="its serial number is not between 1 and 2^63")
    try:
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except UNREADABLE as error:
        raise BadCertificate(detail="its dates cannot be read") from error
    return msgspec.structs.replace(
        _user(found) if USER_ID in found else _machine(found),
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


def _user(found: dict[x509.ObjectIdentifier, str]) -> Identity:
    for oid in found:
        if oid in _OF_NODES:
            raise BadCertificate(detail=f"both GlobalUserID and {ATTRIBUTES[oid]}")
    for oid in (PRIMARY_VO, PRIMARY_GROUP):
        if oid not in found:
            raise BadCertificate(detail=f"no {ATTRIBUTES[oid]}")
    group = check_name(found[PRIMARY_GROUP], "GlobalPrimaryGroupName", capitals=True)
    groups = _names(found, SECONDARY_GROUPS, capitals=True)
    told = groups_told(group, groups)
    for oid in (GROUP, SUBGROUP):
        if oid in found and found[oid] != told.get(oid, ""):
            raise BadCertificate(detail=f"{ATTRIBUTES[oid]} disagrees with the group names")
    if found.get(DELEGATION, _DELEGATED) != _DELEGATED:
        raise BadCertificate(detail=f"{ATTRIBUTES[DELEGATION]} can only say {_DELEGATED!r}")
    return Identity(
        Kind.USER,
        check_name(found[USER_ID], "GlobalUserID"),
        vo=check_name(found[PRIMARY_VO], "GlobalPrimaryVOName"),
        group=group,
        groups=groups,
        roles=_names(found, ROLE, capitals=True),
        vos=_names(found, SECONDARY_VOS),
        capabilities=_names(found, CAPABILITIES, capitals=True),
        delegated=DELEGATION in found,
    )


def _machine(found: dict[x509.ObjectIdentifier, str]) -> Identity:
    for oid, name in ATTRIBUTES.items():
        if oid in found and oid not in _OF_NODES:
            raise BadCertificate(detail=f"{name} without a GlobalUserID")
    if NODE_NAME not in found:
        raise BadCertificate(detail="neither GlobalUserID nor NodeName")
    _measures(found)
    return Identity(
        Kind.MACHINE,
        check_name(found[NODE_NAME], "NodeName"),
        roles=_names(found, NODE_ROLES),
        vos=_names(found, NODE_VOS),
    )


class Measures(msgspec.Struct, frozen=True):
    """What a machine's certificate says of the machine itself; 0 and empty: nothing."""

    cores: int = 0
    memory: int = 0
    """Bytes."""
    architecture: str = ""
    """As ``uname -m`` says."""
    site: str = ""
    flavour: str = ""

    def attributes(self) -> dict[x509.ObjectIdentifier, str]:
        """As they stand in the certificate. Raises `BadCertificate` for what may not."""
        texts = {NODE_ARCHITECTURE: self.architecture, NODE_SITE: self.site, NODE_FLAVOUR: self.flavour}
        told = {oid: check_name(text, ATTRIBUTES[oid], capitals=True) for oid, text in texts.items() if text}
        for oid, number in ((NODE_CORES, self.cores), (NODE_MEMORY, self.memory)):
            if not 0 <= number < 1 << 62:
                raise BadCertificate(detail=f"{ATTRIBUTES[oid]} of {number}")
            if number:
                told[oid] = str(number)
        return told


def measures_of(certificate: x509.Certificate) -> Measures:
    """What a machine's *certificate* says of the machine; not verified. Raises `BadCertificate`."""
    return _measures(attributes_of(certificate))


def _measures(found: dict[x509.ObjectIdentifier, str]) -> Measures:
    names = (NODE_ARCHITECTURE, NODE_SITE, NODE_FLAVOUR)
    texts = (check_name(found[oid], ATTRIBUTES[oid], capitals=True) if oid in found else "" for oid in names)
    return Measures(_number(found, NODE_CORES), _number(found, NODE_MEMORY), *texts)


def _number(found: dict[x509.ObjectIdentifier, str], oid: x509.ObjectIdentifier) -> int:
    if oid not in found:
        return 0
    if _NUMBER.fullmatch(found[oid]) is None:
        raise BadCertificate(detail=f"{ATTRIBUTES[oid]} {found[oid][:40]!r} is not a number")
    return int(found[oid])


_NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def _names(
    found: dict[x509.ObjectIdentifier, str], oid: x509.ObjectIdentifier, *, capitals: bool = False
) -> tuple[str, ...]:
    if oid not in found:
        return ()
    names = tuple(check_name(name, ATTRIBUTES[oid], capitals=capitals) for name in found[oid].split(","))
    if len(set(names)) != len(names):
        raise BadCertificate(detail=f"a name twice in {ATTRIBUTES[oid]}")
    return names


def attributes_of(certificate: x509.Certificate) -> dict[x509.ObjectIdentifier, str]:
    """The XOS attributes of an end-entity certificate, checked for form but not for sense."""
    try:
        extensions = certificate.extensions
    except UNREADABLE as error:
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


def delegation_told(*, delegated: bool) -> str:
    """The Delegation attribute; empty: none."""
    return _DELEGATED if delegated else ""


def write_utf8_string(text: str) -> bytes:
    """*text* as one DER UTF8String."""
    value = text.encode()
    if len(value) < 0x80:
        return bytes((0x0C, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((0x0C, 0x80 | len(length))) + length + value


def groups_told(group: str, groups: Iterable[str]) -> dict[x509.ObjectIdentifier, str]:
    """The Group and Subgroup attributes that follow from the group names."""
    every = list(dict.fromkeys([group, *groups]))
    told = {GROUP: ",".join(dict.fromkeys(name.split(".", 1)[0] for name in every))}
    subgroups = [name for name in every if "." in name]
    if subgroups:
        told[SUBGROUP] = ",".join(subgroups)
    return told
