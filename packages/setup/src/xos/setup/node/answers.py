# SPDX-License-Identifier: BSD-3-Clause
"""Answers: all that a machine is told in order to become a node, or to be installed. Checked before anything is done.

    role = "core"
    hostname = "core1"

    [core]
    vo = "demo"
    administrator = "alice"

The man page xos-setup(8) and the manual chapter "VM images and first boot" list every key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from xos.common.config import convert, load
from xos.common.errors import ConfigError
from xos.setup.errors import SetupError
from xos.vom import word
from xos.vom.errors import BadJoinWord, BadKeyUri
from xos.vom.pkcs11.uri import parse as parse_key_uri

Role = Literal["core", "resource", "client", "web"]
Instance = Literal["core", "resource", "client", "web"]
"""Of the units: a core shows the web page too, where that is installed."""
ROLES: tuple[Role, ...] = ("core", "resource", "client")
"""What the installer makes; the page is beside a core, or put on a machine by dnf."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
"""As XVOMS takes it: VO, user, node."""
HostName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")]
"""RFC 1123, small letters."""
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:-]{1,253}\Z")]
"""A name or an IP address."""
Interface = Annotated[str, Meta(pattern=r"^[A-Za-z0-9*._-]{1,40}\Z")]
"""Of systemd.network(5), ``[Match] Name=``."""
Hash = Annotated[str, Meta(pattern=r"^\$[!-9;-~]{3,250}\Z")]
"""As in shadow(5): never a password in clear, never a colon or a line end."""
Password = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{8,200}\Z")]
Database = Annotated[str, Meta(pattern=r"^postgresql(\+psycopg)?://[!#-\[\]-~]{1,500}\Z")]
Device = Annotated[str, Meta(pattern=r"^/dev/[A-Za-z0-9/._:+-]{1,200}\Z")]
FlavourName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")]
Page = Annotated[str, Meta(pattern=r"^https://[A-Za-z0-9.:\[\]-]{1,253}/?\Z")]
"""Of the web page: scheme, host and port."""
FileName = Annotated[str, Meta(pattern=r"^/[!-~]{1,250}\Z")]
Fingerprint = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class BadAnswer(SetupError):
    """Raised when an answer has the right form but makes no sense; nothing has been done."""

    code = "setup.bad-answer"
    template = "{where}: {key}: {detail}"
    exit_status = 2


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[network]``: a fixed address instead of DHCP."""

    address: str
    """With the length of the network's prefix, ``10.0.0.2/24``."""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    interface: Interface = "en*"
    """Name or pattern."""


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[system]``."""

    root_password_hash: Hash | None = None
    """What ``openssl passwd -6`` prints. Without it the account root stays as it is."""


class Core(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[core]``: the first VO."""

    vo: Name | None = None
    administrator: Name | None = None
    """A user of that VO with the role VOAdmin."""
    administrator_password: Password | None = None
    """Without it one is made and kept in /root/xos-administrator-password."""
    ca_key: str | None = None
    """A PKCS#11 URI (RFC 7512) when the VO CA's key is in a token; made there if there is none of that name."""
    database: Database | None = None
    """A PostgreSQL URL; without it, an SQLite file."""
    nodes: tuple[Name, ...] = ()
    """Names of machines that may join within a week: their join words go to /root/xos-join-words/NAME."""
    pages: tuple[Page, ...] = ()
    """Web pages on other machines where people may sign in by the certificate in their browser."""


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[web]``: VOLife on a machine that is no core."""

    token: str | None = None
    """The join word that ``xos-node token NAME`` prints on the core."""
    url: Page | None = None
    """What people type; without it, made from the address."""
    certificate: FileName | None = None
    """PEM file with a certificate that browsers know; without it, the machine's own is shown to them."""
    key: FileName | None = None
    """PEM file with the key of that."""


class Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[resource]``."""

    token: str | None = None
    """The join word that ``xos-node token NAME`` prints on the core."""
    core: Host | None = None
    """Without a word: the core that is asked to let the machine in, where somebody must approve that."""
    ca_fingerprint: Fingerprint | None = None
    """SHA-256 of the VO CA's certificate; goes with *core*."""
    wait_minutes: Annotated[float, Meta(ge=0, le=7 * 1440)] = 60.0
    """How long it waits for that."""
    slots: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Job units at once; without it, one for each processor."""
    vos: tuple[Name, ...] = ()
    """VOs whose users may use the machine; `xos-map serve` adds others later."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[client]``."""

    core: Host
    """Name or address of the core."""
    ca_fingerprint: Fingerprint
    """SHA-256 of the VO CA's certificate; ``xos-setup core`` prints it."""


