# SPDX-License-Identifier: BSD-3-Clause
"""From a request to an answer: session, checks, page, errors. What the pages say is in `xos.volife.pages`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from aiohttp.http import HttpProcessingError

from xos.common.certificate import CertificateError
from xos.common.errors import InternalError, XosError
from xos.common.log import get_logger
from xos.dixi.directory import NodeRecord
from xos.dixi.hosting import Host
from xos.volife import guard
from xos.volife.errors import BadForm, NoSuchPage, SessionOver, SignInFirst, TooLarge, VolifeError
from xos.volife.fields import Fields
from xos.volife.grid import Finder
from xos.volife.limits import Limits
from xos.volife.offers import Offers
from xos.volife.sessions import Notice, Session, Sessions
from xos.volife.settings import Settings
from xos.volife.texts import Pages
from xos.volife.visit import Page, Visit

MOST_MB = 4
FORM_SECONDS = 20.0
PAGE_SECONDS = 30.0
"""No page waits longer for the services."""
YEAR = 31_536_000

log = get_logger("xos.volife")


class Site:
    """Everything that requests share."""

    def __init__(self, host: Host, settings: Settings, sessions: Sessions, limits: Limits) -> None:
        self.host, self.settings, self.sessions, self.limits = host, settings, sessions, limits
        self.door = settings.door
        """Where browsers sign in by certificate; empty while there is no such place."""
        self.pages = Pages()
        self.finder = Finder(host.bus)
        self.offers: frozenset[str] = frozenset()
        """The services that the grid has: pages of others are not shown."""
        self.nodes: tuple[NodeRecord, ...] = ()
        """The nodes that are up."""
        self.machines = Offers(host, settings.live_seconds)
        self._headers = guard.headers(self.door)

    def look(self, nodes: Iterable[NodeRecord]) -> None:
        """Take note of the nodes that are up."""
        self.nodes = tuple(nodes)
        self.machines.keep({node.node for node in self.nodes})
        self.offers = frozenset(service for node in self.nodes for service in node.services)
        if not self.settings.door:
            found = next((node.https for node in self.nodes if node.https and "CDA" in node.services), "")
            self.door = f"https://{found}" if found else ""
            self._headers = guard.headers(self.door)

    def application(self, pages: Iterable[Page]) -> web.Application:
        """The application that serves *pages*, and nothing else."""
        app = web.Application(client_max_size=MOST_MB << 20)
        for page in pages:
            self._add(app, page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_route("*", "/{path:.*}", self._nowhere)
        app.on_response_prepare.append(self._prepare)
        return app

    def _add(self, app: web.Application, page: Page) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._answer(page, request)

        app.router.add_get(page.path, answer)
        if page.post is not None:
            app.router.add_post(page.path, answer)

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")
        response.headers.popall("Server", None)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        content = self.pages.static.get(name)
        if content is None:
            return web.Response(status=404, text="no such file\n")
        kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        return web.Response(
            body=content,
            content_type=kinds.get(name.rpartition(".")[2], "application/octet-stream"),
            charset="utf-8",
            headers={"Cache-Control": f"public, max-age={YEAR}, immutable"},
        )

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        async def missing(visit: Visit) -> web.StreamResponse:
            raise NoSuchPage(path=visit.request.path[:200])

        page = Page(path="", get=missing, post=missing, signed_in=False)
        return await self._answer(page, request)

    # -- one request

    async def _answer(self, page: Page, request: web.Request) -> web.StreamResponse:
        session, token = self._session(page, request)
        visit = Visit(self, request, session)
        try:
            self.limits.request(request.remote or "")
            response = await self._carry_out(page, visit)
        except XosError as error:
            response = self._refuse(visit, error)
        except (ConnectionError, asyncio.CancelledError, web.HTTPException):
            raise
        except Exception as error:
            incident = secrets.token_hex(4)
            log.exception("page.failed", path=request.path, incident=incident, exc_info=error)
            response = self._refuse(visit, InternalError(incident=incident))
        if token is not None and not response.prepared and "Set-Cookie" not in response.headers:
            response.headers["Set-Cookie"] = guard.cookie(token)
        return response

    def _session(self, page: Page, request: web.Request) -> tuple[Session, str | None]:
        """The request's session; a new one, with its token, when it has none that is good."""
        notice = None
        try:
            known = self.sessions.find(request.cookies.get(guard.COOKIE, ""), touch=not page.quiet)
            if known is not None:
                return known, None
        except SessionOver as error:
            notice = Notice(f"{error.message[:1].upper()}{error.message[1:]}. {error.next_step}", bad=True)
        session, token = self.sessions.visit()
        if notice is not None:
            session.notices.append(notice)
        return session, token

    async def _carry_out(self, page: Page, visit: Visit) -> web.StreamResponse:
        posted = visit.request.method == "POST"
        if posted:
            guard.check_origin(visit.request.headers, visit.request.host)
            visit.fields = await _read(visit.request)
            # Before anything else is looked at: a form of another session must not even learn what is wrong with it.
            guard.check_token(visit.fields["csrf"], visit.session.csrf)
        if page.signed_in and visit.session.person is None:
            raise SignInFirst
        if page.streams:
            return await page.get(visit)
        async with asyncio.timeout(PAGE_SECONDS):
            if not posted or page.post is None:
                return await page.get(visit)
            try:
                return await page.post(visit)
            except CertificateError:
                raise
            except XosError as error:
                log.info("form.refused", path=visit.request.path, code=error.code, by=_by(visit))
                visit.error = error
                return await page.get(visit)

    def _refuse(self, visit: Visit, error: XosError) -> web.StreamResponse:
        request = visit.request
        if isinstance(error, CertificateError) and visit.session.person is not None:
            # Revoked or expired in mid-session, and a service knew it before us.
            self.sessions.end(visit.session)
            error = SessionOver(detail=error.message)
        if isinstance(error, SignInFirst | SessionOver) and request.method == "GET":
            there = f"/sign-in?next={quote(request.path_qs, safe='')}"
            response = web.Response(status=303, headers={"Location": there})
            if isinstance(error, SessionOver):
                response.headers["Set-Cookie"] = guard.no_cookie()
            return response
        if not isinstance(error, VolifeError):
            log.info("page.refused", path=request.path, code=error.code, by=_by(visit))
        visit.error = error
        response = visit.show("error.html", title=_title(error))
        if error.retry_after_ms is not None:
            response.headers["Retry-After"] = str(max(1, error.retry_after_ms // 1000))
        return response


def _by(visit: Visit) -> str:
    person = visit.session.person
    return "" if person is None else str(person.identity)


def _title(error: XosError) -> str:
    titles = {401: "Sign in first", 403: "Not allowed", 404: "Not found", 429: "Too fast", 503: "Busy"}
    return titles.get(error.http_status, "That did not work")


async def _read(request: web.Request) -> Fields:
    """The form that was sent. Raises `TooLarge`, `BadForm`."""
    if request.content_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise BadForm(detail=f"it is {request.content_type}")
    try:
        async with asyncio.timeout(FORM_SECONDS):
            posted = await request.post()
            return Fields({name: await _text(value) for name, value in posted.items()})
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(most_mb=MOST_MB) from error
    except TimeoutError as error:
        raise BadForm(detail="it did not arrive in time") from error
    except (ValueError, LookupError, AssertionError, HttpProcessingError) as error:
        raise BadForm(detail="it is damaged") from error


async def _text(value: str | bytes | bytearray | web.FileField) -> str:
    if isinstance(value, str):
        return value
    content = value.file.read() if isinstance(value, web.FileField) else bytes(value)
    return content.decode("utf-8")
