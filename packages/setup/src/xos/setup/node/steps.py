# SPDX-License-Identifier: BSD-3-Clause
"""The steps that make a machine a node. Each looks first whether it is done, so whatever stopped them, they go on."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes

from xos.common.files import write_atomically
from xos.common.tls import Trust
from xos.dixi.transports import Address, Endpoint
from xos.setup import machine, roles
from xos.setup.errors import SetupError
from xos.setup.machine import MachineFiles
from xos.setup.node import system
from xos.setup.node.answers import Answers, BadAnswer, Client, Core, Instance, Role, Web
from xos.setup.node.system import MADE_BY, Say, Site
from xos.setup.roles import DIXI_PORT, FRONT_PORT, HTTPS_PORT, WEB_PORT, Daemon, at
from xos.vom import word
from xos.vom.policy import ADMIN_ROLE
from xos.vom.xati import XVOMSAsync

RENEW_BEFORE_SECONDS = 7 * 86_400.0
WORD_MINUTES = 7 * 24 * 60.0
DONE = "/var/lib/xos/setup.json"
ANSWERS = "/etc/xos/answers.toml"
PASSWORD = "/root/xos-administrator-password"  # noqa: S105 -- where it is kept
WORDS = "/root/xos-join-words"


Start = Callable[[Site, Instance], None]


class RoleMissing(SetupError):
    """Raised when the packages of a role are not installed; nothing has been done."""

    code = "setup.role-missing"
    template = "this machine lacks what a {role} needs: {unit} is not installed"
    hint = "dnf install xos-{role}"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine has become; kept in `DONE`."""

    role: Role
    node: str
    address: str = ""
    core: str = ""
    """``host:port`` of the Directory."""
    ca_fingerprint: str = ""
    """SHA-256 of the VO CA's certificate (DER), hex."""
    words: dict[str, str] = {}
    """Join words that were asked for: files, by the node's name."""
    password_file: str = ""
    """Where the administrator's password is, if it was made up."""
    page: str = ""
    """Where browsers find VOLife, if it is here."""


def set_up(answers: Answers, site: Site, say: Say, start: Start = system.start) -> Node:
    """Make the machine what *answers* say. *start* starts a role's services and returns when they are ready.

    Raises `NotRoot` and `RoleMissing` before anything is done, then `NoAddress`, `ProgramFailed`, `ServiceFailed`,
    `NotConnected`, and what founding, joining and XVOMS raise; the same call then goes on.
    """
    role = answers.role
    if role is None:
        raise BadAnswer(where="answers", key="role", detail=f"missing: one of {', '.join(sorted(roles_there(site)))}")
    if site.live:
        system.need_root()
    if role not in roles_there(site):
        raise RoleMissing(role=role, unit=f"xos-{role}.target")
    below(answers, site, say)
    made = {"core": _core, "resource": _resource, "client": _client, "web": _page}[role](answers, site, say, start)
    site.write(DONE, msgspec.json.format(msgspec.json.encode(made)).decode(), 0o644)
    return made


def roles_there(site: Site) -> tuple[str, ...]:
    """The roles whose packages are installed."""
    return tuple(role for role in ("core", "resource", "client", "web") if _unit(site, role).exists())


def kept(site: Site) -> Node | None:
    """What the machine has become; None if it is no node yet."""
    try:
        return msgspec.json.decode(site.path(DONE).read_bytes(), type=Node)
    except FileNotFoundError:
        return None


def below(answers: Answers, site: Site, say: Say) -> None:
    """Name, network, password: what any machine may be told."""
    name = answers.hostname or (word.read(answers.resource.token).node if answers.resource.token else None)
    if name is not None:
        say(f"host name: {name}")
        system.set_hostname(site, name)
    if answers.network is not None:
        say(f"network: {answers.network.address}")
        system.set_network(site, answers.network)
    if answers.system.root_password_hash is not None:
        say("password of root")
        system.set_root_password(site, answers.system.root_password_hash)


