# SPDX-License-Identifier: BSD-3-Clause
"""A DIR and two MRCs in this process, each the real service on a real database; between them a network that can be cut.

What real daemons do when they are killed is tested with `support.pairgrid`; a partition is made here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from support.dixi import Grid
from support.mrc import Host, acting
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected, UnknownService
from xos.dixi.hosting import Hosted
from xos.xtreemfs.api import Ask, Claim, Pair, Policy, Session
from xos.xtreemfs.dir.service import DirService
from xos.xtreemfs.dir.service import Settings as DirSettings
from xos.xtreemfs.errors import NotServing, Refused
from xos.xtreemfs.mrc.service import MrcService, Settings
from xos.xtreemfs.xati import DIRAsync, MRCAsync

CLAIM = Claim("alice@demo", ("users@demo",), "users@demo")
ADMIN = Claim("root@core", ("root@core",), "root@core")
LOOK = 0.02


class Net:
    """The nodes ``core`` (DIR), ``a`` and ``b`` (MRCs), and ``client``."""

    def __init__(self, grid: Grid, place: Path) -> None:
        self.grid, self.place = grid, place
        self.up: dict[tuple[str, str], Hosted[Any]] = {}
        self.hosts: dict[str, Host] = {}
        self.cut: set[frozenset[str]] = set()
        self.failures: list[BaseException] = []

    def reaches(self, one: str, other: str) -> bool:
        return one == other or frozenset({one, other}) not in self.cut

    def part(self, *ways: str) -> None:
        """Cut the ways given as ``a-b``."""
        self.cut |= {frozenset(way.split("-")) for way in ways}

    def mend(self) -> None:
        self.cut.clear()

    async def start(self, node: str) -> None:
        """A life of a node's service, on what its last life left."""
        data = self.place / node
        data.mkdir(exist_ok=True)
        host = Host(self.grid, self.grid.make_machine(node, role="core"), data, Bus(self, node))  # type: ignore[arg-type]
        host.node = node
        service: Hosted[Any] = (
            DirService(host, DirSettings()) if node == "core" else MrcService(host, Settings(superusers=("core",)))
        )
        self.hosts[node] = host
        self.up["DIR" if node == "core" else "MRC", node] = service
        await service.start()

    async def end(self, node: str) -> None:
        """As `kill -9` for all others: nothing more is said."""
        service = self.up.pop(("DIR" if node == "core" else "MRC", node))
        host = self.hosts.pop(node)
        tasks = list(host.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.stop()
        self.failures += host.failures

    # --- what tests ask

    @property
    def dir(self) -> DIRAsync:
        return DIRAsync(Bus(self, "core"))

    def mrc(self, node: str) -> MRCAsync:
        return MRCAsync(Bus(self, "client"), node)

    async def pair(self) -> Pair:
        (pair,) = await self.dir.pairs()
        return pair

    async def until(self, what: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until *what* (a coroutine function) is true."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            with contextlib.suppress(NotServing, NotConnected, ConnectionLost, DeadlineExceeded):
                if found := await what():
                    return found
            await asyncio.sleep(LOOK)
        raise AssertionError(f"it did not come about within {seconds} s")

    async def in_step(self, primary: str) -> Pair:
        async def look() -> Pair | None:
            pair = await self.pair()
            return pair if pair.synced and pair.primary == primary else None

        found: Pair = await self.until(look)
        return found

    async def serves(self, node: str) -> None:
        async def look() -> bool:
            return (await self.mrc(node).standing(deadline=5.0)).serves

        await self.until(look)

    async def begin(self) -> None:
        """Everything up, a volume, and a backup in step."""
        for node in ("core", "a", "b"):
            await self.start(node)
        bus = Bus(self, "core")
        await MRCAsync(bus, "a").make_volume("home", 0o1777, Policy(), 0, Ask(claim=ADMIN))

        async def registered() -> bool:
            return len(await self.dir.services("MRC")) == 2

        await self.until(registered)
        await self.dir.set_backup("a", "b")
        await self.in_step("a")


class Writer:
    """A client with one session, which makes names by numbered calls; it knows which were acknowledged."""

    def __init__(self, net: Net) -> None:
        self.net, self.number, self.acknowledged = net, 0, set[bytes]()
        self.session: Session

    async def begin(self, node: str) -> None:
        self.session = await self.net.mrc(node).begin("home", "a test", deadline=20.0)

    async def make(self, node: str, seconds: float = 20.0, *, number: int = 0) -> bytes:
        """Make the next name (or that of *number* once more) at the MRC of *node*."""
        self.number += not number
        number = number or self.number
        name = b"f%d" % number
        ask = Ask(self.session.id, number, CLAIM)
        mrc = self.net.mrc(node)
        await mrc.create(self.session.root.id, name, 0o100644, 0, None, ask, deadline=seconds)
        self.acknowledged.add(name)
        return name

    async def names(self, node: str, seconds: float = 20.0) -> list[bytes]:
        """All there are."""
        found: list[bytes] = []
        after = 0
        while rows := await self.net.mrc(node).readdir(self.session.root.id, after, 1000, CLAIM, deadline=seconds):
            found += [row.name for row in rows]
            after = rows[-1].cookie
        return found

    async def missing(self, node: str) -> list[bytes]:
        """What was acknowledged and is not there, or is there twice: what must be empty."""
        found = await self.names(node)
        return sorted(self.acknowledged - set(found)) + [name for name in set(found) if found.count(name) > 1]


class Bus:
    """As one node sees the others."""

    def __init__(self, net: Net, node: str) -> None:
        self.net, self.node = net, node

    def caller(self, service: str, node: str | None = None) -> Any:
        return _Caller(self.net, self.node, service, node or "core")

    def publish(self, topic: str, event: Any) -> None:
        """Nobody listens."""

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        raise NotImplementedError(topic)

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        raise NotImplementedError(topic)


class _Caller:
    def __init__(self, net: Net, source: str, service: str, node: str) -> None:
        self.net, self.source, self.service, self.node = net, source, service, node
        self.identity = Identity(Kind.MACHINE, source, roles=("core",))

    def _target(self) -> Any:
        if not self.net.reaches(self.source, self.node):
            raise NotConnected(address=self.node, detail="the network is cut")
        found = self.net.up.get((self.service, self.node))
        if found is None:
            raise UnknownService(service=self.service, where=f" at {self.node}")
        return found

    async def call(
        self, method: str, args: tuple[Any, ...], _result: Any, *, deadline: float | None = None, **_: Any
    ) -> Any:
        await asyncio.sleep(0)
        target = self._target()
        with acting(self.identity):
            work = asyncio.ensure_future(getattr(target, method.partition(".")[2])(*args))
        await self._either(work, target, deadline)
        return await work

    async def stream(self, method: str, args: tuple[Any, ...], _item: Any, **_: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        target = self._target()
        items = getattr(target, method.partition(".")[2])(*args)
        try:
            while True:
                with acting(self.identity):
                    work = asyncio.ensure_future(anext(items))
                await self._either(work, target, None)
                try:
                    value = await work
                except StopAsyncIteration:
                    return
                yield value
        finally:
            with contextlib.suppress(
                RuntimeError
            ):  # it was cancelled while it was being cancelled, and runs to its end
                await items.aclose()

    async def _either(self, work: asyncio.Future[Any], target: Any, deadline: float | None) -> None:
        """Until it is done, or its answer can come no more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (3600.0 if deadline is None else deadline)
        try:
            while not work.done():
                await asyncio.wait([work], timeout=LOOK)
                if self.net.up.get((self.service, self.node)) is not target or not self.net.reaches(
                    self.source, self.node
                ):
                    raise ConnectionLost(address=self.node, detail="the network is cut")
                if loop.time() > until and not work.done():
                    raise DeadlineExceeded(method=self.service, seconds=deadline)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)


async def refused(work: Any) -> int:
    """The errno with which it is refused."""
    try:
        await work
    except Refused as error:
        number = error.data["errno"]
        assert isinstance(number, int)
        return number
    return 0


async def unanswered(work: Any) -> bool:
    """Whether nobody acknowledges it."""
    try:
        await work
    except Refused:
        raise
    except XosError:
        return True
    return False


@contextlib.asynccontextmanager
async def pair_net(grid: Grid, place: Path) -> AsyncIterator[Net]:
    """All of it, in step."""
    net = Net(grid, place)
    try:
        await net.begin()
        yield net
    finally:
        net.mend()
        for _, node in list(net.up):
            await net.end(node)
    assert net.failures == []
