# SPDX-License-Identifier: BSD-3-Clause
"""What a local grid consists of: names, addresses, files and the text of its configurations. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec

from xos.setup import roles
from xos.setup.errors import SetupError
from xos.setup.roles import DIXI_PORT, FRONT_PORT, HTTPS_PORT, WEB_DIXI_PORT, WEB_PORT, Daemon, Setting, Settings, at

MOST_NODES = 100
MADE_BY = "`xos-setup local up`, which writes it anew each time"

FIRST_UID = 700_000
UIDS_OF_NODE = 500
"""Accounts of VO users, when the daemons are root: each node of the machine has a range of its own."""


class BadPlan(SetupError):
    """Raised when the size or the addresses asked for make no sense."""

    code = "setup.bad-plan"
    template = "{what} {value}: {detail}"
    exit_status = 2


class Guest(msgspec.Struct, frozen=True):
    """A service that is hosted besides those that make the grid."""

    service: str
    node: str


class GridPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a local grid; kept as ``grid.json`` in its root."""

    network: str = "127.20.0"
    """First three numbers of its loopback addresses."""
    nodes: int = 2
    """Resource nodes; the core comes on top."""
    slots: int = 4
    """Job units that each resource node runs at once."""
    guests: tuple[Guest, ...] = ()
    web: bool = False
    """With VOLife, in a daemon of its own at the core's address."""


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon of the grid."""

    name: str
    role: str
    """``core``, ``resource`` or ``web``."""
    address: str
    home: Path
    """Its directory, below the grid's root."""
    index: int = 0
    """0: the core."""
    guests: tuple[str, ...] = ()
    """Services that it hosts besides those of its role."""

    @property
    def services(self) -> tuple[str, ...]:
        """What it hosts."""
        return roles.services_of(self.role) + self.guests

    @property
    def config(self) -> Path:
        """The configuration of its dixid."""
        return self.home / "dixid.toml"

    @property
    def log(self) -> Path:
        """What its dixid writes."""
        return self.home / "dixid.log"

    @property
    def record(self) -> Path:
        """The process that is its dixid."""
        return self.home / "process.json"

    @property
    def data(self) -> Path:
        """What its services keep, a directory each."""
        return self.home / "data"

    @property
    def trust(self) -> Path:
        """Certificate and revocations of the VO CA."""
        return self.home / "trust"

    @property
    def certificate(self) -> Path:
        """Its machine certificate, PEM."""
        return self.home / "machine.pem"

    @property
    def key(self) -> Path:
        """The key of that, PEM, not encrypted: mode 0600."""
        return self.home / "machine.key"

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it listens at its address."""
        if self.role == "web":
            return (WEB_DIXI_PORT, WEB_PORT)
        return (DIXI_PORT, HTTPS_PORT, FRONT_PORT) if self.role == "core" else (DIXI_PORT, HTTPS_PORT)

    @property
    def page(self) -> str:
        """Where browsers find VOLife; empty unless it is here."""
        return f"https://{at(self.address, WEB_PORT)}" if self.role == "web" else ""


def check(plan: GridPlan) -> GridPlan:
    """The plan itself if it makes sense. Raises `BadPlan`."""
    if not 1 <= plan.nodes <= MOST_NODES:
        raise BadPlan(what="--nodes", value=plan.nodes, detail=f"between 1 and {MOST_NODES}")
    if not 1 <= plan.slots <= 1000:
        raise BadPlan(what="--slots", value=plan.slots, detail="between 1 and 1000")
    try:
        loopback = ipaddress.IPv4Address(f"{plan.network}.1").is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BadPlan(what="--network", value=plan.network, detail="three numbers of a loopback network, as 127.20.0")
    return plan


def layout(plan: GridPlan, root: Path) -> tuple[NodePlan, ...]:
    """The daemons of the grid, the core first."""
    names = ("core", *(f"node{i}" for i in range(1, plan.nodes + 1)))
    web = NodePlan(name="volife", role="web", address=f"{plan.network}.1", home=root / "volife")
    nodes = tuple(
        NodePlan(
            name=name,
            role="resource" if i else "core",
            address=f"{plan.network}.{i + 1}",
            home=root / name,
            index=i,
            guests=tuple(guest.service for guest in plan.guests if guest.node == name),
        )
        for i, name in enumerate(names)
    )
    return (*nodes, web) if plan.web else nodes


NODE_NICE = 10
"""Here the nodes share one machine with the core and its users, who would wait while jobs run: nodes stand back."""


def settings_of(node: NodePlan, plan: GridPlan, work: Path | None) -> dict[str, Settings]:
    """The settings of a node's services. *work*: where job units work; None leaves that to the node."""
    if node.role == "web":
        return {"VOLife": {"address": at(node.address, WEB_PORT)}}
    if node.role == "core":
        return {"MRC": {"superusers": [node.name]}}
    first = FIRST_UID + node.index * UIDS_OF_NODE
    execution: dict[str, Setting] = {"first_uid": first, "last_uid": first + UIDS_OF_NODE - 1}
    execution["nice"] = NODE_NICE
    if work is not None:
        execution["work"] = str(work)
    return {"ResourceManager": {"slots": plan.slots}, "ExecutionManager": execution}


def daemon_toml(node: NodePlan, core: NodePlan, settings: Mapping[str, Settings], origins: tuple[str, ...] = ()) -> str:
    """The configuration of a node's dixid; *settings* by service name, *origins* for the core's gateway."""
    return roles.daemon_toml(
        Daemon(
            made_by=MADE_BY,
            node=node.name,
            role=node.role,
            address=node.address,
            origins=origins if node.role == "core" else (),
            directory="" if node.role == "core" else at(core.address, DIXI_PORT),
            data=node.data.name,
            certificate=node.certificate.name,
            key=node.key.name,
            trust=node.trust.name,
            services=node.services,
            settings=settings,
        )
    )


def client_toml(core: NodePlan) -> str:
    """The configuration of a client of the grid, for its ``XOS_HOME``."""
    return roles.client_toml(
        MADE_BY,
        directory=at(core.address, DIXI_PORT),
        front_door=at(core.address, FRONT_PORT),
        gateway=at(core.address, HTTPS_PORT),
    )
