# SPDX-License-Identifier: BSD-3-Clause
"""A private key in a token, for whatever signs with `cryptography`: X.509 and OpenSSH certificates, CRLs."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from xos.vom.errors import AuthorityAway, AuthorityLocked
from xos.vom.pkcs11.process import Done, Failed, Open, Sign
from xos.vom.pkcs11.uri import KeyUri

ANSWER_SECONDS = 10.0
"""A token that takes longer is away."""
RETRY_MS = 5000
Pin = Callable[[], bytes]
_ANSWERS = msgspec.json.Decoder(Done | Failed)


class TokenKey(ec.EllipticCurvePrivateKey):
    """The key that *uri* names. `sign` blocks for the token; what fails is begun anew, once, and next time again.

    A PIN that was refused is not shown again before it has changed: tokens lock themselves after a few tries.
    """

    def __init__(self, uri: KeyUri, pin: Pin, public: ec.EllipticCurvePublicKey) -> None:
        self._uri = uri
        self._pin = pin
        self._public = public
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._refused = b""

    @property
    def curve(self) -> ec.EllipticCurve:
        """The public key's."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """As the CA's certificate has it."""
        return self._public

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA (DER, RFC 3279). Raises `AuthorityAway`, `AuthorityLocked`."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            raise UnsupportedAlgorithm("only whole messages are signed")
        digest = hashes.Hash(algorithm)
        digest.update(data)
        with self._lock:
            return self._sign(digest.finalize())

    def close(self) -> None:
        """Let go of the token; the next `sign` takes it again."""
        with self._lock:
            self._drop()

    def _sign(self, digest: bytes) -> bytes:
        if self._child is not None:
            try:
                return _der(self._child.ask(Sign(digest)))
            except AuthorityAway:
                self._drop()  # taken out and put in again, perhaps: a new session will tell
        self._connect()
        return self._signed(digest)

    def _connect(self) -> None:
        pin = self._pin()
        shown = hashlib.sha256(pin).digest()
        if shown == self._refused:
            raise AuthorityLocked(key=str(self._uri), detail="the PIN was refused before and is the same still")
        self._child = _Child(self._uri)
        try:
            self._child.ask(Open(self._uri, pin.decode("utf-8", "replace")))
        except AuthorityLocked:
            self._refused = shown
            self._drop()
            raise
        except AuthorityAway:
            self._drop()
            raise
        self._refused = b""
        # Another token may be called the same: nothing is signed by a key that is not the CA's.
        probe = os.urandom(32)
        try:
            self._public.verify(self._signed(probe), probe, ec.ECDSA(Prehashed(hashes.SHA256())))
        except InvalidSignature as error:
            self._drop()
            raise AuthorityAway(key=str(self._uri), detail="it is not the key of the CA certificate") from error

    def _signed(self, digest: bytes) -> bytes:
        if self._child is None:
            raise AuthorityAway(key=str(self._uri), detail="its process has ended")
        try:
            return _der(self._child.ask(Sign(digest)))
        except AuthorityAway:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def private_numbers(self) -> NoReturn:
        """It never leaves the token."""
        raise UnsupportedAlgorithm("the key is in a token")

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """It never leaves the token."""
        raise UnsupportedAlgorithm("the key is in a token")

    def exchange(self, *_: object, **__: object) -> NoReturn:
        """A CA signs."""
        raise UnsupportedAlgorithm("the key is in a token, to sign with")


def found(uri: KeyUri, pin: Pin) -> TokenKey:
    """The key that *uri* names, made in the token if there is none of that name.

    Raises `AuthorityAway`, `AuthorityLocked`.
    """
    child = _Child(uri)
    try:
        point = child.ask(Open(uri, pin().decode("utf-8", "replace"), make=True))
    finally:
        child.end()
    curve = {65: ec.SECP256R1(), 97: ec.SECP384R1()}.get(len(point))
    try:
        if curve is None:
            raise ValueError(f"a public key of {len(point)} bytes")
        return TokenKey(uri, pin, ec.EllipticCurvePublicKey.from_encoded_point(curve, point))
    except ValueError as error:
        detail = "there must be its public key too, on P-256 or P-384"
        raise AuthorityAway(key=str(uri), detail=detail) from error


class _Child:
    """The process that talks to the token; see `xos.vom.pkcs11.process`."""

    def __init__(self, uri: KeyUri) -> None:
        self._uri = uri
        command = [sys.executable, "-I", "-m", "xos.vom.pkcs11.process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(self, request: Open | Sign) -> bytes:
        """What it answers, within `ANSWER_SECONDS`. Raises `AuthorityAway`, `AuthorityLocked`."""
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(msgspec.json.encode(request) + b"\n")
        except OSError as error:
            raise self._away("its process has ended") from error
        try:
            answer = _ANSWERS.decode(self._line())
        except msgspec.DecodeError as error:
            raise self._away("its process has crashed") from error
        if isinstance(answer, Done):
            return answer.value
        if answer.pin:
            raise AuthorityLocked(key=str(self._uri), detail=answer.detail)
        raise self._away(answer.detail)

    def _line(self) -> bytes:
        line, until, pipe = b"", time.monotonic() + ANSWER_SECONDS, self._process.stdout
        while pipe is not None and not line.endswith(b"\n"):
            poll = select.poll()  # not select(): a daemon has more than 1,024 files open
            poll.register(pipe, select.POLLIN)
            left = until - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise self._away(f"no answer for {ANSWER_SECONDS:g} s")
            more = pipe.read(4096)
            if not more:
                break
            line += more
        return line

    def end(self) -> None:
        """Kill it, whatever its library does, and reap it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _away(self, detail: str) -> AuthorityAway:
        error = AuthorityAway(key=str(self._uri), detail=detail)
        error.retry_after_ms = RETRY_MS
        return error


def _der(raw: bytes) -> bytes:
    """A signature as PKCS#11 has it, r and s, in the form of X.509."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
