# SPDX-License-Identifier: BSD-3-Clause
"""Private keys, and requests to certify them (PKCS#10, RFC 2986)."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from xos.common.errors import BadCsr, BadKey, CsrForbidden, WeakKey, WrongPassphrase

MAX_CSR = 16 * 1024
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    NotImplementedError,  # compressed points of OpenSSH keys
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,  # where warnings are errors: what the next release will refuse
)
"""What `cryptography` raises for malformed structures, some of it only when a part is first looked at."""
_CURVES = ("secp256r1", "secp384r1")


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def load_key(pem: bytes, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """The private key in *pem* (PKCS#8 or SEC 1). Raises `WrongPassphrase`, `BadKey`, `WeakKey`."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase if b"ENCRYPTED" in pem else None)
    except TypeError as error:
        raise WrongPassphrase(detail="missing") from error
    except UNREADABLE as error:
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
    except UNREADABLE as error:
        raise BadCsr(detail="it cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WeakKey(detail="not an EC key")
    _check_curve(key.curve)
    try:
        asked = [attribute.oid.dotted_string for attribute in csr.attributes]
        signed = csr.is_signature_valid
    except UNREADABLE as error:
        raise BadCsr(detail="its attributes or signature cannot be read") from error
    if asked:
        raise CsrForbidden(detail="attributes " + ", ".join(asked[:8]))
    if not signed:
        raise BadCsr(detail="its signature is wrong")
    return csr


def _check_curve(curve: ec.EllipticCurve) -> None:
    if curve.name not in _CURVES:
        raise WeakKey(detail=f"curve {curve.name} is not P-256 or P-384")