class Install(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[install]``: for xos-install."""

    disk: Device
    """All that is on it is lost. No other disk is touched."""
    flavour: FlavourName | None = None
    """What is installed; without it, what the medium holds."""
    then: Literal["reboot", "poweroff", "nothing"] = "reboot"


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    role: Role | None = None
    hostname: HostName | None = None
    address: str | None = None
    """IP address at which other nodes reach this one; found out if it is not given."""
    network: Network | None = None
    system: System = System()
    core: Core = Core()
    resource: Resource = Resource()
    client: Client | None = None
    web: Web = Web()
    install: Install | None = None


def from_file(path: Path) -> Answers:
    """The answers in *path* (TOML). Raises `ConfigMissing`, `ConfigError`, `BadAnswer`."""
    return check(load(path, Answers), str(path))


def from_tables(tables: dict[str, Any], where: str) -> Answers:
    """The answers in *tables*, which came from *where*. Raises `ConfigError`, `BadAnswer`."""
    try:
        return check(convert(tables, Answers), where)
    except ConfigError as error:
        told = error.data
        raise BadAnswer(where=where, key=told["key"], detail=f"{told['detail']} {told['advice']}".strip()) from error


def check(answers: Answers, where: str) -> Answers:
    """The answers themselves, if they make sense together. Raises `BadAnswer`."""
    for key, detail in _mistakes(answers):
        raise BadAnswer(where=where, key=key, detail=detail)
    return answers


def _mistakes(answers: Answers) -> Iterator[tuple[str, str]]:
    if answers.address is not None and not _is_address(answers.address):
        yield "address", f"{answers.address!r} is not an IP address"
    if answers.network is not None:
        yield from _network_mistakes(answers.network)
    core = answers.core
    if core.administrator is not None and core.vo is None:
        yield "core.administrator", "an administrator needs a VO: core.vo"
    if core.administrator_password is not None and core.administrator is None:
        yield "core.administrator_password", "whose? core.administrator is missing"
    if core.ca_key is not None:
        yield from _key_mistakes(core.ca_key)
    if len(set(core.nodes)) != len(core.nodes):
        yield "core.nodes", "a name is there twice"
    if answers.resource.token is not None:
        yield from _word_mistakes("resource", answers.resource.token, answers.hostname)
    yield from _page_mistakes(answers)
    yield from _joining_mistakes(answers)
    if answers.role == "client" and answers.client is None:
        yield "client", "missing: a client needs client.core and client.ca_fingerprint"


def _page_mistakes(answers: Answers) -> Iterator[tuple[str, str]]:
    if answers.web.token is not None:
        yield from _word_mistakes("web", answers.web.token, None)
    if (answers.web.certificate is None) != (answers.web.key is None):
        yield "web.certificate", "a certificate for browsers and its key go together: web.certificate, web.key"
    if answers.role == "web" and answers.web.token is None:
        yield "web.token", "missing: the page joins by the word that `xos-node token NAME` prints on the core"


def _joining_mistakes(answers: Answers) -> Iterator[tuple[str, str]]:
    resource = answers.resource
    if resource.token is not None and resource.core is not None:
        yield "resource.core", "either a word (resource.token) or a core to ask, not both"
    if (resource.core is None) != (resource.ca_fingerprint is None):
        yield "resource.ca_fingerprint", "resource.core and resource.ca_fingerprint go together"
    if answers.role == "resource" and resource.token is None and resource.core is None:
        yield (
            "resource.token",
            "missing: a resource node joins by the word that `xos-node token NAME` prints on the core, or asks a core",
        )


def _key_mistakes(uri: str) -> Iterator[tuple[str, str]]:
    try:
        parse_key_uri(uri)
    except BadKeyUri as error:
        yield "core.ca_key", str(error.data["detail"])


def _word_mistakes(role: str, token: str, hostname: str | None) -> Iterator[tuple[str, str]]:
    try:
        node = word.read(token).node
    except BadJoinWord as error:
        yield f"{role}.token", error.message
        return
    if hostname not in (None, node):
        yield "hostname", f"the join word is for {node}; leave the name out, or get a word for {hostname}"


def _network_mistakes(network: Network) -> Iterator[tuple[str, str]]:
    try:
        ipaddress.ip_interface(network.address)
    except ValueError:
        yield "network.address", f"{network.address!r} is not ADDRESS/LENGTH"
        return
    if "/" not in network.address:
        yield "network.address", "say the length of the network's prefix too, such as 10.0.0.2/24"
    for key, values in (("gateway", filter(None, [network.gateway])), ("dns", network.dns)):
        for value in values:
            if not _is_address(value):
                yield f"network.{key}", f"{value!r} is not an IP address"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
