# SPDX-License-Identifier: BSD-3-Clause
"""A machine becomes a core or a resource node: real services, real joining; only systemd is not there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from support.databases import postgresql, postgresql_server
from support.localgrid import network
from support.tokens import SoftToken, token
from xos.common.tls import Trust
from xos.dixi.configuration import load_daemon
from xos.dixi.errors import NotConnected
from xos.dixi.transports import Address, Endpoint
from xos.node.config import load_node
from xos.setup import machine, roles
from xos.setup.errors import NotApproved
from xos.setup.local.processes import Starting, end
from xos.setup.machine import WrongAuthority
from xos.setup.node import firstboot, steps
from xos.setup.node.answers import Answers, Client, Core, Instance, Network, Resource, Web
from xos.setup.node.steps import RoleMissing, files_of, set_up
from xos.setup.node.system import NoAddress, Site, is_own, network_file, own_address, set_hostname, wait_for
from xos.vom import word
from xos.vom.errors import TokenUsed
from xos.vom.xati import RCAAsync, XVOMSAsync

__all__ = ["postgresql", "postgresql_server", "token"]  # fixtures

UNITS = Path(__file__).parents[2] / "systemd-units/system"
NETWORK = network()
CORE_ADDRESS = f"{NETWORK}.1"
READY_SECONDS = 60.0
pytestmark = pytest.mark.timeout(120)


PAGE = "https://vo.example.org"


class Machines:
    """Machines whose files are below a directory; their daemons are processes of ours."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self.place, self._stack = place, stack
        self._running: dict[tuple[Path, Instance], contextlib.ExitStack] = {}

    def site(self, name: str) -> Site:
        """A machine, with the packages of every role."""
        root = self.place / name
        shutil.copytree(UNITS, root / "usr/lib/systemd/system", dirs_exist_ok=True)
        return Site(root)

    def start(self, site: Site, role: Instance) -> None:
        """What systemd would do: run dixid with the role's configuration, anew if it runs already."""
        if role == "client":
            return
        if old := self._running.pop((site.root, role), None):
            old.close()
        config = site.path(f"/etc/xos/{role}.toml")
        argv = [sys.executable, "-m", "xos.dixi.dixid", "--config", str(config)]
        own = self._running[site.root, role] = self._stack.enter_context(contextlib.ExitStack())
        with Starting(role, argv, log=site.root / f"{role}.log", env=dict(os.environ)) as starting:
            process = starting.wait(READY_SECONDS)
        own.callback(end, {role: process}, grace_s=10.0)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with contextlib.ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("machines"), stack)


CORE = Answers(
    role="core",
    hostname="core1",
    address=CORE_ADDRESS,
    core=Core(vo="demo", administrator="alice", nodes=("node1", "node2", "node3", "web1"), pages=(PAGE,)),
)


@pytest.fixture(scope="module")
def core(machines: Machines) -> Site:
    """A core that has been set up twice, since every step may be repeated."""
    site = machines.site("core1")
    first = set_up(CORE, site, print, machines.start)
    assert set_up(CORE, site, print, machines.start) == first
    return site


def test_a_core_has_its_vo_its_administrator_and_the_words_of_its_nodes(core: Site) -> None:
    made = steps.kept(core)
    assert made is not None
    assert (made.role, made.node, made.core) == ("core", "core1", f"{CORE_ADDRESS}:6740")
    files = files_of(core, "core")
    assert made.ca_fingerprint == word.read(core.path(made.words["node1"]).read_text()).ca_fingerprint.hex()
    endpoint = Endpoint(Trust.load(files.trust), files.credential())

    async def member() -> tuple[str, ...]:
        async with machine.direct(Address(CORE_ADDRESS, roles.DIXI_PORT), endpoint, node="core1") as bus:
            return (await XVOMSAsync(bus).user_info("demo", "alice")).roles

    assert asyncio.run(member()) == ("VOAdmin",)


