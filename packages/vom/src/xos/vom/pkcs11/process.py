# SPDX-License-Identifier: BSD-3-Clause
"""The process that talks to the token: ``python -m xos.vom.pkcs11.process``, one line of JSON each way.

A process, since a token's library is somebody else's code: it may hang (PyKCS11 keeps the interpreter's lock meanwhile)
or crash, and then takes this with it and not the daemon. It ends when its standard input does.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

import msgspec

from xos.vom.pkcs11.uri import KeyUri

P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve as CKA_EC_PARAMS has it: its OID, DER."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Log in and find the key; answered with its public point if the token tells it."""

    key: KeyUri
    pin: str
    make: bool = False
    """Make a key pair there if there is none: P-256, not to be taken out."""


class Sign(msgspec.Struct, frozen=True, tag="sign"):
    """Sign a digest; answered with r and s, both as long as the curve."""

    digest: bytes


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It worked."""

    value: bytes


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It did not."""

    detail: str
    pin: bool = False
    """The token does not take the PIN: another try with it may lock the token."""


class Refused(Exception):
    """Raised here for what the parent is told as `Failed`."""

    def __init__(self, detail: str, *, pin: bool = False) -> None:
        super().__init__(detail)
        self.told = Failed(detail, pin)


class Token:
    """A session with the token. *library* is the module PyKCS11."""

    def __init__(self, library: Any, asked: Open) -> None:
        self._p = library
        self._uri = asked.key
        lib = library.PyKCS11Lib()
        lib.load(asked.key.module)
        self._lib = lib
        self._session = lib.openSession(self._slot(), library.CKF_SERIAL_SESSION | library.CKF_RW_SESSION)
        self._log_in(asked.pin)
        found = self._find(library.CKO_PRIVATE_KEY)
        if not found and asked.make:
            self._make()
            found = self._find(library.CKO_PRIVATE_KEY)
        if len(found) != 1:
            raise Refused(f"{len(found) or 'no'} private keys are called so there")
        self._key = found[0]

    def point(self) -> bytes:
        """The public key, uncompressed (SEC 1); empty when the token does not tell it."""
        for key in self._find(self._p.CKO_PUBLIC_KEY):
            point = bytes(self._session.getAttributeValue(key, [self._p.CKA_EC_POINT])[0] or ())
            # Most tokens wrap it in an OCTET STRING, as the standard says.
            return point[2:] if point[:1] == b"\x04" and point[1:3] in (b"\x41\x04", b"\x61\x04") else point
        return b""

    def sign(self, digest: bytes) -> bytes:
        """ECDSA over *digest*."""
        return bytes(self._session.sign(self._key, digest, self._p.Mechanism(self._p.CKM_ECDSA, None)))

    def _slot(self) -> Any:
        for slot in self._lib.getSlotList(tokenPresent=True):
            info = self._lib.getTokenInfo(slot)
            told = {"token": info.label, "serial": info.serialNumber}
            told |= {"manufacturer": info.manufacturerID, "model": info.model}
            if all(getattr(self._uri, name) in ("", text.strip(" \0")) for name, text in told.items()):
                return slot
        raise Refused("there is no such token")

    def _log_in(self, pin: str) -> None:
        p = self._p
        try:
            self._session.login(pin)
        except p.PyKCS11Error as error:
            if error.value in (p.CKR_PIN_INCORRECT, p.CKR_PIN_INVALID, p.CKR_PIN_LEN_RANGE, p.CKR_PIN_LOCKED):
                raise Refused(_code(error), pin=True) from error
            if error.value != p.CKR_USER_ALREADY_LOGGED_IN:
                raise

    def _find(self, kind: int) -> Any:
        p, uri = self._p, self._uri
        named: list[Any] = [(p.CKA_LABEL, uri.object)] if uri.object else []
        named += [(p.CKA_ID, tuple(uri.id))] if uri.id else []
        return self._session.findObjects([(p.CKA_CLASS, kind), (p.CKA_KEY_TYPE, p.CKK_EC), *named])

    def _make(self) -> None:
        p, uri = self._p, self._uri
        both = [(p.CKA_TOKEN, p.CK_TRUE), (p.CKA_KEY_TYPE, p.CKK_EC), (p.CKA_ID, tuple(uri.id or os.urandom(8)))]
        both += [(p.CKA_LABEL, uri.object)] if uri.object else []
        public = [*both, (p.CKA_CLASS, p.CKO_PUBLIC_KEY), (p.CKA_VERIFY, p.CK_TRUE), (p.CKA_EC_PARAMS, tuple(P256))]
        private = [*both, (p.CKA_CLASS, p.CKO_PRIVATE_KEY), (p.CKA_SIGN, p.CK_TRUE), (p.CKA_PRIVATE, p.CK_TRUE)]
        private += [(p.CKA_SENSITIVE, p.CK_TRUE), (p.CKA_EXTRACTABLE, p.CK_FALSE)]
        self._session.generateKeyPair(public, private, mecha=p.Mechanism(p.CKM_EC_KEY_PAIR_GEN, None))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each line of *requests* until they end, or one failed: then the parent begins anew."""
    token: Token | None = None
    decoder = msgspec.json.Decoder(Open | Sign)
    for line in requests:
        asked = decoder.decode(line)
        try:
            import PyKCS11

            if isinstance(asked, Open):
                token = Token(PyKCS11, asked)
                answer: Done | Failed = Done(token.point())
            elif token is None:
                answer = Failed("not logged in")
            else:
                answer = Done(token.sign(asked.digest))
        except ModuleNotFoundError:
            answer = Failed("python3-pykcs11 is not installed")
        except Refused as error:
            answer = error.told
        except PyKCS11.PyKCS11Error as error:
            answer = Failed(_code(error))
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()
        if isinstance(answer, Failed):
            return


def _code(error: Exception) -> str:
    return str(error).strip()[:200]


def main() -> None:
    """Keep standard output for answers: what the token's library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
