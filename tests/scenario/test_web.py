# SPDX-License-Identifier: BSD-3-Clause
"""VOLife in real Chromium, on a real grid: what people do with it, how it looks, what its console says."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.daemons import eventually
from support.localgrid import Grid, User
from support.web import Person, chromium, serious_issues, shoot
from xos.dixi.blocking import BlockingBus
from xos.setup import machine
from xos.setup.local import users
from xos.setup.roles import HTTPS_PORT
from xos.vom.word import read
from xos.vom.xati import XVOMSXati
from xos.xtreemfs.api import Ask, Policy, Striping, Update
from xos.xtreemfs.xati import DIRXati, MRCXati

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]
PASSWORD = "correct horse battery"


class Site:
    """The grid, its page, and a browser."""

    def __init__(self, grid: WebGrid, browser: Any) -> None:
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

    def volume(self, name: str) -> None:
        """A volume with a quota, as the core makes one."""
        with BlockingBus.open(self.grid.local.admin) as bus:
            policy = Policy(Striping(width=2), Update.QUORUM, replicas=2)
            MRCXati(bus).make_volume(name, 0o755, policy, 10 << 30, Ask())
            for _ in eventually():
                if any(volume.name == name for volume in DIRXati(bus).volumes()):
                    break

    def complaints(self) -> list[str]:
        """What all consoles said; forgotten afterwards."""
        said = [complaint for person in self.people for complaint in person.complaints]
        for person in self.people:
            person.context.close()
        self.people.clear()
        return said


class WebGrid(Grid):
    """A grid with VOLife, to which machines are let in by what its page says."""

    def address(self, host: int) -> str:
        """An address of its network."""
        return f"{self.local.core.address.rpartition('.')[0]}.{host}"

    def join(self, name: str, word: str) -> None:
        """A further resource node, with the certificate that *word* gets."""
        home = self.root / name
        home.mkdir(mode=0o711)
        files = {"certificate": home / "machine.pem", "key": home / "machine.key", "trust": home / "trust"}
        in_thread(lambda: asyncio.run(machine.join(machine.MachineFiles(**files), read(word))))
        in_thread(lambda: self.up(nodes=2))

    def enrolled(self, vo: str, name: str, password: str) -> User:
        """A shell of a member with a certificate by password."""
        home = self.root / "users" / f"{name}.{vo}"
        users.make_home(home, self.local.core)
        user = User(self, home)
        user.run("get-xos-cert", vo, name, "--no-passphrase", "--password-file", "-", typed=password)
        return user


def in_thread(work: Callable[[], object]) -> None:
    """Playwright runs an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result(60)


@pytest.fixture(scope="module")
def grid() -> Iterator[WebGrid]:
    made = WebGrid()
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
def site(grid: WebGrid, browser: Any) -> Iterator[Site]:
    made = Site(grid, browser)
    yield made
    assert made.complaints() == []


def test_a_certificate_made_in_the_browser_signs_in_without_a_password(site: Site, tmp_path: Path) -> None:
    site.member("vera", "VOManager")
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
    site.member("vera", "VOManager")
    site.volume("results")
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


FLOW_POLICY = """@id("not-bob")
forbid (principal == User::"bob@physics", action == Action::"runJob", resource);
"""


