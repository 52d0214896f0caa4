# SPDX-License-Identifier: BSD-3-Clause
"""VOLife in a real daemon, with the real services of a core beside it, all in one process; and who looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import html
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from support.dixi import until
from xos.dixi.configuration import DaemonConfig, Listen, ServiceSettings, Tls
from xos.dixi.daemon import Daemon
from xos.setup.machine import MachineFiles, found
from xos.volife.xati import VOLifeAsync
from xos.vom.xati import XVOMSAsync

PASSWORD = "correct horse battery"
CHEAP = "[password_cost]\npasses = 1\nmemory_kib = 8\n"
SERVICES = ("Directory", "XVOMS", "CDA", "RCA", "Registration", "Accounting", "Audit", "VOPS")
FILES = ("DIR", "MRC", "OSD")
"""What keeps files, for tests of their pages."""
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@dataclasses.dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    headers: Any
    url: str

    @property
    def words(self) -> str:
        """What a reader sees of it."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.text)).split())


class Browser:
    """Somebody's browser: keeps cookies, follows redirects, sends forms with the token of the page it looks at."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        jar = aiohttp.CookieJar(unsafe=True)
        self.http = aiohttp.ClientSession(cookie_jar=jar, connector=aiohttp.TCPConnector(ssl=False))
        self.csrf = ""

    async def get(self, path: str, **more: Any) -> Answer:
        """Look at a page."""
        return await self._ask("GET", path, **more)

    async def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
        """Send a form."""
        return await self._ask("POST", path, data={"csrf": self.csrf, **fields}, headers=headers)

    async def sign_in(self, user: str, password: str = PASSWORD, vo: str = "demo", **more: str) -> Answer:
        """By password."""
        await self.get("/sign-in")
        return await self.post("/sign-in", None, action="password", vo=vo, user=user, password=password, **more)

    @property
    def cookie(self) -> str:
        """The session's token."""
        return next((c.value for c in self.http.cookie_jar if c.key == "__Host-volife"), "")

    async def _ask(self, verb: str, path: str, **more: Any) -> Answer:
        async with self.http.request(verb, self.url + path, **more) as response:
            text = await response.text()
            if token := TOKEN.search(text):
                self.csrf = token[1]
            return Answer(response.status, text, response.headers, response.url.path_qs)


class World:
    """The daemon and who uses it."""

    def __init__(self, daemon: Daemon, url: str) -> None:
        self.daemon, self.url = daemon, url
        self.xvoms = XVOMSAsync(daemon.bus)
        self.browsers: list[Browser] = []

    def browser(self) -> Browser:
        """A new one, without cookies."""
        made = Browser(self.url)
        self.browsers.append(made)
        return made

    async def user(self, name: str, *roles: str, vo: str = "demo") -> None:
        """A member."""
        await self.xvoms.add_user(vo, name, PASSWORD, "users", (), roles)

    async def signed_in(self, name: str) -> Browser:
        """The browser of somebody who has signed in."""
        browser = self.browser()
        answer = await browser.sign_in(name)
        assert answer.status == 200, answer.words
        return browser

    @property
    def site(self) -> Any:
        """The site inside the daemon."""
        return next(service for service, _ in self.daemon._services if hasattr(service, "_site"))._site


def configuration(directory: Path, cda: dict[str, Any], *, more: tuple[str, ...] = (), **settings: Any) -> DaemonConfig:
    files = {"certificate": "machine.pem", "key": "machine.key", "trust": "trust"}
    given = {"CDA": cda, "MRC": {"superusers": ["core"]}}
    hosted = {name: ServiceSettings(settings=given.get(name, {})) for name in SERVICES + more}
    web = ServiceSettings(settings={"address": "127.0.0.1:0", **settings})
    return DaemonConfig(
        node="core",
        data=str(directory / "data"),
        tls=Tls(**{name: str(directory / file) for name, file in files.items()}),
        listen=(Listen(address="127.0.0.1:0"), Listen(transport="https", address="127.0.0.1:0")),
        services={**hosted, "VOLife": web},
        drain_seconds=0.1,
    )


async def found_core(directory: Path, database: str = "") -> None:
    """A core as it is after its first start: authority, databases, the VO ``demo``; *database*: a URL, else a file."""
    vom = directory / "data" / "vom"
    vom.mkdir(mode=0o700, parents=True)
    (vom / "vom.toml").write_text(f'database = "{database}"\n{CHEAP}' if database else CHEAP)
    await found(files_in(directory), vom=vom, node="core", address="127.0.0.1")
    daemon = Daemon(configuration(directory, {}))
    await daemon.start()
    await XVOMSAsync(daemon.bus).create_vo("demo", "for tests")
    await daemon.stop()


@contextlib.asynccontextmanager
async def running(config: DaemonConfig) -> AsyncIterator[World]:
    """A daemon of this configuration, and all that look at its page."""
    daemon = Daemon(config)
    await daemon.start()
    made = World(daemon, (await VOLifeAsync(daemon.bus).page()).url)
    await until(lambda: "VOPS" in made.site.offers)
    try:
        yield made
    finally:
        for browser in made.browsers:
            await browser.http.close()
        await daemon.stop()
        await asyncio.sleep(0.05)  # the transports' own clean-up runs in the next turns of the loop


def files_in(directory: Path) -> MachineFiles:
    """Of the machine whose place is *directory*."""
    return MachineFiles(certificate=directory / "machine.pem", key=directory / "machine.key", trust=directory / "trust")
