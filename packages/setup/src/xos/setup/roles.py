# SPDX-License-Identifier: BSD-3-Clause
"""What a node of each role hosts, and the text of its configurations: the same for a real machine and a local grid."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

DIXI_PORT = 6740
"""Where nodes reach each other (mutual TLS)."""
FRONT_PORT = 6730
"""The front door: CDA, RCA and Registration, for those who have no certificate yet."""
HTTPS_PORT = 6743
"""The HTTP/JSON gateway and ``/metrics``."""
WEB_PORT = 6780
"""Where browsers find VOLife."""
WEB_DIXI_PORT = 6781
"""Where other nodes reach VOLife's daemon, which may be on the core's machine."""
CORE_SERVICES = (
    "Directory",
    "XVOMS",
    "CDA",
    "RCA",
    "Registration",
    "RCAClient",
    "VOPS",
    "Accounting",
    "Audit",
    "JobManager",
    "JobDirectory",
    "DIR",
    "MRC",
    "Files",
)
NODE_SERVICES = ("RCAClient", "ResourceManager", "ExecutionManager", "UsageSpool", "OSD")
WEB_SERVICES = (
    "RCAClient",
    "VOLife",
)
FRONT_SERVICES = ("CDA", "RCA", "Registration")

Setting = str | int | float | bool | list[str]
Settings = Mapping[str, Setting]


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A dixid. Paths are absolute, or relative to its configuration."""

    made_by: str
    """Who writes the configuration, for whoever reads it."""
    node: str
    role: str
    """``core``, ``resource`` or ``web``."""
    address: str
    origins: tuple[str, ...] = ()
    """Web sites whose pages may call its gateway, with their readers' certificates."""
    directory: str = ""
    """``host:port`` of the core's Directory; empty on the core."""
    data: str
    certificate: str
    key: str
    trust: str
    services: tuple[str, ...]
    settings: Mapping[str, Settings] = {}
    """By service."""


def services_of(role: str) -> tuple[str, ...]:
    """What a node of *role* hosts."""
    return {"core": CORE_SERVICES, "web": WEB_SERVICES}.get(role, NODE_SERVICES)


def daemon_toml(daemon: Daemon) -> str:
    """The configuration of a dixid."""
    lines = [
        f"# Made by {daemon.made_by}.",
        f"node = {quoted(daemon.node)}",
        f"data = {quoted(daemon.data)}",
        "",
        "[tls]",
        f"certificate = {quoted(daemon.certificate)}",
        f"key = {quoted(daemon.key)}",
        f"trust = {quoted(daemon.trust)}",
        *_listen("dixi", daemon.address, WEB_DIXI_PORT if daemon.role == "web" else DIXI_PORT),
    ]
    if daemon.role != "web":
        lines += _listen("https", daemon.address, HTTPS_PORT)
    if daemon.origins:
        lines.append(f"origins = {quoted(list(daemon.origins))}")
    if daemon.role == "core":
        lines += _listen("dixi", daemon.address, FRONT_PORT)
        lines += ["anonymous = true", f"services = {quoted(list(FRONT_SERVICES))}"]
    else:
        lines += ["", "[directory]", f"address = {quoted(daemon.directory)}"]
    for service in daemon.services:
        lines += ["", f"[services.{service}]"]
        if own := daemon.settings.get(service):
            lines.append(f"[services.{service}.settings]")
            lines += [f"{key} = {quoted(value)}" for key, value in own.items()]
    return "\n".join(lines) + "\n"


def client_toml(made_by: str, *, directory: str, front_door: str, gateway: str = "", ca: str = "ca.pem") -> str:
    """The configuration of a client; addresses are ``host:port``."""
    lines = [
        f"# Made by {made_by}.",
        f"ca = {quoted(ca)}",
        "",
        "[directory]",
        f"address = {quoted(directory)}",
        f"front_door = {quoted(front_door)}",
    ]
    if gateway:
        lines.append(f"gateway = {quoted(gateway)}")
    return "\n".join([*lines, ""])


def at(address: str, port: int) -> str:
    """``host:port``, with brackets round an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _listen(transport: str, address: str, port: int) -> list[str]:
    return ["", "[[listen]]", f'transport = "{transport}"', f"address = {quoted(at(address, port))}"]


def quoted(value: Setting) -> str:
    """A TOML value: for strings, numbers, truth values and lists of strings, JSON is TOML (but for DEL)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
