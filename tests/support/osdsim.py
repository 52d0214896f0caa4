# SPDX-License-Identifier: BSD-3-Clause
"""Three replicas in simulated time: the real primary and followers, over a disk and a network that are made to fail."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from xos.common.errors import XosError
from xos.dixi.errors import ConnectionLost
from xos.xtreemfs.api import ShareState, Step
from xos.xtreemfs.errors import NotPrimary, TooFewReplicas
from xos.xtreemfs.osd.checksums import BLOCK, SUM, Mark, sum_of
from xos.xtreemfs.osd.following import Follower
from xos.xtreemfs.osd.leading import Lead
from xos.xtreemfs.osd.share import Admit, State, unchanged

T = TypeVar("T")
FILE = "demo-1"
CELL = struct.Struct("<Q")
CELLS = 6
APART = BLOCK // 2
"""Two cells to a block, so that blocks hold what several writers wrote."""


class SimDisk:
    """Satisfies `Disk`. What was written outlives the process."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.data, self.mark = bytearray(), Mark()
        self.kept: dict[int, bytes] = {}
        """What snapshots up to a number show."""
        self.lock = asyncio.Lock()

    async def state(self, file_id: str) -> State:  # noqa: ARG002 -- there is one
        return State(len(self.data), self.mark)

    async def read(self, file_id: str, offset: int, length: int, admit: Admit) -> bytes:  # noqa: ARG002 -- there is one
        async with self._alone():
            admit(self.mark)
            return bytes(self.data[offset : offset + length])

    async def write(self, file_id: str, offset: int, content: bytes, admit: Admit) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            mark = admit(self.mark)
            self.data.extend(bytes(max(0, offset + len(content) - len(self.data))))
            half = len(content) // 2
            self.data[offset : offset + half] = content[:half]
            if self._chance.random() < 0.05:
                await asyncio.sleep(self._chance.uniform(0, 0.1))  # whoever is killed now has written half
            self.data[offset + half : offset + len(content)] = content[half:]
            self.mark = mark
            return State(len(self.data), mark)

    async def truncate(self, file_id: str, size: int, admit: Admit) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            mark = admit(self.mark)
            del self.data[size:]
            self.data.extend(bytes(size - len(self.data)))
            self.mark = mark
            return State(size, mark)

    async def keep(self, file_id: str, admit: Admit, *, durable: bool) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            self.mark = admit(self.mark)
            return State(len(self.data), self.mark)

    async def sync(self, file_id: str) -> State:  # noqa: ARG002 -- there is one
        async with self._alone():
            return State(len(self.data), self.mark)

    async def sums(self, file_id: str, first: int, count: int) -> bytes:  # noqa: ARG002 -- there is one
        async with self._alone():
            blocks = (self.data[n * BLOCK : (n + 1) * BLOCK] for n in range(first, first + count))
            return b"".join(SUM.pack(sum_of(block) if block else 0) for block in blocks)

    async def freeze(self, file_id: str, number: int) -> None:  # noqa: ARG002 -- there is one
        if self.mark.snapshot < number:
            async with self._alone():
                self.kept[number] = bytes(self.data)
                self.mark = self.mark._replace(snapshot=max(number, self.mark.snapshot))

    def _alone(self) -> _Alone:
        return _Alone(self.lock, self._chance.expovariate(1000))


@dataclasses.dataclass
class _Alone:
    lock: asyncio.Lock
    seconds: float

    async def __aenter__(self) -> None:
        await self.lock.acquire()
        try:
            await asyncio.sleep(self.seconds)
        except BaseException:
            self.lock.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.lock.release()