def test_a_core_with_the_web_page_installed_shows_it_under_a_certificate_of_its_own(core: Site) -> None:
    made = steps.kept(core)
    assert made is not None
    assert made.page == f"https://{CORE_ADDRESS}:{roles.WEB_PORT}"
    assert files_of(core, "web").credential().identity.name == "core1-web"
    context = ssl.create_default_context(cafile=str(files_of(core, "core").trust / "ca.pem"))
    with urllib.request.urlopen(f"{made.page}/sign-in", context=context, timeout=10) as page:  # noqa: S310 -- https
        assert b"Sign in with your certificate" in page.read()


def test_a_word_makes_a_machine_show_the_page_which_the_core_lets_ask_for_delegations(
    core: Site, machines: Machines
) -> None:
    site = machines.site("web1")
    text = core.path(f"{steps.WORDS}/web1").read_text()
    answers = Answers(role="web", address=f"{NETWORK}.7", web=Web(token=text, url=f"{PAGE}/"))
    made = set_up(answers, site, print, machines.start)
    assert (made.role, made.node, made.page) == ("web", "web1", PAGE)
    certificate = site.path("/var/lib/xos/web/machine.pem").read_bytes()
    assert set_up(answers, site, print, machines.start) == made
    assert site.path("/var/lib/xos/web/machine.pem").read_bytes() == certificate
    assert not site.path("/etc/hostname").exists()  # it may be more than that
    context = ssl.create_default_context(cafile=str(files_of(core, "core").trust / "ca.pem"))
    context.check_hostname = False  # the word was for no address
    address = f"https://{NETWORK}.7:{roles.WEB_PORT}/sign-in"
    with urllib.request.urlopen(address, context=context, timeout=10) as page:  # noqa: S310 -- https
        assert b"Sign in with your certificate" in page.read()
    gateway = next(each for each in load_daemon(core.path("/etc/xos/core.toml")).listen if each.transport == "https")
    assert gateway.origins == (f"https://{CORE_ADDRESS}:{roles.WEB_PORT}", PAGE)


