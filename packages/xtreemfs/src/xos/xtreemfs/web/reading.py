# SPDX-License-Identifier: BSD-3-Clause
"""A file as the answer to GET or HEAD: conditions, ranges, and the bytes as they come from the OSDs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import stat
from collections.abc import AsyncGenerator

from aiohttp import web

from xos.common.log import get_logger
from xos.xtreemfs.api import MOST_BYTES, Access, Claim, Inode, Open
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.runs import Bytes
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.errors import NotAsExpected, PathInTheWay
from xos.xtreemfs.web.asked import Place, Unsatisfiable, etag, http_date, matches, span, unchanged_since

log = get_logger("xos.xtreemfs.web")

WRITE_SECONDS = 60.0
"""A client that takes nothing for so long is given up."""


_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
"""A file is somebody's: a browser shows it, but runs nothing of it with its reader's certificate at hand."""


async def send_file(
    request: web.BaseRequest, client: VolumeClient, place: Place, found: Inode, claim: Claim, kind: str
) -> web.StreamResponse:
    """The file, or the part of it that is asked for. Raises `OSError`, `NotAsExpected`, `PathInTheWay`."""
    if not stat.S_ISREG(found.mode):
        raise PathInTheWay(path=place.shown, detail="it is no regular file")
    async with await client.open(found.id, Open(Access.READ), claim) as file:
        inode = file.inode
        tag, headers = etag(inode), _headers(inode)
        if (wanted := request.headers.get("If-Match")) is not None and not matches(wanted, tag):
            raise NotAsExpected(path=place.shown)
        if _not_modified(request, inode, tag):
            return web.Response(status=304, headers=headers)
        try:
            part = span(request.headers.get("Range"), inode.size) if _range_holds(request, inode, tag) else None
        except Unsatisfiable:
            return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{inode.size}"})
        start, end = part or (0, inode.size)
        response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
        if part is not None:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{inode.size}"
        response.content_type, response.content_length = kind, end - start
        await _send(request, response, file, start, end)
        return response


def _headers(inode: Inode) -> dict[str, str]:
    return {
        "ETag": etag(inode),
        "Last-Modified": http_date(inode.mtime),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _SANDBOX,
        "X-Content-Type-Options": "nosniff",
    }


def _not_modified(request: web.BaseRequest, inode: Inode, tag: str) -> bool:
    if (known := request.headers.get("If-None-Match")) is not None:
        return matches(known, tag)
    since = request.headers.get("If-Modified-Since")
    return since is not None and unchanged_since(since, inode.mtime)


def _range_holds(request: web.BaseRequest, inode: Inode, tag: str) -> bool:
    known = request.headers.get("If-Range")
    return known is None or known in (tag, http_date(inode.mtime))


async def _send(request: web.BaseRequest, response: web.StreamResponse, file: Handle, start: int, end: int) -> None:
    """The first bytes are had before the answer begins, so that who cannot have them hears why."""
    async with contextlib.aclosing(_pieces(file, start, end if request.method == "GET" else start)) as pieces:
        first = await anext(pieces, b"")
        await response.prepare(request)
        try:
            if first:
                await _write(response, first)
            async for piece in pieces:
                await _write(response, piece)
        except OSError as error:
            log.info("web.broken", path=request.path, detail=str(error))
            if request.transport is not None:
                request.transport.abort()  # shorter than was said, so nobody takes it for the file


async def _write(response: web.StreamResponse, content: Bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(content)


async def _pieces(file: Handle, start: int, end: int) -> AsyncGenerator[Bytes, None]:
    """The bytes, one piece ahead of the reader. Raises `OSError`, also when the file has become shorter."""
    ahead = _begun(file, start, end)
    try:
        while start < end:
            piece = await ahead
            start += len(piece)
            if not piece:
                raise OSError(errno.EIO, "the file has become shorter meanwhile")
            ahead = _begun(file, start, end)
            yield piece
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)


def _begun(file: Handle, start: int, end: int) -> asyncio.Task[Bytes]:
    """The reading of the next piece; none is left: of nothing."""
    return asyncio.get_running_loop().create_task(file.read(start, min(MOST_BYTES, end - start)))
