# SPDX-License-Identifier: BSD-3-Clause
"""What the grid consists of: names, addresses, packages and the files that make a container one of its nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

NETWORK = "10.77.0"
"""First three numbers of the addresses; the name space has the network to itself."""
BRIDGE = "xos0"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A container."""

    name: str
    role: str
    """``core`` or ``resource``."""
    address: str

    @property
    def packages(self) -> tuple[str, ...]:
        """What dnf installs."""
        return (f"xos-{self.role}", "xos-setup")

    @property
    def target(self) -> str:
        """The systemd target that its services belong to."""
        return f"xos-{self.role}.target"


def layout(resources: int = 2) -> tuple[Node, ...]:
    """The core and *resources* nodes."""
    core = Node(name="core", role="core", address=f"{NETWORK}.2")
    rest = (Node(name=f"node{n}", role="resource", address=f"{NETWORK}.{n + 2}") for n in range(1, resources + 1))
    return (core, *rest)


def files(node: Node, nodes: Sequence[Node]) -> dict[str, str]:
    """Files of the container, by name, besides what packages bring."""
    hosts = [f"{other.address} {other.name}" for other in nodes]
    return {
        "/etc/hostname": f"{node.name}\n",
        "/etc/hosts": "\n".join(["127.0.0.1 localhost", *hosts, ""]),
        "/etc/systemd/network/10-grid.network": (
            f"[Match]\nName=host0\n\n[Network]\nAddress={node.address}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        ),
        "/etc/dnf/vars/releasever": "13\n",
    }
