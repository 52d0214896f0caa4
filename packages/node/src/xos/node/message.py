# SPDX-License-Identifier: BSD-3-Clause
"""Messages between xos-amsd and the C libraries: ``name=value`` fields, each ended by NUL; binary values in base64.

Made so that C reads one in a loop of `memchr`: no nesting, no numbers, no escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from xos.common.errors import XosError
from xos.node.errors import BadMessage

MAX_MESSAGE = 192 * 1024
"""Bytes; an OpenSSH certificate with 64 kB of attributes fits in base64."""
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,63}")


def encode(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a message. Raises `BadMessage` when a value holds NUL or all together is too long."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    parts = []
    for name, value in pairs:
        if not _NAME.fullmatch(name) or "\0" in value:
            raise BadMessage(detail=f"the field {name[:64]!r} cannot be written")
        parts.append(f"{name}={value}\0".encode())
    data = b"".join(parts)
    if len(data) > MAX_MESSAGE:
        raise BadMessage(detail=f"{len(data)} bytes, at most {MAX_MESSAGE}")
    return data


def decode(data: bytes) -> dict[str, str]:
    """The fields of a message. Raises `BadMessage`."""
    if len(data) > MAX_MESSAGE:
        raise BadMessage(detail=f"more than {MAX_MESSAGE} bytes")
    if not data.endswith(b"\0"):
        raise BadMessage(detail="it does not end with NUL")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadMessage(detail="it is not UTF-8") from error
    fields: dict[str, str] = {}
    for part in text[:-1].split("\0"):
        name, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise BadMessage(detail=f"{part[:40]!r} is no field")
        if name in fields:
            raise BadMessage(detail=f"the field {name} comes twice")
        fields[name] = value
    return fields


def refusal(error: XosError) -> bytes:
    """The message that tells of *error*: code, one line for the user, and what to do."""
    fields = {"error": error.code, "message": _line(error.message), "hint": _line(error.next_step)}
    if error.retry_after_ms is not None:
        fields["retry"] = str(error.retry_after_ms)
    return encode(fields)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:1000]
