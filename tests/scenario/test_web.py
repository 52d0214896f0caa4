# SPDX-License-Identifier: BSD-3-Clause
"""VOLife in real Chromium, on a real grid: what people do with it, how it looks, what its console says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.localgrid import Grid
from support.web import Person, chromium, serious_issues, shoot
from xos.dixi.blocking import BlockingBus
from xos.setup.roles import HTTPS_PORT
from xos.vom.xati import XVOMSXati

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]
PASSWORD = "correct horse battery"


class Site:
    """The grid, its page, and a browser."""

    def __init__(self, grid: Grid, browser: Any) -> None:
        self.grid, self.browser = grid, browser
        self.people: list[Person] = []
        core = grid.local.core
        self.url = next(node.page for node in grid.local.nodes if node.page)
        self.door = f"https://{core.address}:{HTTPS_PORT}"

    def person(self, **options: Any) -> Person:
        """Somebody with a browser of their own."""
        made = Person(self.browser, self.url, **options)
        self.people.append(made)
        return made

    def member(self, name: str, *roles: str, vo: str = "demo") -> None:
        """A member of a VO, as the core makes one."""
        with BlockingBus.open(self.grid.local.admin) as bus:
            xvoms = XVOMSXati(bus)
            xvoms.create_vo(vo, "for trying things out")
            xvoms.add_user(vo, name, PASSWORD, "users", (), roles)

    def complaints(self) -> list[str]:
        """What all consoles said; forgotten afterwards."""
        said = [complaint for person in self.people for complaint in person.complaints]
        for person in self.people:
            person.context.close()
        self.people.clear()
        return said


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    made = Grid()
    try:
        made.up(web=True, nodes=1)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture
def site(grid: Grid, browser: Any) -> Iterator[Site]:
    made = Site(grid, browser)
    yield made
    assert made.complaints() == []


def test_a_certificate_made_in_the_browser_signs_in_without_a_password(site: Site, tmp_path: Path) -> None:
    site.member("vera", "VOAdmin")
    vera = site.person()
    vera.go("/me")
    vera.fill(Virtual_Organisation="demo", User="vera", Password=PASSWORD)
    vera.press("Sign in")
    vera.fill(Passphrase_for_the_file="a long passphrase", Passphrase_again="a long passphrase")
    with vera.page.expect_download() as download:
        vera.press("Make it")
    download.value.save_as(tmp_path / "vera.p12")
    opened = ["openssl", "pkcs12", "-in", str(tmp_path / "vera.p12"), "-passin", "pass:a long passphrase", "-nodes"]
    pem = subprocess.run(opened, capture_output=True, check=True).stdout
    (tmp_path / "vera.pem").write_bytes(pem)
    certificate = {"origin": site.door, "certPath": tmp_path / "vera.pem", "keyPath": tmp_path / "vera.pem"}
    again = site.person(client_certificates=[certificate])
    again.go("/vo/demo/members")
    again.press("Sign in with your certificate")
    again.page.wait_for_url("**/vo/demo/members")
    again.sees("vera")


def test_without_a_certificate_the_page_says_what_to_do(site: Site) -> None:
    somebody = site.person()
    somebody.go("/sign-in")
    somebody.press("Sign in with your certificate")
    somebody.sees("Your browser showed no certificate.")
    assert "Import your certificate" in somebody.words
    assert len(somebody.complaints) == 1, "the 401 that Chromium itself notes"
    somebody.complaints.clear()


def test_no_page_has_a_serious_issue_or_is_wider_than_the_screen(site: Site) -> None:
    site.member("vera", "VOAdmin")
    visitor = site.person()
    issues = []
    for path in ("/sign-in", "/ca.pem-not"):
        visitor.go(path)
        issues += serious_issues(visitor.page)
        shoot(visitor.page, path.strip("/").replace("/", "_"))
    visitor.complaints.clear()  # the page that is not there
    visitor.sign_in("demo", "vera", PASSWORD)
    visitor.page.wait_for_url("**/")
    for path in PAGES:
        visitor.go(path)
        for scheme in ("light", "dark"):
            visitor.page.emulate_media(color_scheme=scheme)
            issues += serious_issues(visitor.page)
        shoot(visitor.page, path.strip("/").replace("/", "_") or "start")
    assert issues == []


PAGES = (
    "/",
    "/me",
    "/vo/demo",
    "/vo/demo/members",
    "/vo/demo/members-add",
    "/vo/demo/members/vera",
    "/vo/demo/groups",
    "/vo/demo/resources",
    "/vo/demo/jobs",
)


def test_all_can_be_done_with_the_keyboard(site: Site) -> None:
    site.member("vera", "VOAdmin")
    vera = site.person()
    vera.go("/sign-in")
    keys = vera.page.keyboard
    keys.press("Tab")
    assert vera.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    keys.press("Enter")
    for text in ("demo", "vera", PASSWORD):
        keys.press("Tab")
        keys.type(text)
    keys.press("Enter")
    vera.sees("Your Virtual Organisations")
    vera.go("/vo/demo/members/vera")
    vera.page.get_by_role("button", name="Suspend").focus()
    keys.press("Enter")
    assert vera.page.get_by_role("dialog").is_visible()
    keys.press("Escape")
    assert not vera.page.get_by_role("dialog").is_visible()


def test_light_and_dark_are_as_the_system_says_until_the_reader_chooses(site: Site) -> None:
    somebody = site.person(color_scheme="dark")
    somebody.go("/sign-in")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = somebody.page.evaluate(ground)
    somebody.press("Light or dark")
    light = somebody.page.evaluate(ground)
    assert light != dark
    somebody.go("/sign-in")
    assert somebody.page.evaluate(ground) == light, "and it is remembered"


def test_without_a_script_one_signs_in_and_sees_the_pages(site: Site) -> None:
    site.member("vera", "VOAdmin")
    vera = site.person(java_script_enabled=False)
    vera.sign_in("demo", "vera", PASSWORD)
    vera.go("/vo/demo/members")
    vera.sees("vera")
