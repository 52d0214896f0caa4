# SPDX-License-Identifier: BSD-3-Clause
"""The join word: all that a machine needs in order to join, as one word that can be copied.

    xos1-BASE64URL    of a msgpack array (`JoinWord`) and its CRC-32, so that a word that was cut or mistyped is told

It is as secret as the token in it: good for one node, once, for an hour or so.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

from xos.vom.api import JoinToken
from xos.vom.errors import BadJoinWord

PREFIX = "xos1-"
LONGEST = 1500
"""Characters."""

Place = Annotated[str, Meta(min_length=1, max_length=280)]


class JoinWord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the word says. New fields only at the end, with a default."""

    node: Annotated[str, Meta(min_length=1, max_length=128)]
    """The name that the machine will have."""
    token: Annotated[str, Meta(min_length=1, max_length=128)]
    ca_fingerprint: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """SHA-256 of the VO CA's certificate (DER)."""
    front_door: Place
    """``host:port`` where the RCA hears machines without a certificate."""
    directory: Place
    """``host:port`` of the core's Directory."""

    @property
    def as_token(self) -> JoinToken:
        """What the RCA made."""
        return JoinToken(self.token, self.node, 0, self.ca_fingerprint.hex())


def of_token(token: JoinToken, *, front_door: str, directory: str) -> str:
    """The word for *token* of the core at these addresses (``host:port``)."""
    word = JoinWord(
        node=token.node,
        token=token.token,
        ca_fingerprint=bytes.fromhex(token.ca_fingerprint),
        front_door=front_door,
        directory=directory,
    )
    body = msgspec.msgpack.encode(word)
    return PREFIX + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4, "big")).decode().rstrip("=")


def read(text: str) -> JoinWord:
    """What a word says; blanks and line ends in it, as terminals make them when one copies, do not matter.

    Raises `BadJoinWord`.
    """
    word = "".join(text.split())
    if not word.startswith(PREFIX):
        raise BadJoinWord(detail=f'it does not begin with "{PREFIX}"')
    if len(word) > LONGEST:
        raise BadJoinWord(detail=f"it has more than {LONGEST} characters")
    coded = word.removeprefix(PREFIX)
    try:
        data = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadJoinWord(detail="it holds a character that no word has, or was cut") from error
    body, check = data[:-4], data[-4:]
    if zlib.crc32(body).to_bytes(4, "big") != check:
        raise BadJoinWord(detail="a part of it is missing or mistyped")
    try:
        return msgspec.msgpack.decode(body, type=JoinWord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJoinWord(detail=str(error)) from error
