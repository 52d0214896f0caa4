# SPDX-License-Identifier: BSD-3-Clause
"""Which key in which token: PKCS#11 URIs (RFC 7512), of which we take what names one private key.

pkcs11:token=vo-ca;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/xos/ca.pin
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

import msgspec

from xos.vom.errors import BadKeyUri

SCHEME = "pkcs11:"
MOST = 1024
_TOKEN = ("token", "serial", "manufacturer", "model")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class KeyUri(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A private key in a token. What is empty was not told."""

    module: str
    """Path of the PKCS#11 library."""
    token: str = ""
    """The token's label."""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    object: str = ""
    """The key's label."""
    id: bytes = b""
    """The key's CKA_ID."""
    pin_file: str = ""

    def __str__(self) -> str:
        key = self.object or self.id.hex(":")
        return f"the key {key} in the token {self.token or self.serial}"


def parse(text: str) -> KeyUri:
    """The URI in *text*. Raises `BadKeyUri`: unknown or repeated parts, no token, no key, no module, a PIN inside."""
    if len(text) > MOST or not text.isascii() or not text.isprintable():
        raise BadKeyUri(detail=f"at most {MOST} printable ASCII characters")
    if not text.startswith(SCHEME):
        raise BadKeyUri(detail=f"it begins with {SCHEME}")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    named, asked = _attributes(path.split(";")), _attributes(query.split("&"))
    if "pin-value" in asked:
        raise BadKeyUri(detail="no PIN in a configuration: say pin-source=FILE")
    if named.pop("type", b"private") != b"private":
        raise BadKeyUri(detail="the CA signs with a private key: type=private")
    known = (*_TOKEN, "object", "id", "module-path", "pin-source")
    for name in (*named, *asked):
        if name not in known or (name in asked) != (name in ("module-path", "pin-source")):
            raise BadKeyUri(detail=f"{name} is not understood here; these are: {', '.join(known)}")
    if not named.get("token") and not named.get("serial"):
        raise BadKeyUri(detail="which token? token=LABEL or serial=NUMBER")
    if not named.get("object") and not named.get("id"):
        raise BadKeyUri(detail="which key? object=LABEL or id=%01")
    texts = {name: _text(name, value) for name, value in {**named, **asked}.items() if name != "id"}
    module, pin_file = texts.pop("module-path", ""), texts.pop("pin-source", "").removeprefix("file:")
    if not module.startswith("/"):
        raise BadKeyUri(detail="module-path=/… names the token's library, by its whole path")
    return KeyUri(module, id=named.get("id", b""), pin_file=pin_file, **texts)


def _attributes(parts: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, parts):
        name, equals, value = part.partition("=")
        if not equals or _ESCAPE.search(value):
            raise BadKeyUri(detail=f"{part[:80]!r} is not NAME=VALUE")
        if name in found:
            raise BadKeyUri(detail=f"{name[:80]} is there twice")
        found[name] = urllib.parse.unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadKeyUri(detail=f"{name} is not UTF-8") from error
    if not text.isprintable():
        raise BadKeyUri(detail=f"{name} has characters that cannot be shown")
    return text
