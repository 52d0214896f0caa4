# SPDX-License-Identifier: BSD-3-Clause
"""Raw bodies at the gateway: bytes as they are, without JSON, and parts of them by ``Range`` (RFC 9110, section 14).

A method that returns ``bytes`` answers a raw body to whoever accepts ``application/octet-stream``. One with parameters
*offset* and *length* takes them from ``Range: bytes=FIRST-LAST`` too. A body of that type is the last parameter of type
``bytes``; the others are then in the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from xos.dixi.dispatch import Method
from xos.dixi.errors import BadArguments
from xos.dixi.openapi import RAW

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


def wants_raw(request: web.BaseRequest, method: Method) -> bool:
    """Whether the answer is to be the bytes themselves."""
    return method.signature.result is bytes and RAW in request.headers.get("Accept", "")


def body_parameter(method: Method) -> str:
    """The parameter that a raw body is. Raises `BadArguments`."""
    names = [p.name for p in method.signature.parameters if method.signature.types[p.name] is bytes]
    if not names:
        raise BadArguments(method=method.name, service=method.service, detail="it takes no raw body")
    return names[-1]


def part(request: web.BaseRequest, method: Method) -> tuple[int, int] | None:
    """First byte and number of bytes that ``Range`` asks for; None without one. Raises `BadArguments`."""
    text = request.headers.get("Range")
    if text is None or not {"offset", "length"} <= method.signature.types.keys():
        return None
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        detail = f"Range: {text[:40]!r} is not bytes=FIRST-LAST"
        raise BadArguments(method=method.name, service=method.service, detail=detail)
    return int(found[1]), int(found[2]) - int(found[1]) + 1


def query_of(request: web.BaseRequest, method: Method) -> Mapping[str, str]:
    """The arguments in the URL, with those that ``Range`` gives."""
    asked = part(request, method)
    if asked is None:
        return request.query
    return {**request.query, "offset": str(asked[0]), "length": str(asked[1])}


def raw_response(request: web.BaseRequest, method: Method, content: bytes) -> web.Response:
    """The bytes; of a part: 206, or 416 when there is nothing at that place."""
    asked = part(request, method)
    if asked is None:
        return web.Response(body=content, content_type=RAW)
    if not content:
        return web.Response(status=416, headers={"Content-Range": "bytes */*"})
    span = f"bytes {asked[0]}-{asked[0] + len(content) - 1}/*"
    return web.Response(status=206, body=content, content_type=RAW, headers={"Content-Range": span})
