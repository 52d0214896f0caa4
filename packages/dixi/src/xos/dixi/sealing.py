# SPDX-License-Identifier: BSD-3-Clause
"""Frames that everybody may read and nobody can change: behind each is a tag of AES-GCM (NIST SP 800-38D).

The data is what GCM calls additional: authenticated, not encrypted. Each direction has a key of its own, and the nonce
counts frames, so that none can be left out, repeated or sent back.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xos.dixi.errors import BadFrame
from xos.dixi.frames import HEADER, Bulk

TAG_BYTES = 16
KEY_BYTES = 32
"""Of both directions."""
_NONCE_BYTES = 12


def make_key() -> bytes:
    """A new one."""
    return secrets.token_bytes(KEY_BYTES)


class Seal:
    """One end's: what it sends gets tags, what it is sent must have them."""

    __slots__ = ("_key", "_ours", "_received", "_sent", "_theirs")

    def __init__(self, key: bytes, *, accepted: bool) -> None:
        """*key*: of `KEY_BYTES`; the first half is for what the end says that did not accept the connection.

        Raises `ValueError` for a key of another size.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes")
        half = KEY_BYTES // 2
        ours, theirs = (key[half:], key[:half]) if accepted else (key[:half], key[half:])
        self._key = algorithms.AES(ours)
        self._ours, self._theirs = AESGCM(ours), AESGCM(theirs)
        self._sent = self._received = 0

    def tag(self, *pieces: Bulk) -> bytes:
        """Of what is to be sent next."""
        nonce = self._sent.to_bytes(_NONCE_BYTES, "big")
        self._sent += 1
        if len(pieces) == 1:  # a third of what it costs piece by piece
            return self._ours.encrypt(nonce, b"", pieces[0])
        sealing = Cipher(self._key, modes.GCM(nonce)).encryptor()
        for piece in pieces:
            sealing.authenticate_additional_data(piece)
        sealing.finalize()
        return sealing.tag

    def close(self, frame: tuple[Bulk, ...]) -> list[Bulk]:
        """*frame* (its length first) with its tag behind it; nothing is copied."""
        length = HEADER.pack(sum(map(len, frame)) - HEADER.size + TAG_BYTES)
        body = [memoryview(frame[0])[HEADER.size :], *frame[1:]]
        if not body[0]:
            del body[0]
        return [length, *body, self.tag(*body)]

    def open(self, body: bytes | memoryview) -> memoryview:
        """*body* without its tag. Raises `BadFrame`: it is not what the other end sent next."""
        nonce = self._received.to_bytes(_NONCE_BYTES, "big")
        self._received += 1
        view = memoryview(body)
        content, tag = view[:-TAG_BYTES], view[-TAG_BYTES:]
        try:
            self._theirs.decrypt(nonce, tag, content)
        except (InvalidTag, ValueError) as error:
            raise BadFrame(detail="its tag is wrong: it was altered, left out or repeated on the way") from error
        return content
