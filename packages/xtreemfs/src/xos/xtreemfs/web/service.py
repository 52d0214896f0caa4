# SPDX-License-Identifier: BSD-3-Clause
"""Volumes over HTTP: ``/Files/VOLUME/PATH`` at a gateway lists a directory, reads, writes and deletes a file.

The service speaks to MRC and OSDs as a mount for all accounts does: by its machine's certificate, for the user whose
certificate was shown. So a user may here what they may on a mount, and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated

import msgspec
from aiohttp import web

from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.errors import NotAllowed, Overloaded
from xos.dixi.hosting import Host, Hosted
from xos.dixi.pages import Pages
from xos.xtreemfs.api import Claim, Entry, Files, Inode, Row
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.web import listing, openapi
from xos.xtreemfs.web.asked import Place, place_of, refusal
from xos.xtreemfs.web.listing import Form
from xos.xtreemfs.web.reading import WRITE_SECONDS, send_file
from xos.xtreemfs.web.volumes import Volumes
from xos.xtreemfs.web.writing import delete, put
from xos.xtreemfs.xati import DIRAsync

log = get_logger("xos.xtreemfs.web")

PAGE = 500
"""Entries asked for at once."""
METHODS = ("GET", "HEAD", "PUT", "DELETE")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.Files.settings]`` of the daemon's configuration."""

    most_requests: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """Answered at once; others are told to come later (503)."""


class FilesService(Hosted[Settings], Pages, Files):
    """Satisfies `xos.xtreemfs.api.Files`."""

    settings_type = Settings
    paths = openapi.PATHS

    def __init__(self, host: Host, settings: Settings) -> None:
        super().__init__(host, settings)
        self._volumes = Volumes(host.bus, f"HTTP at {host.node}")
        self._running = 0

    async def start(self) -> None:
        """Nothing is kept."""
        self.host.spawn(self._volumes.tend(), name="web-volumes")

    async def stop(self) -> None:
        """End the sessions."""
        await self._volumes.close()

    # --- calls

    async def entries(self, volume: str, path: str) -> AsyncIterator[Entry]:
        """See `Files.entries`."""
        place, claim = Place(volume, path, is_directory=True), claim_of(current_call().caller)
        async with self._volumes.use(volume) as client:
            with told(place):
                directory = await client.follow(path, claim)
                async for rows in _rows(client, directory, claim):
                    for row in rows:
                        yield listing.entry(row)

    # --- pages

    async def page(self, request: web.BaseRequest, where: str, caller: Identity) -> web.StreamResponse:
        """See `Pages.page`."""
        if request.method not in METHODS:
            raise NotAllowed(method="/Files/", caller=request.method, allowed=", ".join(METHODS))
        claim, place = claim_of(caller), place_of(where)
        if self._running >= self.settings.most_requests:
            raise Overloaded(service="Files", queued=self._running)
        self._running += 1
        try:
            return await self._answer(request, place, claim)
        finally:
            self._running -= 1

    async def _answer(self, request: web.BaseRequest, place: Place, claim: Claim) -> web.StreamResponse:
        if not place.volume:
            return await self._list_volumes(request)
        async with self._volumes.use(place.volume) as client:
            with told(place):
                match request.method:
                    case "PUT":
                        return await put(request, client, place, claim)
                    case "DELETE":
                        return await delete(request, client, place, claim)
                inode = await client.follow(place.path, claim)
                if inode.is_directory and not place.is_directory:
                    return web.Response(status=308, headers={"Location": request.rel_url.raw_path + "/"})
                if inode.is_directory:
                    pages = _rows(client, inode, claim)
                    return await _send_listing(request, _form(request, place), pages)
                kind, _ = mimetypes.guess_type(place.path)
                return await send_file(request, client, place, inode, claim, kind or "application/octet-stream")

    async def _list_volumes(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise NotAllowed(method="/Files/", caller=request.method, allowed="GET, HEAD")

        async def pages() -> AsyncIterator[list[Row]]:
            yield [
                Row(0, one.name.encode(), Inode(0, _DIRECTORY, 1, "", "", 0, 0, 0, 0, 0))
                for one in await DIRAsync(self.host.bus).volumes(deadline=10.0)
            ]

        return await _send_listing(request, _form(request, Place("", "/", is_directory=True)), pages())


_DIRECTORY = 0o040755


def claim_of(caller: Identity) -> Claim:
    """For whom the MRC is asked. Raises `NotAllowed`."""
    if caller.kind is not Kind.USER:
        raise NotAllowed(method="/Files/", caller=str(caller), allowed="users")
    groups = dict.fromkeys(f"{name}@{caller.vo}" for name in (caller.group, *caller.groups) if name)
    return Claim(str(caller), tuple(groups), f"{caller.group}@{caller.vo}")


@contextlib.contextmanager
def told(place: Place) -> Iterator[None]:
    """What the file system refuses, as the gateway tells it."""
    try:
        yield
    except ConnectionError:
        raise  # who asked has gone
    except OSError as error:
        raise refusal(error, place) from error


async def _rows(client: VolumeClient, directory: Inode, claim: Claim) -> AsyncIterator[list[Row]]:
    after = 0
    while rows := await client.readdir(directory.id, after, PAGE, claim):
        yield rows
        after = rows[-1].cookie


def _form(request: web.BaseRequest, place: Place) -> Form:
    if "text/html" in request.headers.get("Accept", ""):
        return listing.Html(place.shown, top=not place.volume)
    return listing.Json(place.shown)


async def _send_listing(request: web.BaseRequest, form: Form, pages: AsyncIterator[list[Row]]) -> web.StreamResponse:
    first: list[Row] = await anext(pages, [])  # what is refused is refused before the answer begins
    response = web.StreamResponse(headers=_LISTING)
    response.content_type, response.charset = form.content_type, "utf-8"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await _write(response, form.head() + form.rows([listing.entry(row) for row in first]))
        async for rows in pages:
            await _write(response, form.rows([listing.entry(row) for row in rows]))
        await _write(response, form.tail())
    except OSError as error:
        log.info("web.listing-broken", path=request.path, detail=str(error))
        if request.transport is not None:
            request.transport.abort()  # without an end, it is seen to be no whole list
    return response


async def _write(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(content)


_LISTING: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