class SimNode:
    """One OSD: its disk stays, its process comes and goes."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.disk = SimDisk(world.chance)
        self.running = asyncio.Event()
        self.running.set()
        self.alive = False
        self.start()

    def start(self) -> None:
        self.alive = True
        self.follower = Follower(self.disk)
        self.lead: Lead | None = None
        self.tasks: set[asyncio.Task[Any]] = set()

    async def kill(self) -> None:
        self.alive = False
        if self.lead is not None:
            await self.lead.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.disk.lock = asyncio.Lock()

    def serve(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def leading(self, term: int) -> Lead:
        if self.lead is not None and self.lead.term < term:
            await self.lead.close()
            self.lead = None
        if self.lead is None:
            peers = {node.name: SimPeer(self, node, term) for node in self.world.nodes if node is not self}
            self.lead = Lead(FILE, term, self.disk, self.follower, peers, every=False)
        if self.lead.term != term:
            raise NotPrimary(file_id=FILE, term=term)
        return self.lead


class SimPeer:
    """Satisfies `Peer`."""

    def __init__(self, here: SimNode, there: SimNode, term: int) -> None:
        self._here, self._there, self._term, self._join = here, there, term, 0

    async def follow(self) -> ShareState:
        state, self._join = await self._call(lambda node: node.follower.follow(FILE, self._term))
        mark = state.mark
        return ShareState(FILE, state.size, mark.epoch, mark.term, mark.version, snapshot=mark.snapshot)

    async def hold(self) -> None:
        await self._call(lambda node: node.follower.hold(FILE, self._term))

    async def replicate(self, step: Step) -> None:
        await self._call(lambda node: node.follower.replicate(FILE, self._term, step))

    async def harden(self, version: int) -> None:
        await self._call(lambda node: node.follower.harden(FILE, self._term, version))

    async def sums(self, first: int, count: int) -> bytes:
        return await self._call(lambda node: node.disk.sums(FILE, first, count))

    async def fetch(self, offset: int, length: int) -> bytes:
        return await self._call(lambda node: node.disk.read(FILE, offset, length, unchanged))

    async def patch(self, offset: int, content: bytes, snapshot: int) -> None:
        join = self._join
        await self._call(lambda node: node.follower.patch(FILE, self._term, join, offset, content, snapshot))

    async def adopt(self, size: int, epoch: int, version: int, snapshot: int) -> None:
        join = self._join
        await self._call(lambda node: node.follower.adopt(FILE, self._term, join, size, epoch, version, snapshot))

    async def _call(self, work: Callable[[SimNode], Coroutine[Any, Any, T]]) -> T:
        return await self._here.world.call(self._here.name, self._there, work)


class World:
    """Three nodes, what is between them, and an MRC that names a primary."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.cut: set[frozenset[str]] = set()
        self.term, self.primary, self.troubles = 1, 0, 0
        self.nodes: list[SimNode] = []
        self.nodes = [SimNode(self, f"osd{number}") for number in (1, 2, 3)]

    async def call(self, source: str, node: SimNode, work: Callable[[SimNode], Coroutine[Any, Any, T]]) -> T:
        """A request and its answer: either may be lost, and both take time."""
        await self._travel(source, node)
        if not node.alive:
            raise ConnectionLost(address=node.name, detail="killed")
        task = node.serve(work(node))
        try:
            answer = await task
        except asyncio.CancelledError:
            task.cancel()
            caller = asyncio.current_task()
            assert caller is not None
            if caller.cancelling():  # it is the caller that gives up
                raise
            raise ConnectionLost(address=node.name, detail="killed") from None
        except XosError:
            await self._travel(source, node)
            raise
        await self._travel(source, node)
        return answer

    async def _travel(self, source: str, node: SimNode) -> None:
        late = self.chance.random() < 0.03
        await asyncio.sleep(self.chance.uniform(0, 1) if late else self.chance.expovariate(500))
        while frozenset({source, node.name}) in self.cut:  # noqa: ASYNC110 -- as TCP tries again
            await asyncio.sleep(0.05)
        for end in (node, *(other for other in self.nodes if other.name == source)):
            await end.running.wait()

    def fail_over(self, term: int) -> None:
        """A client could not reach the primary of *term*."""
        if term == self.term:
            self.term += 1
            self.primary = self.chance.randrange(3)

    async def trouble(self, seconds: float, rest: float) -> None:
        """Kill, pause and part nodes, never more than one at a time, until the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.chance.uniform(0.1, rest))
            node = self.chance.choice(self.nodes)
            self.troubles += 1
            match self.chance.choice(("kill", "pause", "part", "client", "depose")):
                case "kill":
                    await node.kill()
                    await asyncio.sleep(self.chance.choice((0.0, 0.5, 3, 10)))
                    node.start()
                case "pause":
                    node.running.clear()
                    await asyncio.sleep(self.chance.choice((0.1, 1, 2.5, 6)))
                    node.running.set()
                case "part":
                    self.cut = {frozenset({node.name, other.name}) for other in self.nodes if other is not node}
                    await asyncio.sleep(self.chance.choice((0.5, 2, 4, 8)))
                    self.cut = set()
                case "client":
                    self.cut = {frozenset({"client", node.name})}
                    await asyncio.sleep(self.chance.choice((0.5, 3)))
                    self.cut = set()
                case _:
                    self.fail_over(self.term)


@dataclasses.dataclass
class Cell:
    """Eight bytes that one client writes ever greater numbers to, and what was seen of it."""

    place: int
    begun: int = 0
    acknowledged: int = 0
    seen: int = 0


@dataclasses.dataclass
class Client:
    """Who believes in a primary until it fails."""

    name: str
    term: int = 1
    primary: int = 0


class Wrong(AssertionError):
    """Raised when a client saw what cannot be."""


@dataclasses.dataclass
class Run:
    """Writers and readers of one file."""

    world: World
    cells: list[Cell] = dataclasses.field(default_factory=lambda: [Cell(n * APART) for n in range(CELLS)])
    writes: int = 0
    reads: int = 0
    stall: float = 0.0
    """The longest that a writer had to wait, seconds."""

    async def on_primary(self, client: Client, work: Callable[[Lead], Awaitable[T]]) -> T:
        """Try, as a client does, until it is done."""
        world = self.world
        if world.chance.random() < 0.02:  # it has opened the file again
            client.term, client.primary = world.term, world.primary
        while True:

            async def served(node: SimNode) -> T:
                return await work(await node.leading(client.term))

            try:
                async with asyncio.timeout(2.0):
                    return await world.call(client.name, world.nodes[client.primary], served)
            except (NotPrimary, TooFewReplicas, ConnectionLost, TimeoutError):
                await asyncio.sleep(0.1)
                world.fail_over(client.term)
                client.term, client.primary = world.term, world.primary

    async def write(self, client: Client, cell: Cell) -> None:
        loop = asyncio.get_running_loop()
        cell.begun = number = cell.begun + 1
        began = loop.time()
        await self.on_primary(client, lambda lead: lead.write(cell.place, CELL.pack(number), unchanged))
        self.stall = max(self.stall, loop.time() - began)
        cell.acknowledged = number
        self.writes += 1
        if number % 10 == 0:
            await self.on_primary(client, lambda lead: lead.sync())

    async def read(self, client: Client, cell: Cell) -> None:
        least = max(cell.acknowledged, cell.seen)
        content = await self.on_primary(client, lambda lead: lead.read(cell.place, CELL.size, unchanged))
        (number,) = CELL.unpack(content.ljust(CELL.size, b"\0"))
        if not least <= number <= cell.begun:
            raise Wrong(f"cell {cell.place}: read {number}; {least} was there, {cell.begun} is the last that was begun")
        cell.seen = max(cell.seen, number)
        self.reads += 1

    async def go_on(
        self, work: Callable[[Client, Cell], Awaitable[None]], client: Client, cell: Cell, pause: float
    ) -> None:
        while True:
            await work(client, cell)
            await asyncio.sleep(self.world.chance.expovariate(1 / pause))


async def faults(seed: int, seconds: float, *, pause: float = 0.2, rest: float = 6.0) -> Run:
    """Writers and readers for so long while nodes fail, at most *rest* seconds apart.

    Raises `Wrong` if any saw what cannot be.
    """
    world = World(seed)
    run = Run(world)
    async with asyncio.TaskGroup() as group:
        works = [
            group.create_task(run.go_on(work, Client(name), cell, pause))
            for cell in run.cells
            for work, name in ((run.write, "client"), (run.read, "client"), (run.read, "other"))
        ]
        await world.trouble(seconds, rest)
        for work in works:
            work.cancel()
    async with asyncio.timeout(60):
        for cell in run.cells:
            await run.read(Client("client", world.term, world.primary), cell)
        await settled(world)
    for node in world.nodes:
        await node.kill()
    return run


async def settled(world: World) -> None:
    """Wait until all replicas are the same."""
    while True:
        lead = world.nodes[world.primary].lead
        if lead is not None and lead.same == len(world.nodes):
            if len({bytes(node.disk.data) for node in world.nodes}) != 1:
                raise Wrong("replicas that have joined differ")
            return
        await asyncio.sleep(0.1)
