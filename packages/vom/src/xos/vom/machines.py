# SPDX-License-Identifier: BSD-3-Clause
"""What RCA and founding decide and sign: the pure part."""

from __future__ import annotations

import hashlib
import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from xos.common.attributes import Measures
from xos.common.authority import new_serial
from xos.vom.api import Issued, ResourceAttributes
from xos.vom.core import VomCore
from xos.vom.errors import BadRequest, TokenExpired, TokenForeign, TokenUsed, UnknownToken
from xos.vom.ledger import Signed, Token
from xos.vom.names import check_label
from xos.vom.resources import Machine

MOST_ADDRESSES = 16


def digest(data: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(data).hexdigest()


def key_digest(csr: x509.CertificateSigningRequest) -> str:
    """SHA-256 (hex) of the public key (SubjectPublicKeyInfo, DER)."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return digest(csr.public_key().public_bytes(serialization.Encoding.DER, form))


def check_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """*addresses* in their canonical form, each once; raises `BadRequest` unless they are IP addresses, a few."""
    if len(addresses) > MOST_ADDRESSES:
        raise BadRequest(what="addresses", detail=f"at most {MOST_ADDRESSES}")
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.ip_address(address)))
        except ValueError as error:
            raise BadRequest(what="addresses", detail=f"{address[:80]!r} is not an IP address") from error
    return tuple(dict.fromkeys(found))


def check_attributes(attributes: ResourceAttributes) -> ResourceAttributes:
    """*attributes*, if they may stand in a certificate; else raises `BadRequest`, `BadName`."""
    for what in ("architecture", "site", "flavour"):
        if text := getattr(attributes, what):
            check_label(what, text)
    for what, most in (("cores", 1 << 20), ("memory", 1 << 60)):
        if not 0 <= getattr(attributes, what) <= most:
            raise BadRequest(what=what, detail=f"0 to {most}")
    return attributes


def measured(machine: Machine, attributes: ResourceAttributes | None) -> Machine:
    """*machine* with what it measures of itself, unless a person has told its attributes; the site stays told."""
    if attributes is None or machine.pinned:
        return machine
    resource = machine.resource
    site = attributes.site or resource.attributes.site
    now = msgspec.structs.replace(attributes, site=site, flavour=attributes.flavour or resource.attributes.flavour)
    return msgspec.structs.replace(machine, resource=msgspec.structs.replace(resource, attributes=now))


def judge(token: Token | None, node: str, request: str, now: int) -> Token | bytes:
    """Whether *node* may join: the token, to be used now, or the certificate that the same *request* got before.

    *request* is the `digest` of the CSR. Only who has the token learns more than that it is unknown. Raises
    `UnknownToken`, `TokenForeign`, `TokenUsed`, `TokenExpired`.
    """
    if token is None:
        raise UnknownToken(node=node)
    if token.node != node:
        raise TokenForeign(node=node)
    if token.certificate is not None:
        if token.csr != request:
            raise TokenUsed(node=node)
        return token.certificate
    if now > token.expires:
        raise TokenExpired(node=node)
    return token


async def sign_machine(
    core: VomCore, csr: x509.CertificateSigningRequest, machine: Machine, now: int, lifetime_s: float
) -> tuple[Issued, Signed]:
    """A certificate for *machine*, not yet on record. *csr* has been checked."""
    signed = Signed(new_serial(), now, core.expiry(now, lifetime_s))
    resource, told = machine.resource, machine.resource.attributes
    certificate = await core.signed(
        lambda ca: ca.issue_machine(
            csr,
            machine.node,
            resource.roles,
            resource.addresses,
            lifetime_s,
            vos=resource.vos,
            measures=Measures(told.cores, told.memory, told.architecture, told.site, told.flavour),
            serial=signed.serial,
            at=now,
        )
    )
    return Issued(certificate, core.authority.der, signed.not_after), signed
