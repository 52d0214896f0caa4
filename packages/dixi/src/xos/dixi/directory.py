# SPDX-License-Identifier: BSD-3-Clause
"""The Directory: which nodes are up, where they are, and what services they offer.

Every daemon registers and keeps its registration alive; the core's daemon holds the table. It is kept in memory only:
after a restart the nodes register anew within a few seconds, or at once, since the end of their `watch` tells them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from xos.common.errors import XosError
from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.dixi.api import call, current_call, service, stream
from xos.dixi.errors import DixiError
from xos.dixi.hosting import Hosted

log = get_logger("xos.dixi.directory")

LEASE_SECONDS = 15.0
"""A node that has not renewed its registration for so long is taken to be down."""


OF_A_VOS_MACHINE = frozenset({"ExecutionManager", "OSD", "RCAClient", "ResourceManager"})
"""What a machine of certain VOs may offer to others."""


class NodeRecord(msgspec.Struct, array_like=True, frozen=True):
    """A node that is up. Positional: new fields only at the end."""

    node: str
    address: str
    """``host:port`` of its `dixi` listener."""
    services: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """From its machine certificate."""
    https: str = ""
    """``host:port`` of its gateway; empty if it has none."""
    started: float = 0.0
    """Unix seconds: another value is another life of the daemon."""
    vos: tuple[str, ...] = ()
    """The VOs that it belongs to, from its machine certificate; none: all."""


class NodeChange(msgspec.Struct, array_like=True, frozen=True):
    """A node came up, changed, or went down."""

    node: NodeRecord
    up: bool


class NotYourName(DixiError):
    """Raised when a machine registers under a name that is not in its certificate."""

    code = "dixi.not-your-name"
    template = "{caller} cannot register as {node}"
    http_status = 403


@service
class Directory(Protocol):
    """Which nodes are up, where they are, and what services they offer."""

    @call(idempotent=True, allow={Kind.MACHINE})
    async def register(self, record: NodeRecord) -> float:
        """Register, or stay registered; answers for how many seconds that holds."""
        ...

    @call(idempotent=True, allow={Kind.MACHINE})
    async def unregister(self, node: str) -> None:
        """This node is going down."""
        ...

    @call(reads=True)
    async def nodes(self) -> list[NodeRecord]:
        """The nodes that are up."""
        ...

    @call(reads=True)
    async def find(self, service: str, node: str = "") -> list[NodeRecord]:
        """The nodes that offer *service*; with *node*, only that one."""
        ...

    @stream(allow={Kind.MACHINE})
    def watch(self) -> AsyncIterator[NodeChange]:
        """Every node that is up, then each change as it happens."""
        ...


class DirectoryService(Hosted[msgspec.Struct], Directory):
    """The table, in memory."""

    async def start(self) -> None:
        """Begin to look for nodes whose lease has run out."""
        self._records: dict[str, NodeRecord] = {}
        self._until: dict[str, float] = {}
        self._watchers: set[asyncio.Queue[NodeChange]] = set()
        self.host.spawn(self._expire(), name="directory-leases")

    async def register(self, record: NodeRecord) -> float:
        """See `Directory.register`."""
        caller = current_call().caller
        if caller.name != record.node:
            raise NotYourName(caller=str(caller), node=record.node)
        services = record.services
        if caller.vos:
            # Let in by one VO, it must not pass for a service of the whole grid.
            services = tuple(service for service in services if service in OF_A_VOS_MACHINE)
        record = msgspec.structs.replace(record, services=services, roles=caller.roles, vos=caller.vos)
        self._until[record.node] = time.monotonic() + LEASE_SECONDS
        if self._records.get(record.node) != record:
            self._records[record.node] = record
            log.info("node.up", peer_node=record.node, address=record.address, services=",".join(record.services))
            self._tell(NodeChange(record, up=True))
        return LEASE_SECONDS

    async def unregister(self, node: str) -> None:
        """See `Directory.unregister`."""
        caller = current_call().caller
        if caller.name != node:
            raise NotYourName(caller=str(caller), node=node)
        self._drop(node)

    async def nodes(self) -> list[NodeRecord]:
        """See `Directory.nodes`."""
        return sorted(self._records.values(), key=lambda record: record.node)

    async def find(self, service: str, node: str = "") -> list[NodeRecord]:
        """See `Directory.find`."""
        if node:
            record = self._records.get(node)
            return [record] if record is not None and service in record.services else []
        return [record for record in self._records.values() if service in record.services]

    async def watch(self) -> AsyncIterator[NodeChange]:
        """See `Directory.watch`."""
        changes: asyncio.Queue[NodeChange] = asyncio.Queue(100_000)
        for record in self._records.values():
            changes.put_nowait(NodeChange(record, up=True))
        self._watchers.add(changes)
        try:
            while True:
                yield await changes.get()
        finally:
            self._watchers.discard(changes)

    def _drop(self, node: str) -> None:
        record = self._records.pop(node, None)
        self._until.pop(node, None)
        if record is not None:
            log.info("node.down", peer_node=node)
            self._tell(NodeChange(record, up=False))

    def _tell(self, change: NodeChange) -> None:
        for watcher in list(self._watchers):
            if watcher.full():
                self._watchers.discard(watcher)
            else:
                watcher.put_nowait(change)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for node in [node for node, until in self._until.items() if until < now]:
                log.warning("node.lost", peer_node=node, silent_for=f"{LEASE_SECONDS:.0f}s")
                self._drop(node)


class Registration:
    """Keeps one daemon registered, and knows where every service is by watching the Directory."""

    def __init__(self, directory: DirectoryCaller, record: NodeRecord) -> None:
        self._directory = directory
        self._record = record
        self._known: dict[str, NodeRecord] = {}
        self._synced = asyncio.Event()

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """See `xos.dixi.bus.Finder.find`; asks the Directory only for what the watch has not told."""
        found = self._look(service, node)
        if found is None:
            answer = await self._directory.find(service, node or "", deadline=5.0)
            found = answer[0] if answer else None
            if found is not None:
                self._known.setdefault(found.node, found)
        return found

    def known(self, service: str) -> NodeRecord | None:
        """A node that offers *service*, as far as the watch has told."""
        return self._look(service, None)

    def _look(self, service: str, node: str | None) -> NodeRecord | None:
        if node is not None:
            record = self._known.get(node)
            return record if record is not None and service in record.services else None
        return next((record for record in self._known.values() if service in record.services), None)

    def forget(self, record: NodeRecord) -> None:
        """See `xos.dixi.bus.Finder.forget`."""
        if self._known.get(record.node) == record:
            del self._known[record.node]

    async def keep(self) -> None:
        """Stay registered until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew())
            tasks.create_task(self._watch())

    async def _renew(self) -> None:
        while True:
            try:
                lease = await self._directory.register(self._record, deadline=5.0)
            except XosError as error:
                log.warning("directory.unreachable", code=error.code, detail=error.message)
                lease = 3.0
            await asyncio.sleep(lease / 3)

    async def _watch(self) -> None:
        pause = 0.05
        while True:
            try:
                async for change in self._directory.watch():
                    pause = 0.05
                    if change.up:
                        self._known[change.node.node] = change.node
                    else:
                        self._known.pop(change.node.node, None)
            except XosError as error:
                log.info("directory.watch-ended", code=error.code, detail=error.message)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
            await self.enter()  # the Directory's daemon was away, so it has forgotten us

    async def enter(self) -> None:
        """Register now; when the Directory cannot be reached, `keep` goes on trying."""
        try:
            await self._directory.register(self._record, deadline=2.0)
        except XosError as error:
            log.info("directory.unreachable", code=error.code, detail=error.message)

    async def leave(self) -> None:
        """Say that this node goes down; a Directory that cannot be reached will notice by itself."""
        try:
            await self._directory.unregister(self._record.node, deadline=1.0)
        except XosError as error:
            log.info("directory.unreachable", code=error.code, detail=error.message)


class DirectoryCaller(Protocol):
    """What `Registration` needs of the generated ``DirectoryAsync``."""

    async def register(self, record: NodeRecord, *, deadline: float | None = None) -> float:
        """See `Directory.register`."""
        ...

    async def unregister(self, node: str, *, deadline: float | None = None) -> None:
        """See `Directory.unregister`."""
        ...

    async def find(self, service: str, node: str = "", *, deadline: float | None = None) -> list[NodeRecord]:
        """See `Directory.find`."""
        ...

    def watch(self, *, deadline: float | None = None) -> AsyncIterator[NodeChange]:
        """See `Directory.watch`."""
        ...
