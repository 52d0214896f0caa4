# SPDX-License-Identifier: BSD-3-Clause
"""Pages of which a part stays up to date: server-sent events (HTML standard, 9.2) that carry the part anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from xos.common.errors import XosError
from xos.volife.errors import TooFast
from xos.volife.sessions import Session
from xos.volife.visit import Handler, Visit

MOST_STREAMS = 6
"""Of one session: browsers open no more connections to one host."""
COMMENT_SECONDS = 20.0
"""A sign of life, so that nobody between takes the connection for dead."""

Data = Callable[[Visit], Awaitable[dict[str, Any]]]


def check_streams(session: Session) -> None:
    """Raise `TooFast` when *session* has as much open as it may."""
    if session.streams >= MOST_STREAMS:
        raise TooFast(what="live pages and downloads", seconds=5)


def page_of(template: str, data: Data) -> Handler:
    """The whole page, the first time."""

    async def show(visit: Visit) -> web.StreamResponse:
        return visit.show(template, **await data(visit))

    return show


def live(template: str, data: Data) -> Handler:
    """The part of it, each time that it has changed, until the reader goes or their session ends."""

    async def stream(visit: Visit) -> web.StreamResponse:
        session, site = visit.session, visit.site
        check_streams(session)
        first = visit.fragment(template, **await data(visit))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        session.streams += 1
        try:
            await response.prepare(visit.request)
            await _send(response, first)
            seen, quiet = first, 0.0
            while site.sessions.good(session):
                await asyncio.sleep(site.settings.live_seconds)
                quiet += site.settings.live_seconds
                try:
                    now = visit.fragment(template, **await data(visit))
                except XosError:
                    continue  # the service is away for a moment: what was seen last stays
                if now != seen:
                    await _send(response, now)
                    seen, quiet = now, 0.0
                elif quiet >= COMMENT_SECONDS:
                    await response.write(b":\n\n")
                    quiet = 0.0
            await response.write(b"event: over\ndata:\n\n")
        finally:
            session.streams -= 1
        return response

    return stream


async def _send(response: web.StreamResponse, text: str) -> None:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    await response.write(f"event: part\n{lines}\n".encode())
