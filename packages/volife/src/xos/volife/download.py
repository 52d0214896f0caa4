# SPDX-License-Identifier: BSD-3-Clause
"""Listings to keep: CSV, sent in pages as they are read, so that a trail of a million acts needs no memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiohttp import web

from xos.volife.live import check_streams
from xos.volife.visit import Handler, Visit
from xos.vom.csv import csv_of

Rows = Sequence[Mapping[str, object]]


def csv_file(name: str, read: Callable[[Visit], AsyncIterator[Rows]]) -> Handler:
    """Sends what *read* yields as the file ``VO-NAME.csv``. What is refused at the first page is shown as an error;
    what breaks later breaks the connection, so that half a file is not taken for a whole one."""

    async def send(visit: Visit) -> web.StreamResponse:
        session, pages = visit.session, read(visit)
        check_streams(session)
        first = await anext(pages, None)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="{visit.vo}-{name}.csv"',
            }
        )
        session.streams += 1
        try:
            await response.prepare(visit.request)
            await response.write(csv_of(first or ()).encode())
            async for rows in pages:
                if not visit.site.sessions.good(session):
                    raise ConnectionResetError("the session is over")
                await response.write(csv_of(rows, headings=False).encode())
        finally:
            session.streams -= 1
        return response

    return send