TRUST = Path("/var/lib/xos/resource/trust")
"""Where the node's daemon keeps CA and revocations current."""


def files_of(site: Site, role: str) -> MachineFiles:
    """Where a node's machine certificate is: below what systemd keeps for its daemon."""
    home = site.path(f"/var/lib/xos/{role}")
    return MachineFiles(certificate=home / "machine.pem", key=home / "machine.key", trust=home / "trust")


def _unit(site: Site, role: str) -> Path:
    return site.path(f"/usr/lib/systemd/system/xos-{role}.target")


def _found_address(answers: Answers, peer: str = system.ELSEWHERE) -> str:
    """The fixed address if there is one, else the one that DHCP gives, which may take a while. Raises `NoAddress`."""
    if answers.network is not None:
        return str(ipaddress.ip_interface(answers.network.address).ip)
    return system.own_address(peer, seconds=system.ADDRESS_SECONDS)


def _name(answers: Answers) -> str:
    return answers.hostname or socket.gethostname()


def _home(site: Site, role: str) -> Path:
    home = site.path(f"/var/lib/xos/{role}")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    return home


def _daemon(
    site: Site,
    role: Instance,
    node: str,
    address: str,
    directory: str,
    slots: int | None,
    origins: tuple[str, ...] = (),
    web: Web | None = None,
) -> None:
    """The configuration of the node's dixid."""
    home = site.path(f"/var/lib/xos/{role}")
    daemon = Daemon(
        made_by=MADE_BY,
        node=node,
        role=role,
        address=address,
        origins=origins,
        directory=directory,
        data=str(home),
        certificate=f"{home}/machine.pem",
        key=f"{home}/machine.key",
        trust=f"{home}/trust",
        services=roles.services_of(role),
        settings={
            # Units run under the accounts that VO users log in to.
            **({"ExecutionManager": {"accounts": "mapped"}} if role == "resource" else {}),
            # Root of the core has the files of all volumes at hand anyway.
            **({"MRC": {"superusers": [node]}} if role == "core" else {}),
            **({"VOLife": {"address": at(address, WEB_PORT), **_of_page(web)}} if role == "web" else {}),
            **({"ResourceManager": {"slots": slots}} if slots is not None else {}),
        },
    )
    site.write(f"/etc/xos/{role}.toml", roles.daemon_toml(daemon))


def _of_page(web: Web | None) -> dict[str, str]:
    """What was told of the page, as the settings of VOLife."""
    return (
        {}
        if web is None
        else {name: value for name in ("url", "certificate", "key") if (value := getattr(web, name)) is not None}
    )


def _commands(site: Site, ca: bytes, directory: str, front_door: str, gateway: str = "") -> None:
    """What the commands of every user of the machine begin with."""
    path = site.path("/etc/xos/ca.pem")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ca, 0o644)
    text = roles.client_toml(MADE_BY, directory=directory, front_door=front_door, gateway=gateway)
    site.write("/etc/xos/client.toml", text)


def _core(answers: Answers, site: Site, say: Say, start: Start) -> Node:
    name, address = _name(answers), answers.address or _found_address(answers)
    files, home = files_of(site, "core"), _home(site, "core")
    if not files.good_for(RENEW_BEFORE_SECONDS, name):
        say(f"{name}: VO CA and machine certificate")
        _vom(site, answers.core)
        asyncio.run(machine.found(files, vom=home / "vom", node=name, address=address))
    page = f"https://{at(address, WEB_PORT)}" if _unit(site, "web").exists() else ""
    pages = (*([page] if page else []), *(one.rstrip("/") for one in answers.core.pages))
    _daemon(site, "core", name, address, "", None, pages)
    if site.live:
        system.give(site, "/var/lib/xos/core", "xos")
    ca = (files.trust / "ca.pem").read_bytes()
    directory, front_door = at(address, DIXI_PORT), at(address, FRONT_PORT)
    _commands(site, ca, directory, front_door, at(address, HTTPS_PORT))
    _administrators_home(site, files)
    say("starting the services of the core")
    start(site, "core")
    asyncio.run(machine.make_homes(files, directory))
    if page:
        _web(site, name, address, say)
        start(site, "web")
    fingerprint = _fingerprint(files)
    made = Node(role="core", node=name, address=address, core=directory, ca_fingerprint=fingerprint, page=page)
    return asyncio.run(_first_vo(answers, site, made, say))


