# SPDX-License-Identifier: BSD-3-Clause
"""One request, as the pages see it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from xos.common.errors import XosError
from xos.common.identity import Identity
from xos.volife.errors import SignInFirst
from xos.volife.fields import Fields
from xos.volife.grid import UserGrid
from xos.volife.sessions import Notice, Person, Session

if TYPE_CHECKING:
    from xos.volife.site import Site

Handler = Callable[["Visit"], Awaitable[web.StreamResponse]]
MANAGER, ADMIN, RESOURCE_ADMIN, CREATOR = "VOManager", "VOAdmin", "ResourceAdmin", "VOCreator"
"""Roles; see "Who may do what" in the manual."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is at an address. *post* changes something, then sends the browser on; when it fails, *get* shows why."""

    path: str
    """As aiohttp's router takes it: ``/vo/{vo}/members``."""
    get: Handler
    post: Handler | None = None
    signed_in: bool = True
    """Only for people who are."""
    quiet: bool = False
    """Asked by programs in the page: does not keep a session from becoming idle."""
    streams: bool = False
    """It is sent for as long as there is something to send; other pages are made in bounded time."""


@dataclasses.dataclass(slots=True)
class Visit:
    """A request with the session it belongs to."""

    site: Site
    request: web.Request
    session: Session
    fields: Fields = dataclasses.field(default_factory=lambda: Fields({}))
    """Of the form that was sent; empty for a GET."""
    error: XosError | None = None
    """What went wrong with that form."""

    @property
    def person(self) -> Person:
        """Who is signed in. Raises `SignInFirst`."""
        if self.session.person is None:
            raise SignInFirst
        return self.session.person

    @property
    def who(self) -> Identity:
        """Their identity."""
        return self.person.identity

    @property
    def grid(self) -> UserGrid:
        """The services, called as this person."""
        return self.person.grid

    @property
    def vo(self) -> str:
        """The VO in the address."""
        return self.part("vo")

    def has(self, *roles: str) -> bool:
        """Whether their certificate says that they have one of *roles* in the VO of the address.

        Decides what is shown, never what is allowed.
        """
        here = self.who.vo == self.request.match_info.get("vo", self.who.vo)
        return here and not set(roles).isdisjoint(self.who.roles)

    @property
    def language(self) -> str:
        """The language to answer in."""
        return self.site.pages.language(self.request.headers.get("Accept-Language", ""))

    def part(self, name: str) -> str:
        """A part of the address, as `Page.path` names it."""
        return self.request.match_info[name]

    def query(self, name: str) -> str:
        """A parameter after the question mark; empty when it is not there."""
        return self.request.query.get(name, "")[:500]

    def number(self, name: str) -> int:
        """A parameter that is a whole number; 0 when it is not."""
        text = self.query(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0

    @staticmethod
    def now() -> float:
        """Unix seconds."""
        return time.time()

    def tell(self, text: str, /, **data: object) -> None:
        """Say a sentence on the next page."""
        self.session.notices.append(Notice(self.site.pages.say(self.language, text, **data)))

    def show(self, name: str, /, *, status: int = 200, **data: object) -> web.Response:
        """The page from template *name*."""
        error = self.error
        text = self.fragment(name, notices=self.session.take_notices(), error=error, **data)
        return web.Response(
            text=text, content_type="text/html", status=status if error is None else max(400, error.http_status)
        )

    def fragment(self, name: str, /, **data: object) -> str:
        """A part of a page, as text."""
        person = self.session.person
        return self.site.pages.render(
            name,
            self.language,
            **{
                "who": None if person is None else person.identity,
                "admin": person is not None and self.has(MANAGER, ADMIN),
                "manager": person is not None and self.has(MANAGER),
                "resource_admin": person is not None and self.has(MANAGER, RESOURCE_ADMIN),
                "creator": person is not None and CREATOR in person.identity.roles,
                "vo": self.request.match_info.get("vo", person.identity.vo if person else ""),
                "csrf": self.session.csrf,
                "path": self.request.path,
                "theme": theme(self.request.cookies.get("theme", "")),
                "filled": self.fields,
                "now": time.time(),
                "offers": self.site.offers,
                "has_requests": "Registration" in self.site.offers,
                "error": None,
                **data,
            },
        )

    def go(self, path: str) -> web.Response:
        """Send the browser on to *path* of ours, to be fetched with GET."""
        return web.Response(status=303, headers={"Location": path})


def theme(cookie: str) -> str:
    """What the reader chose; by default what their system says."""
    return cookie if cookie in ("light", "dark") else ""


def local_path(text: str, default: str = "/") -> str:
    """*text* if it is a path here; never another site (``//evil.example``, ``/\\evil.example``)."""
    if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable():
        return quote(text, safe="/?&=%:@+,;~.-_")
    return default
