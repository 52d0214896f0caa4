# SPDX-License-Identifier: BSD-3-Clause
"""Logging in at a real OpenID provider (npm's oidc-provider), by the device flow, with a browser of a few lines."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import msgspec
import pytest

from xos.common.certificate import make_csr, make_key
from xos.common.identity import ANONYMOUS, Kind
from xos.vom.api import CertificateWish, Login
from xos.vom.backends.oidc import OidcBackend, OidcSettings
from xos.vom.errors import BackendAway, LoginOver, LoginPending, NotLinked, UnknownBackend

from .conftest import CoreMachine, acting

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "judges"
SCRIPT = Path(__file__).parents[1] / "support" / "oidc-provider.mjs"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The issuer URL of a provider of our own."""
    node = shutil.which("node")
    if node is None or not (TOOLS / "node_modules" / "oidc-provider").exists():
        pytest.skip("no oidc-provider here: make prepare --tests installs it where there is npm")
    process = subprocess.Popen([node, SCRIPT, TOOLS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
async def machine(machine: CoreMachine, provider: str, tmp_path: Path) -> AsyncIterator[CoreMachine]:
    """A core machine whose CDA believes the provider; alice@demo is linked to its user 4711."""
    secret = tmp_path / "secret"
    secret.write_text("a secret of the client\n")
    wanted = OidcSettings(issuer=provider, client_id="xtreemos", client_secret_file=str(secret))
    backend = OidcBackend(machine.core, wanted)
    machine.cda._backends["oidc"] = backend
    await machine.add("alice")
    with acting(machine.identity):
        await machine.xvoms.link_identity("demo", "alice", "oidc", "4711")
    yield machine
    await backend.close()


class Form(HTMLParser):
    """The first form of a page that somebody would send."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            self.action, self._open = told.get("action", ""), True
        elif tag in ("input", "button") and self._open and told.get("name"):
            self.fields[told["name"]] = told.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


async def browse(url: str, subject: str, *, refuse: bool = False) -> str:
    """Open the page, log in as *subject*, agree to everything (or not); the last page."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(10)) as browser:
        answer = await browser.get(url)
        for _ in range(10):
            page = await answer.text()
            form = Form(page)
            if not form.action:
                return page
            fields = {**form.fields, "login": subject, "password": "any"}
            said_no = refuse and 'name="abort"' in page
            if said_no:
                fields["abort"] = "yes"
            answer = await browser.post(urllib.parse.urljoin(str(answer.url), form.action), data=fields)
            if said_no:
                return await answer.text()
    raise AssertionError("the provider asks and asks")


def wish(login: Login, user: str = "alice") -> CertificateWish:
    return CertificateWish("demo", user, make_csr(make_key(), "alice"), backend="oidc", proof=login.id)


async def begun(machine: CoreMachine) -> Login:
    with acting(ANONYMOUS):
        return await machine.cda.begin_login("oidc")


async def test_who_has_logged_in_at_the_provider_gets_a_certificate(machine: CoreMachine) -> None:
    login = await begun(machine)
    with acting(ANONYMOUS):
        with pytest.raises(LoginPending):
            await machine.cda.issue(wish(login))
        await browse(login.url, "4711")
        issued = await machine.cda.issue(wish(login))
        again = await machine.cda.issue(wish(login, user=""))  # whoever it is in that VO
    who = machine.trust.identify(issued.certificate, kind=Kind.USER)
    assert (who.name, who.vo) == ("alice", "demo")
    assert machine.trust.identify(again.certificate).name == "alice"


async def test_another_person_at_the_provider_is_not_alice(machine: CoreMachine) -> None:
    await machine.add("bob")
    login = await begun(machine)
    await browse(login.url, "1234")
    with acting(ANONYMOUS), pytest.raises(NotLinked, match="1234"):
        await machine.cda.issue(wish(login))
    login = await begun(machine)
    await browse(login.url, "4711")
    with acting(ANONYMOUS), pytest.raises(NotLinked):
        await machine.cda.issue(wish(login, user="bob"))


async def test_who_says_no_at_the_provider_is_told_so(machine: CoreMachine) -> None:
    login = await begun(machine)
    await browse(login.url, "4711", refuse=True)
    with acting(ANONYMOUS), pytest.raises(LoginOver):
        await machine.cda.issue(wish(login))


async def test_a_login_that_was_never_begun_or_is_too_old_is_over(machine: CoreMachine) -> None:
    login = await begun(machine)
    with acting(ANONYMOUS):
        for id_ in (b"", b"x" * 24, b"\0" * 100_000):
            with pytest.raises(LoginOver):
                await machine.cda.issue(wish(msgspec.structs.replace(login, id=id_)))
        machine.core.now = lambda: login.expires + 1.0
        with pytest.raises(LoginOver):
            await machine.cda.issue(wish(login))


async def test_the_back_ends_are_told_and_others_are_not_known(machine: CoreMachine) -> None:
    with acting(ANONYMOUS):
        assert {one.name for one in await machine.cda.backends()} == {"password", "certificate", "oidc"}
        for name in ("password", "saml"):
            with pytest.raises(UnknownBackend):
                await machine.cda.begin_login(name)


async def answering(body: bytes) -> tuple[asyncio.Server, str]:
    """A provider that answers everything with *body*."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"issuer": "http://other"}', b"\xff" * 1000])
async def test_a_provider_that_talks_nonsense_is_away(machine: CoreMachine, body: bytes) -> None:
    server, issuer = await answering(body)
    backend = OidcBackend(machine.core, OidcSettings(issuer=issuer, client_id="x"))
    with pytest.raises(BackendAway):
        await backend.begin()
    await backend.close()
    server.close()


async def test_a_provider_that_is_not_there_is_away(machine: CoreMachine) -> None:
    backend = OidcBackend(machine.core, OidcSettings(issuer="http://127.0.0.1:1", client_id="x"))
    with pytest.raises(BackendAway):
        await backend.begin()
    await backend.close()


def test_a_provider_without_tls_is_believed_on_this_machine_only() -> None:
    class Nowhere:
        pass

    with pytest.raises(BackendAway, match="https"):
        OidcBackend(Nowhere(), OidcSettings(issuer="http://login.example.org", client_id="x"))  # type: ignore[arg-type]