def _vom(site: Site, core: Core) -> None:
    """Where key and database of the VO are, before they are made; what is there already stays."""
    told = {"ca_key": core.ca_key, "database": core.database}
    lines = [f'{name} = "{value}"\n' for name, value in told.items() if value is not None]
    path = "/var/lib/xos/core/vom/vom.toml"
    if lines and not site.path(path).exists():
        site.path(path).parent.mkdir(mode=0o700, exist_ok=True)
        site.write(path, f"# {MADE_BY}\n" + "".join(lines), 0o600)


def _web(site: Site, core: str, address: str, say: Say) -> None:
    """VOLife beside the core, where its package is installed: with a certificate of its own."""
    files, node = files_of(site, "web"), f"{core}-web"
    _home(site, "web")
    directory = at(address, DIXI_PORT)
    if not files.good_for(RENEW_BEFORE_SECONDS, node):
        say(f"{node}: a certificate for the web page")
        doors = directory, at(address, FRONT_PORT)
        text = asyncio.run(machine.create_word(files_of(site, "core"), *doors, node=node, addresses=(address,)))
        asyncio.run(machine.join(files, word.read(text)))
    _daemon(site, "web", node, address, directory, None)
    if site.live:
        system.give(site, "/var/lib/xos/web", "xos")
    say("starting the web page")


def _administrators_home(site: Site, files: MachineFiles) -> None:
    """Root of the core acts with the machine's own certificate; links, since that is renewed."""
    home = site.path("/root/.xos")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, target in (("user.pem", files.certificate), ("user.key", files.key)):
        link = home / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(target)


async def _first_vo(answers: Answers, site: Site, made: Node, say: Say) -> Node:
    """VO, administrator, join words, through the services that run now."""
    core, files = answers.core, files_of(site, "core")
    password_file, words = "", {}
    endpoint = Endpoint(Trust.load(files.trust), files.credential())
    async with machine.direct(Address.parse(made.core), endpoint, node=made.node) as bus:
        if core.vo is not None:
            say(f"VO {core.vo}")
            await XVOMSAsync(bus).create_vo(core.vo, "")
        if core.vo is not None and core.administrator is not None:
            say(f"administrator {core.administrator}")
            password = core.administrator_password
            if password is None:
                password, password_file = _made_password(site), PASSWORD
            await XVOMSAsync(bus).add_user(core.vo, core.administrator, password, roles=(ADMIN_ROLE,))
    for node in core.nodes:
        file = f"{WORDS}/{node}"
        if not site.path(file).exists():
            say(f"join word of {node}")
            doors = made.core, at(made.address, FRONT_PORT)
            text = await machine.create_word(files, *doors, node=node, minutes=WORD_MINUTES)
            site.path(WORDS).mkdir(mode=0o700, parents=True, exist_ok=True)
            site.write(file, f"{text}\n", 0o600)
        words[node] = file
    return msgspec.structs.replace(made, words=words, password_file=password_file)


def _made_password(site: Site) -> str:
    """The password made up for the administrator: kept before it is used, so that it is never unknown."""
    path = site.path(PASSWORD)
    if not path.exists():
        site.write(PASSWORD, secrets.token_urlsafe(15) + "\n", 0o600)
    return path.read_text().strip()


def _resource(answers: Answers, site: Site, say: Say, start: Start) -> Node:
    files = files_of(site, "resource")
    _home(site, "resource")
    node, address, directory, front_door = _joined(answers, files, say)
    _daemon(site, "resource", node, address, directory, answers.resource.slots)
    _serve(answers.resource.vos, site, say)
    ca = (files.trust / "ca.pem").read_bytes()
    _commands(site, ca, directory, front_door)
    say("starting the services of the resource node")
    start(site, "resource")
    return Node(role="resource", node=node, address=address, core=directory, ca_fingerprint=_fingerprint(files))


