# SPDX-License-Identifier: BSD-3-Clause
"""An MRC in this process, on a database of its own; the DIR and OSDs beside it are doubles that keep what they hear.

Calls go straight to the service: what a network does to them is tested with real daemons elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec

from support.dixi import Grid
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Credential
from xos.dixi import api as dixi
from xos.dixi.errors import NotConnected
from xos.dixi.hosting import Bus
from xos.xtreemfs.api import (
    CAPABILITY_PURPOSE,
    Ask,
    Capability,
    Claim,
    Extent,
    Inode,
    Opened,
    Policy,
    Presented,
    ServiceRecord,
    Session,
    ShareState,
    Volume,
)
from xos.xtreemfs.errors import UnknownFile
from xos.xtreemfs.mrc.service import MrcService, Settings

CORE = Identity(Kind.MACHINE, "core", roles=("core",))
NODE1 = Identity(Kind.MACHINE, "node1", roles=("resource",))
ALICE = Identity(Kind.USER, "alice", "demo", "users", ("staff",))
BOB = Identity(Kind.USER, "bob", "demo", "users")
ADMIN = Identity(Kind.USER, "admin", "demo", "users", roles=("VOAdmin",))
EVE = Identity(Kind.USER, "eve", "other", "users")


@contextlib.contextmanager
def acting(caller: Identity) -> Iterator[None]:
    """Inside, services are called by *caller*."""
    token = dixi._current.set(dixi.CallContext(caller, "", "", None, None))
    try:
        yield
    finally:
        dixi._current.reset(token)


class OsdDouble:
    """What an OSD was told, and what it says that it has."""

    def __init__(self) -> None:
        self.up = True
        self.deleted: list[str] = []
        self.revoked: list[tuple[str, int]] = []
        self.states: dict[str, ShareState] = {}
        self.presented: list[Signed] = []
        self.snapshots: list[tuple[str, int, list[int]]] = []
        self.number = 0
        """Of the latest snapshots that it knows from elsewhere."""


class Around:
    """The bus: the DIR lists the OSDs, and each is a double."""

    def __init__(self, *osds: str) -> None:
        self.osds = {name: OsdDouble() for name in osds}
        self.records = {name: ServiceRecord("OSD", name, 1 << 40, 1 << 39) for name in osds}
        self.registered: list[Any] = []
        self.published: list[Any] = []

    def caller(self, service: str, node: str | None = None) -> Any:
        return _Caller(self, service, node)

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        self.published.append((topic, event))

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        raise NotImplementedError(topic)

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        raise NotImplementedError(topic)

    def answer(self, method: str, node: str | None, args: tuple[Any, ...]) -> Any:
        if method.startswith("DIR."):
            return self._registry(method, args)
        osd = self.osds[node or ""]
        if not osd.up:
            raise NotConnected(address=node, detail="it is down")
        match method:
            case "OSD.delete":
                osd.deleted += args[0]
            case "OSD.snapshots":
                osd.snapshots.append(args)
                return max(args[1], osd.number)
            case "OSD.revoke":
                osd.revoked.append(args)
            case "OSD.present":
                osd.presented.append(args[0])
                self._lead(msgspec.msgpack.decode(args[0].payload, type=Capability))
                return Presented(b"t" * 16, Extent(0, 0))
            case "OSD.state":
                if args[0] not in osd.states:
                    raise UnknownFile(file_id=args[0])
                return osd.states[args[0]]
        return None

    def _registry(self, method: str, args: tuple[Any, ...]) -> Any:
        match method:
            case "DIR.pairs":
                return []
            case "DIR.services":
                return list(self.records.values())
            case "DIR.suspect":
                if args[1] in self.records:
                    self.records[args[1]] = msgspec.structs.replace(self.records[args[1]], suspect=True)
                return None
            case "DIR.register":
                self.registered.append(args)
                return time.time_ns()
        return None

    def _lead(self, capability: Capability) -> None:
        """What a primary of this term brings about at those that are up."""
        for replica in capability.layout.replicas:
            for name in replica.osds:
                if self.osds[name].up:
                    state = ShareState(capability.file_id, 0, capability.epoch, capability.layout.term, 0)
                    self.osds[name].states[capability.file_id] = state


class _Caller:
    def __init__(self, around: Around, service: str, node: str | None) -> None:
        self.around, self.service, self.node = around, service, node

    async def call(self, method: str, args: tuple[Any, ...], *_: Any, **__: Any) -> Any:
        await asyncio.sleep(0)
        return self.around.answer(method, self.node, args)


class Host:
    """`xos.dixi.hosting.Host`."""

    def __init__(self, grid: Grid, credential: Credential, data: Path, bus: Around) -> None:
        self.node, self.identity, self.credential, self.trust = "core", credential.identity, credential, grid.trust
        self.data = data
        self.bus: Bus = bus
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    async def renew(self, certificate: bytes) -> None:
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)


class Mrc:
    """One life of an MRC, and short names for what tests ask of it."""

    def __init__(self, grid: Grid, host: Host, service: MrcService) -> None:
        self.grid, self.host, self.service = grid, host, service
        self.number = 0

    @property
    def around(self) -> Around:
        bus = self.host.bus
        assert isinstance(bus, Around)
        return bus

    async def end(self) -> None:
        tasks = list(self.host.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.service.stop()
        assert not self.host.failures, self.host.failures

    async def volume(self, name: str = "home", *, policy: Policy | None = None, quota: int = 0) -> Volume:
        with acting(ADMIN):
            return await self.service.make_volume(name, 0o1777, policy or Policy(), quota, Ask())

    async def session(self, volume: str = "home", *, by: Identity = NODE1) -> Session:
        with acting(by):
            return await self.service.begin(volume, "a test")

    def ask(self, session: Session, user: str = "alice@demo", *, number: int | None = None) -> Ask:
        """As node1 asks for a user, by the next number."""
        self.number += 1
        claim = Claim(user, ("users@demo",), "users@demo")
        return Ask(session.id, self.number if number is None else number, claim)

    def capability(self, opened: Opened) -> Capability:
        """What an OSD would read, verified as it does."""
        return self.read(opened.capability)

    def read(self, signed: Signed) -> Capability:
        signer = verify_signed(signed, self.grid.trust, purpose=CAPABILITY_PURPOSE, at=time.time(), kind=Kind.MACHINE)
        assert signer.name == "core"
        return msgspec.msgpack.decode(signed.payload, type=Capability)

    async def look(self, inode: Inode | int) -> Inode:
        return await self.service.getattr(inode if isinstance(inode, int) else inode.id)


@contextlib.asynccontextmanager
async def serving(
    grid: Grid, data: Path, *, around: Around | None = None, database: str = "", **settings: Any
) -> AsyncIterator[Mrc]:
    """An MRC with three OSDs around it; again with the same *data* or *database*: its next life."""
    around = around or Around("node1", "node2", "node3")
    host = Host(grid, grid.make_machine("core", role="core"), data, around)
    service = MrcService(host, Settings(database=database, **settings))
    await service.start()
    await service.osds.look()
    mrc = Mrc(grid, host, service)
    try:
        yield mrc
    finally:
        await mrc.end()
