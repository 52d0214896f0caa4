# SPDX-License-Identifier: BSD-3-Clause
"""PUT and DELETE. What is put takes the place of what was there in one step, when all of it is on the OSDs' disks."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat

from aiohttp import web

from xos.common.log import get_logger
from xos.xtreemfs.api import Access, Claim, Inode, Open
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.errors import BadPath, NotAsExpected, PathInTheWay
from xos.xtreemfs.web.asked import Place, etag, matches

log = get_logger("xos.xtreemfs.web")

MODE = 0o644
READ_SECONDS = 60.0
"""A client that sends nothing for so long is given up."""
RENAME_NOREPLACE = 1


async def put(request: web.BaseRequest, client: VolumeClient, place: Place, claim: Claim) -> web.Response:
    """Keep the body as the file. Raises `OSError`, `BadPath`, `PathInTheWay`, `NotAsExpected`."""
    if place.is_directory or not place.name:
        raise BadPath(path=place.shown, detail="a file's name does not end with a slash")
    if "Content-Range" in request.headers:
        raise BadPath(path=place.shown, detail="a part of a file cannot be put")
    directory = (await client.follow(place.parent, claim)).id
    before = await _there(client, directory, place.name, claim)
    _check(request, place, before)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    name = b".xos-put-" + secrets.token_hex(8).encode()
    wanted = Open(Access.WRITE, create=True, exclusive=True, mode=stat.S_IMODE(before.mode) if before else MODE)
    try:
        async with await client.open_name(directory, name, wanted, claim) as file:
            at = 0
            while piece := await _next(request):
                await file.write(at, piece)
                at += len(piece)
            await file.sync()
        flags = RENAME_NOREPLACE if before is None and "If-None-Match" in request.headers else 0
        await client.rename(directory, name, directory, place.name, flags, claim)
    except BaseException:
        await _drop(client, directory, name, claim)
        raise
    await client.sync()
    kept = await client.lookup(directory, place.name, claim)
    return web.Response(status=201 if before is None else 204, headers={"ETag": etag(kept)})


async def delete(request: web.BaseRequest, client: VolumeClient, place: Place, claim: Claim) -> web.Response:
    """Take a file away, or an empty directory. Raises `OSError`, `BadPath`, `NotAsExpected`."""
    if not place.name:
        raise BadPath(path=place.shown, detail="a volume is removed with rmfs.xtreemfs")
    directory = (await client.follow(place.parent, claim)).id
    inode = await client.lookup(directory, place.name, claim)
    if (wanted := request.headers.get("If-Match")) is not None and not matches(wanted, etag(inode)):
        raise NotAsExpected(path=place.shown)
    if inode.is_directory:
        await client.rmdir(directory, place.name, claim)
    elif place.is_directory:
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    else:
        await client.unlink(directory, place.name, claim)
    await client.sync()
    return web.Response(status=204)


async def _there(client: VolumeClient, directory: int, name: bytes, claim: Claim) -> Inode | None:
    try:
        return await client.lookup(directory, name, claim)
    except FileNotFoundError:
        return None


def _check(request: web.BaseRequest, place: Place, before: Inode | None) -> None:
    if before is not None and not stat.S_ISREG(before.mode):
        raise PathInTheWay(path=place.shown, detail="what is there is no regular file")
    tag = etag(before) if before is not None else ""
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if wanted is not None and (before is None or not matches(wanted, tag)):
        raise NotAsExpected(path=place.shown)
    if unwanted is not None and before is not None and matches(unwanted, tag):
        raise NotAsExpected(path=place.shown)


async def _next(request: web.BaseRequest) -> bytes:
    async with asyncio.timeout(READ_SECONDS):
        return await request.content.readany()


async def _drop(client: VolumeClient, directory: int, name: bytes, claim: Claim) -> None:
    """What was begun and cannot be ended."""
    try:
        await asyncio.shield(client.unlink(directory, name, claim))
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("web.left-behind", name=name.decode(), directory=directory, detail=str(error))
