# SPDX-License-Identifier: BSD-3-Clause
"""The resource nodes as a Job Manager knows them: what they have, how much is in use, whether they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from xos.aem.api import Resource
from xos.aem.jobs.placement import NodeView


class Node:
    """One resource node. It gets work only while `closed` is empty."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.resource: Resource | None = None
        self.up = False
        """As the Directory says."""
        self.life = 0.0
        """When its daemon started (Unix seconds): another value is another life, whose units must be asked for."""
        self.closed = "has not been heard of yet"
        self.held = 0
        """Slots held for units that are being placed."""
        self.shared = False
        """Others use its slots too: it has been full when we thought it was not."""
        self.task: asyncio.Task[None] | None = None
        """Is asking it how its units stand; there is one at most."""
        self.again = False
        """Something happened while it was being asked: ask once more."""
        self.lost: asyncio.TimerHandle | None = None
        """Runs out when it has been silent for too long; None while it answers."""


class Pool:
    """The nodes by name, and the frozen views of them that placement reads."""

    def __init__(self, used: Callable[[str], int]) -> None:
        """*used* says how many units that have not ended a node has."""
        self._used = used
        self._nodes: dict[str, Node] = {}
        self._views: dict[str, NodeView] = {}
        self.version = 0
        """Another one whenever a view has changed."""

    def get(self, name: str) -> Node:
        """The node of that name, from now on known."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node(name)
        return node

    def views(self) -> Mapping[str, NodeView]:
        """Every node that has said what it is."""
        return self._views

    def refresh(self, name: str) -> None:
        """Something about the node has changed: make its view anew."""
        node = self._nodes.get(name)
        if node is not None and node.resource is not None:
            self._views[name] = NodeView(node.resource, self._used(name) + node.held, node.closed)
            self.version += 1

    def hold(self, names: tuple[str, ...], count: int) -> None:
        """Count *count* slots more (or fewer) as held on each node."""
        for name in names:
            self.get(name).held += count
            self.refresh(name)

    def close(self, name: str, why: str) -> None:
        """Give the node no more work; *why* reads on from its name."""
        self.get(name).closed = why
        self.refresh(name)

    def open(self, name: str, resource: Resource) -> None:
        """The node answers and is as *resource* says: give it work."""
        node = self.get(name)
        node.resource = resource
        node.closed = ""
        self.refresh(name)