def _joined(answers: Answers, files: MachineFiles, say: Say) -> tuple[str, str, str, str]:
    """The node's name and address, the core's Directory and front door, once the machine has its certificate."""
    told = answers.resource
    if told.core is None or told.ca_fingerprint is None:
        given = word.read(told.token or "")
        address = answers.address or _found_address(answers, Address.parse(given.directory).host)
        if not files.good_for(RENEW_BEFORE_SECONDS, given.node):
            say(f"{given.node}: joining the grid of {given.front_door}")
            asyncio.run(machine.join(files, given))
        return given.node, address, given.directory, given.front_door
    node, address = _name(answers), answers.address or _found_address(answers, told.core)
    front_door = Address(told.core, FRONT_PORT)
    if not files.good_for(RENEW_BEFORE_SECONDS, node):
        say(f"{node}: asking {front_door} to be let in")
        seconds = told.wait_minutes * 60
        asyncio.run(
            machine.ask(files, front_door, told.ca_fingerprint, node, address=address, seconds=seconds, say=say)
        )
    return node, address, at(told.core, DIXI_PORT), str(front_door)


def _page(answers: Answers, site: Site, say: Say, start: Start) -> Node:
    """VOLife on a machine that is no core; what else the machine is stays."""
    given = word.read(answers.web.token or "")
    files = files_of(site, "web")
    _home(site, "web")
    address = answers.address or _found_address(answers, Address.parse(given.directory).host)
    if not files.good_for(RENEW_BEFORE_SECONDS, given.node):
        say(f"{given.node}: joining the grid of {given.front_door}")
        asyncio.run(machine.join(files, given))
    _daemon(site, "web", given.node, address, given.directory, None, web=answers.web)
    if site.live:
        system.give(site, "/var/lib/xos/web", "xos")
    _commands(site, (files.trust / "ca.pem").read_bytes(), given.directory, given.front_door)
    say("starting the web page")
    start(site, "web")
    page = (answers.web.url or f"https://{at(address, WEB_PORT)}").rstrip("/")
    say(f"to let people sign in by certificate, on the core:  xos-setup core --page {page}")
    return Node(
        role="web",
        node=given.node,
        address=address,
        core=given.directory,
        ca_fingerprint=given.ca_fingerprint.hex(),
        page=page,
    )


def _serve(vos: tuple[str, ...], site: Site, say: Say) -> None:
    """Let the users of *vos* use the machine."""
    from xos.node.serving import add  # a core need not have it installed

    for vo in vos:
        add(site.path("/etc/xos/node.toml"), vo, TRUST)
    if not vos:
        say("no VO may use this machine yet:  xos-map serve VO")
    if site.live:
        site.run(["systemctl", "try-reload-or-restart", "xos-amsd.service"])


def _client(answers: Answers, site: Site, say: Say, start: Start) -> Node:
    client: Client | None = answers.client
    if client is None:
        raise BadAnswer(where="answers", key="client", detail="missing")
    front_door = Address(client.core, FRONT_PORT)
    say(f"certificate of the VO CA from {front_door}")
    trust = Trust([asyncio.run(machine.fetch_authority(front_door))])
    machine.check_authority(trust, client.ca_fingerprint, str(front_door))
    directory = at(client.core, DIXI_PORT)
    _commands(site, trust.ca_pem(), directory, str(front_door), at(client.core, HTTPS_PORT))
    start(site, "client")
    return Node(role="client", node=_name(answers), core=directory, ca_fingerprint=client.ca_fingerprint)


def _fingerprint(files: MachineFiles) -> str:
    return Trust.load(files.trust).ca_certificates[0].fingerprint(hashes.SHA256()).hex()