def test_a_machine_without_a_word_asks_waits_and_joins_once_it_is_approved(
    core: Site, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ASK_SECONDS", 0.1)
    made = steps.kept(core)
    assert made is not None
    site, said = machines.site("node7"), list[str]()
    told = Resource(core=CORE_ADDRESS, ca_fingerprint=made.ca_fingerprint, slots=1, vos=("demo",), wait_minutes=0.01)
    answers = Answers(role="resource", hostname="node7", address=f"{NETWORK}.17", resource=told)
    with pytest.raises(NotApproved) as waited:
        set_up(answers, site, said.append, machines.start)
    (line,) = [text for text in said if "xos-resource approve" in text]
    fingerprint = str(waited.value.data["fingerprint"])
    assert fingerprint in line
    asyncio.run(_approve(core, "node7", fingerprint))
    joined = set_up(answers, site, said.append, machines.start)  # the same command goes on
    assert (joined.node, joined.core, joined.ca_fingerprint) == ("node7", made.core, made.ca_fingerprint)
    certificate = site.path("/var/lib/xos/resource/machine.pem").read_bytes()
    assert set_up(answers, site, said.append, machines.start) == joined
    assert site.path("/var/lib/xos/resource/machine.pem").read_bytes() == certificate


@contextlib.asynccontextmanager
async def _rca(core: Site) -> AsyncIterator[RCAAsync]:
    files = files_of(core, "core")
    endpoint = Endpoint(Trust.load(files.trust), files.credential())
    async with machine.direct(Address(CORE_ADDRESS, roles.DIXI_PORT), endpoint, node="core1") as bus:
        yield RCAAsync(bus)


async def _approve(core: Site, node: str, fingerprint: str) -> None:
    async with _rca(core) as rca:
        await rca.approve(node, fingerprint)


async def _names(core: Site) -> set[str]:
    async with _rca(core) as rca:
        return {one.node for one in await rca.list_resources()}


def test_a_machine_that_asks_the_wrong_core_sends_it_nothing(core: Site, machines: Machines) -> None:
    told = Resource(core=CORE_ADDRESS, ca_fingerprint="00" * 32)
    answers = Answers(role="resource", hostname="node8", address=f"{NETWORK}.18", resource=told)
    with pytest.raises(WrongAuthority):
        set_up(answers, machines.site("node8"), print, machines.start)
    assert "node8" not in asyncio.run(_names(core))


def test_a_core_may_keep_its_key_in_a_token_and_its_members_in_postgresql(
    machines: Machines, token: SoftToken, postgresql: str
) -> None:
    site = machines.site("core2")
    wanted = Core(vo="demo", administrator="alice", ca_key=token.uri, database=postgresql)
    answers = msgspec.structs.replace(CORE, hostname="core2", address=f"{NETWORK}.9", core=wanted)
    first = set_up(answers, site, print, machines.start)
    assert set_up(answers, site, print, machines.start) == first
    vom = site.path("/var/lib/xos/core/vom")
    assert sorted(file.name for file in (vom / "ca").iterdir()) == ["ca.pem"]
    assert not (vom / "vom.sqlite").exists()
    assert (vom / "vom.toml").stat().st_mode & 0o777 == 0o600


def test_secrets_of_a_core_are_its_roots_alone(core: Site) -> None:
    made = steps.kept(core)
    assert made is not None
    for name in (made.password_file, *made.words.values(), "/var/lib/xos/core/machine.key"):
        assert core.path(name).stat().st_mode & 0o777 == 0o600
    assert core.path("/root/.xos").stat().st_mode & 0o777 == 0o700
    assert len(core.path(made.password_file).read_text()) > 15


def test_a_word_makes_a_machine_a_node_and_again_changes_nothing(core: Site, machines: Machines) -> None:
    site = machines.site("node1")
    text = core.path(f"{steps.WORDS}/node1").read_text()
    resource = Resource(token=text, slots=3, vos=("demo",))
    answers = Answers(role="resource", address=f"{NETWORK}.2", resource=resource)
    made = set_up(answers, site, print, machines.start)
    assert (made.node, made.core) == ("node1", f"{CORE_ADDRESS}:6740")
    certificate = site.path("/var/lib/xos/resource/machine.pem").read_bytes()
    assert load_daemon(site.path("/etc/xos/resource.toml")).services["ResourceManager"].settings == {"slots": 3}
    assert list(load_node(site.path("/etc/xos/node.toml")).vos) == ["demo"]
    assert site.path("/etc/hostname").read_text() == "node1\n"
    assert set_up(answers, site, print, machines.start) == made
    assert site.path("/var/lib/xos/resource/machine.pem").read_bytes() == certificate


def test_who_was_interrupted_before_the_answer_was_kept_gets_it_again(core: Site, machines: Machines) -> None:
    given = word.read(core.path(f"{steps.WORDS}/node2").read_text())
    files = files_of(machines.site("node2"), "resource")
    files.key.parent.mkdir(parents=True)
    files.request("node2")
    asked = files.key.with_name("machine.key.asked")
    kept = asked.read_bytes()
    asyncio.run(machine.join(files, given))
    certificate = files.certificate.read_bytes()
    # As it is when the machine stops after the RCA has answered, and before anything of that is written.
    asked.write_bytes(kept)
    files.certificate.unlink()
    asyncio.run(machine.join(files, given))
    assert files.certificate.read_bytes() == certificate
    with pytest.raises(TokenUsed):
        asyncio.run(machine.join(files, given))


def test_a_request_stays_the_same_until_it_is_forgotten(tmp_path: Path) -> None:
    files = machine.MachineFiles(certificate=tmp_path / "c", key=tmp_path / "k", trust=tmp_path / "t")
    first = files.request("node1")
    assert files.request("node1") == first
    assert (tmp_path / "k.asked").stat().st_mode & 0o777 == 0o600
    assert files.request("node2") != first
    files.forget_request()
    assert files.request("node1") != first


def test_a_word_of_another_ca_gives_its_token_to_nobody(core: Site, machines: Machines) -> None:
    given = word.read(core.path(f"{steps.WORDS}/node3").read_text())
    files = files_of(machines.site("node3"), "resource")
    files.key.parent.mkdir(parents=True)
    other = word.JoinWord(
        node="node3",
        token=given.token,
        ca_fingerprint=bytes(32),
        front_door=given.front_door,
        directory=given.directory,
    )
    with pytest.raises(WrongAuthority):
        asyncio.run(machine.join(files, other))
    asyncio.run(machine.join(files, given))  # the token has not been used up


def test_a_client_believes_the_ca_by_its_fingerprint(core: Site, machines: Machines) -> None:
    made = steps.kept(core)
    assert made is not None
    site = machines.site("client")
    answers = Answers(role="client", client=Client(core=CORE_ADDRESS, ca_fingerprint=made.ca_fingerprint))
    assert set_up(answers, site, print, machines.start).core == f"{CORE_ADDRESS}:6740"
    assert site.path("/etc/xos/ca.pem").read_bytes() == core.path("/etc/xos/ca.pem").read_bytes()
    wrong = Answers(role="client", client=Client(core=CORE_ADDRESS, ca_fingerprint="0" * 64))
    with pytest.raises(WrongAuthority):
        set_up(wrong, site, print, machines.start)


async def test_whoever_answers_at_the_front_door_but_is_no_core_is_told() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotConnected):
            await machine.fetch_authority(Address("127.0.0.1", port))
        await ended.wait()


