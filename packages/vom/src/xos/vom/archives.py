# SPDX-License-Identifier: BSD-3-Clause
"""The archive of a dissolved VO, for whoever reads one.

An archive is JSON: ``{"payload": "…", "signature": "base64", "certificate": "PEM"}``. The payload is JSON text itself;
the signature (ECDSA, SHA-256, DER) covers its UTF-8 and is by the key of the certificate, the VO manager's, which the
VO CA has signed.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.certificate import BadSignature, check_issuer
from xos.common.errors import UNDECODABLE


class Sealed(msgspec.Struct, frozen=True):
    """An archive as it is kept."""

    payload: str
    signature: str
    """Base64."""
    certificate: str
    """PEM."""


def verify(content: bytes, ca: x509.Certificate) -> dict[str, Any]:
    """What an archive says, once it is sure that the VO's manager has signed it. Raises `BadSignature`, ``cert.*``."""
    try:
        sealed = msgspec.json.decode(content, type=Sealed)
        certificate = x509.load_pem_x509_certificate(sealed.certificate.encode())
        signature = base64.b64decode(sealed.signature, validate=True)
    except (ValueError, *UNDECODABLE) as error:
        raise BadSignature(name="nobody: it is no archive") from error
    check_issuer(certificate, [ca])
    key = certificate.public_key()
    name = certificate.subject.rfc4514_string()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadSignature(name=name)
    try:
        key.verify(signature, sealed.payload.encode(), ec.ECDSA(hashes.SHA256()))
        said: dict[str, Any] = msgspec.json.decode(sealed.payload)
    except (InvalidSignature, *UNDECODABLE) as error:
        raise BadSignature(name=name) from error
    organisation = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    if [one.value for one in organisation] != [said["vo"]["name"]]:
        raise BadSignature(name=name)
    return said
