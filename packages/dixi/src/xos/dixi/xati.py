# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.dixi.directory; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.dixi.directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from xos.dixi.directory import NodeChange, NodeRecord
from xos.dixi.stubs import AsyncStub, BlockingStub


class DirectoryAsync(AsyncStub):
    """Which nodes are up, where they are, and what services they offer."""

    service = "Directory"

    async def register(self, record: NodeRecord, *, deadline: float | None = None) -> float:
        """Register, or stay registered; answers for how many seconds that holds."""
        result: float = await self._caller.call("Directory.register", (record,), float, deadline=deadline, retry=True)
        return result

    async def unregister(self, node: str, *, deadline: float | None = None) -> None:
        """This node is going down."""
        await self._caller.call("Directory.unregister", (node,), None, deadline=deadline, retry=True)

    async def nodes(self, *, deadline: float | None = None) -> list[NodeRecord]:
        """The nodes that are up."""
        result: list[NodeRecord] = await self._caller.call(
            "Directory.nodes", (), list[NodeRecord], deadline=deadline, retry=True
        )
        return result

    async def find(self, service: str, node: str = "", *, deadline: float | None = None) -> list[NodeRecord]:
        """The nodes that offer *service*; with *node*, only that one."""
        result: list[NodeRecord] = await self._caller.call(
            "Directory.find", (service, node), list[NodeRecord], deadline=deadline, retry=True
        )
        return result

    def watch(self, *, deadline: float | None = None) -> AsyncIterator[NodeChange]:
        """Every node that is up, then each change as it happens."""
        return self._caller.stream("Directory.watch", (), NodeChange, deadline=deadline)


class DirectoryXati(BlockingStub):
    """Which nodes are up, where they are, and what services they offer."""

    service = "Directory"

    def register(self, record: NodeRecord, *, deadline: float | None = None) -> float:
        """Register, or stay registered; answers for how many seconds that holds."""
        result: float = self._caller.call("Directory.register", (record,), float, deadline=deadline, retry=True)
        return result

    def unregister(self, node: str, *, deadline: float | None = None) -> None:
        """This node is going down."""
        self._caller.call("Directory.unregister", (node,), None, deadline=deadline, retry=True)

    def nodes(self, *, deadline: float | None = None) -> list[NodeRecord]:
        """The nodes that are up."""
        result: list[NodeRecord] = self._caller.call(
            "Directory.nodes", (), list[NodeRecord], deadline=deadline, retry=True
        )
        return result

    def find(self, service: str, node: str = "", *, deadline: float | None = None) -> list[NodeRecord]:
        """The nodes that offer *service*; with *node*, only that one."""
        result: list[NodeRecord] = self._caller.call(
            "Directory.find", (service, node), list[NodeRecord], deadline=deadline, retry=True
        )
        return result

    def watch(self, *, deadline: float | None = None) -> Iterator[NodeChange]:
        """Every node that is up, then each change as it happens."""
        return self._caller.stream("Directory.watch", (), NodeChange, deadline=deadline)