def test_a_vo_from_its_creation_to_its_accounts(site: Site) -> None:
    """A VO is created, two people ask and are approved, a machine joins, a policy denies one of them a job, and the
    accounts show what the other has used."""
    site.member("cora", "VOCreator")
    cora = site.person()
    cora.sign_in("demo", "cora", PASSWORD)
    cora.page.get_by_role("link", name="Create a VO").click()
    cora.fill(Name_of_the_VO="physics", What_it_is_for="Particles")
    shoot(cora.page, "flow-1-create")
    cora.press("Create it")
    cora.sees("you are its manager")
    cora.sees("Anybody may ask to become a member")
    shoot(cora.page, "flow-2-settings")
    cora.press("Save")
    cora.sees("No request here")

    people = {name: site.person() for name in ("bob", "dana")}
    for name, person in people.items():
        person.go("/join?vo=physics")
        person.fill(User_name_that_you_want=name, Your_name=f"{name.title()} Example", Password=PASSWORD)
        person.fill(Password_again=PASSWORD)
        person.press("Ask")
        person.sees("has not decided yet")
    shoot(people["bob"].page, "flow-3-asked")
    cora.go("/vo/physics/requests")
    shoot(cora.page, "flow-4-requests")
    assert serious_issues(cora.page) == []
    for name, person in people.items():
        cora.page.get_by_role("region", name=name).get_by_role("button", name="Approve").click()
        cora.sees(f"{name} is a member now.")
        person.page.reload()
        person.sees("You are a member now.")

    cora.go("/vo/physics/resources")
    cora.fill(Name_of_the_machine="node2", Its_IP_addresses=site.grid.address(3))
    cora.press("Make a join word")
    word = cora.page.locator("#word").inner_text().split()[-1]
    shoot(cora.page, "flow-5-word")
    watching = site.person()
    watching.sign_in("physics", "dana", PASSWORD)
    watching.go("/vo/physics/resources")
    site.grid.join("node2", word)
    watching.page.get_by_role("row", name="node2").get_by_text("up", exact=True).wait_for()
    shoot(watching.page, "flow-6-resources")

    cora.go("/vo/physics/files")
    cora.page.get_by_role("link", name="node2").click()
    cora.press("Drain it")
    cora.page.get_by_role("dialog").get_by_role("button", name="Drain it").click()
    cora.sees("node2 is draining now.")
    shoot(cora.page, "flow-6-drained")
    assert serious_issues(cora.page) == []
    cora.press("Put it online")
    cora.sees("node2 is online now.")

    cora.go("/vo/physics/policies-new")
    cora.fill(Name="not-bob", Rules=FLOW_POLICY)
    cora.press("Put into effect")
    cora.sees("Policy not-bob is in effect, version 1.")
    shoot(cora.page, "flow-7-policy")
    assert serious_issues(cora.page) == []

    shells = {name: site.grid.enrolled("physics", name, PASSWORD) for name in people}
    watching.go("/vo/physics/jobs")
    done = shells["dana"].submit("echo done; i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done")
    shells["dana"].run("xwait", done)
    watching.page.get_by_role("row", name="dana@physics").get_by_text("DONE").wait_for()
    denied = shells["bob"].submit("echo never")
    people["bob"].sign_in("physics", "bob", PASSWORD)
    people["bob"].go(f"/vo/physics/jobs/{denied}")
    people["bob"].sees("not-bob")
    shoot(people["bob"].page, "flow-8-denied")
    assert "DONE" not in people["bob"].words
    watching.go(f"/vo/physics/jobs/{done}/output")
    watching.sees("done")
    cora.go("/vo/physics/policies-decisions")
    cora.sees("denied by rule")
    shoot(cora.page, "flow-9-decisions")

    for _ in eventually():
        cora.go("/vo/physics/usage")
        if "dana" in cora.words:
            break
    assert "bob" not in cora.words
    shoot(cora.page, "flow-10-usage")
    assert serious_issues(cora.page) == []
    cora.go("/vo/physics/audit")
    for act in ("policy-put", "vo-created"):
        cora.sees(act)
    shoot(cora.page, "flow-11-audit")
    assert serious_issues(cora.page) == []
    cora.go("/vo/physics")
    shoot(cora.page, "flow-12-overview")


PAGES = (
    "/",
    "/me",
    "/vo/demo",
    "/vo/demo/members",
    "/vo/demo/members-add",
    "/vo/demo/members/vera",
    "/vo/demo/groups",
    "/vo/demo/resources",
    "/vo/demo/files",
    "/vo/demo/files/volumes/results",
    "/vo/demo/files/services/DIR/core",
    "/vo/demo/files/services/MRC/core",
    "/vo/demo/files/services/OSD/node1",
    "/vo/demo/jobs",
    "/vo/demo/requests",
    "/vo/demo/policies",
    "/vo/demo/policies/members",
    "/vo/demo/policies/members/history",
    "/vo/demo/policies-new",
    "/vo/demo/policies-decisions",
    "/vo/demo/usage",
    "/vo/demo/audit",
    "/vo/demo/settings",
    "/vo/demo/members-import",
    "/join",
    "/invitation",
    "/vo-new",
)


def test_all_can_be_done_with_the_keyboard(site: Site) -> None:
    site.member("vera", "VOManager")
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
    site.member("vera", "VOManager")
    vera = site.person(java_script_enabled=False)
    vera.sign_in("demo", "vera", PASSWORD)
    vera.go("/vo/demo/members")
    vera.sees("vera")
