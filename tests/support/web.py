# SPDX-License-Identifier: BSD-3-Clause
"""A real Chromium, driven by Playwright: what it says in its console, what axe-core finds, what it looks like."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SERIOUS = ("serious", "critical")
QUIET = ("Password forms should have",)
"""What Chromium advises, and nothing is wrong with."""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The browser; without it, or without Playwright, the test is skipped: `prepare --tests` installs both."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (prepare --tests)")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (prepare --tests)")
    with playwright.sync_playwright() as made:
        # Root has no user name spaces to be put into.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = made.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """Somebody at a browser of their own, with its own cookies; *complaints* is what its console said."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url.rstrip("/")
        self.context = browser.new_context(ignore_https_errors=True, **options)
        self.context.set_default_timeout(15_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(QUIET):
            self.complaints.append(f"{message.type}: {message.text} at {self.page.url}")

    def go(self, path: str) -> None:
        """Look at a page."""
        self.page.goto(self.url + path)

    def sign_in(self, vo: str, user: str, password: str) -> None:
        """By password."""
        self.go("/sign-in")
        self.fill(Virtual_Organisation=vo, User=user, Password=password)
        self.press("Sign in")

    def fill(self, **fields: str) -> None:
        """Type into fields, by their labels (an underscore is a blank)."""
        for name, value in fields.items():
            label = re.compile(rf"^\s*{re.escape(name.replace('_', ' '))}(\s*\(optional\))?\s*$")
            self.page.get_by_label(label).first.fill(value)

    def press(self, name: str) -> None:
        """Press a button, and wait for what comes."""
        self.page.get_by_role("button", name=name, exact=True).first.click()
        self.page.wait_for_load_state()

    def sees(self, text: str) -> None:
        """Wait until *text* is shown."""
        self.page.get_by_text(text).first.wait_for()

    @property
    def words(self) -> str:
        """What the main part says."""
        return str(self.page.inner_text("main"))


def serious_issues(page: Any) -> list[str]:
    """What axe-core (WCAG 2) finds on *page* that is serious or worse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {issue['id']}: {issue['help']}: {[node['html'] for node in issue['nodes']][:3]}"
        for issue in found
        if issue["impact"] in SERIOUS
    ]


def shoot(page: Any, name: str) -> None:
    """Screenshots for people to look at, in both sizes and schemes; nothing may stick out at the side."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than a {size}"
