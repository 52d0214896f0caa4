# SPDX-License-Identifier: BSD-3-Clause
"""Documents signed by a user or a machine, for one purpose, to be verified by anybody in the VO.

The signature (ECDSA with SHA-256) covers ``"xos-signed-v1" NUL purpose NUL payload``, so that what was signed as
a job cannot be shown as anything else.
"""

from __future__ import annotations

import re

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.errors import BadSignature, WrongPurpose
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust

__all__ = ["BadSignature", "Signed", "WrongPurpose", "sign", "verify_signed"]

_DOMAIN = b"xos-signed-v1\0"
_PURPOSE = re.compile(r"[a-z0-9][a-z0-9./-]{0,63}")
_ECDSA = ec.ECDSA(hashes.SHA256())


class Signed(msgspec.Struct, array_like=True, frozen=True):
    """A document with its signature. Positional: new fields only at the end."""

    payload: bytes
    certificate: bytes
    """The signer's, DER."""
    signature: bytes
    """ECDSA, DER (RFC 3279)."""
    purpose: str
    """Such as ``job``; matches ``[a-z0-9][a-z0-9./-]{0,63}``."""


def sign(payload: bytes, credential: Credential, *, purpose: str) -> Signed:
    """*payload* signed by the holder of *credential* for *purpose* and nothing else."""
    signature = credential.key.sign(_covered(payload, purpose), _ECDSA)
    return Signed(payload, credential.certificate, signature, purpose)


def verify_signed(signed: Signed, trust: Trust, *, purpose: str, at: float, kind: Kind | None = None) -> Identity:
    """Who signed, once everything fits: purpose, certificate valid at *at* (Unix seconds), signature.

    *kind*: who may sign at all (a job: `Kind.USER`). Raises `WrongPurpose`, `BadSignature`, `WrongKind`, and what
    `Trust.identify` does. The certificate is verified once and remembered; the signature is verified each time.
    """
    if signed.purpose != purpose:
        raise WrongPurpose(signed_for=signed.purpose[:64], wanted=purpose)
    identity, key = trust.holder(signed.certificate, kind=kind, at=at)
    try:
        key.verify(signed.signature, _covered(signed.payload, purpose), _ECDSA)
    except InvalidSignature as error:
        raise BadSignature(name=str(identity)) from error
    return identity


def _covered(payload: bytes, purpose: str) -> bytes:
    if _PURPOSE.fullmatch(purpose) is None:
        raise ValueError(f"a purpose cannot be {purpose!r}")
    return b"%b%b\0%b" % (_DOMAIN, purpose.encode(), payload)
