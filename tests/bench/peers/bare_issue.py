# SPDX-License-Identifier: BSD-3-Clause
"""Issues certificates with bare `cryptography` (run as ``python -m``): parse the request, check it, sign.

Each certificate has six VO attributes beside the usual extensions, as an XOS-Certificate has.
Requests: ``{"by": "certificate" or "password", "count": N}``.
"""

from __future__ import annotations

import datetime
import json
import sys
import time

import argon2  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PASSWORD = "correct horse battery staple"
TEXT = b"\x0c\x05users"
ATTRIBUTES = [x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.34.5.0.14.1.{n}"), TEXT) for n in range(1, 7)]


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Issuer:
    """A CA and one request."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        holder = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(_name("alice")).sign(holder, hashes.SHA256())
        self._csr = request.public_bytes(serialization.Encoding.DER)
        # As the CDA does it: RFC 9106's second choice, in one lane.
        self._hasher = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1, type=argon2.Type.ID)
        self._kept = self._hasher.hash(PASSWORD)

    def by_certificate(self) -> bytes:
        """One certificate (DER)."""
        request = x509.load_der_x509_csr(self._csr)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed by its key")
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder(issuer_name=_name("bench CA"), subject_name=request.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=12))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        for attribute in ATTRIBUTES:
            builder = builder.add_extension(attribute, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def by_password(self) -> bytes:
        """The same, once the password is found right."""
        self._hasher.verify(self._kept, PASSWORD)
        return self.by_certificate()


def main() -> None:
    """Answer requests until the input ends."""
    issuer = Issuer()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        one = issuer.by_password if request["by"] == "password" else issuer.by_certificate
        begin = time.perf_counter()
        for _ in range(request["count"]):
            one()
        print(json.dumps({"wall": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