def test_a_role_that_is_not_installed_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(RoleMissing) as told:
        set_up(CORE, Site(tmp_path), print)
    assert told.value.next_step == "dnf install xos-core"
    assert not any(tmp_path.iterdir())


def test_the_network_file_holds_what_was_answered() -> None:
    text = network_file(Network(address="10.0.0.2/24", gateway="10.0.0.1", dns=("10.0.0.3",), interface="ens*"))
    for line in ("Name=ens*", "Address=10.0.0.2/24", "Gateway=10.0.0.1", "DNS=10.0.0.3", "DHCP=no"):
        assert f"{line}\n" in text


def test_a_name_given_twice_is_in_hosts_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 old\n10.0.0.9 other\n")
    set_hostname(site, "one")
    set_hostname(site, "two.example.org")
    assert site.path("/etc/hosts").read_text() == (
        "127.0.0.1 localhost\n10.0.0.9 other\n127.0.1.1\ttwo.example.org two\n"
    )


def test_addresses_are_found_and_waited_for() -> None:
    assert own_address("127.0.0.1").startswith("127.")
    assert is_own("127.0.0.1")
    assert not is_own("192.0.2.7")
    with pytest.raises(NoAddress):
        wait_for("192.0.2.7", 0.3)


def test_without_answers_the_login_prompt_says_what_to_do(tmp_path: Path) -> None:
    firstboot.run(Site(tmp_path), print)
    assert "xos-setup" in (tmp_path / "run/issue.d/50-xos.issue").read_text()


def test_answers_of_an_installation_are_not_for_the_live_system(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write("/proc/cmdline", "boot=live xos.install.disk=/dev/vda xos.role=core")
    firstboot.run(site, print)
    assert steps.kept(site) is None


def test_a_first_boot_that_fails_is_told_at_the_login_prompt(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write("/etc/xos/answers.toml", 'role = "core"\nhostname = "c"\n')
    with pytest.raises(RoleMissing):
        firstboot.run(site, print)
    assert "journalctl" in (tmp_path / "run/issue.d/50-xos.issue").read_text()
    assert site.path(steps.ANSWERS).exists()
