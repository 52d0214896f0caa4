# SPDX-License-Identifier: BSD-3-Clause
"""Three replicas in simulated time: the real primary and followers, over a disk and a network that are made to fail."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from support.simdisk import SimDisk
from xos.common.errors import XosError
from xos.dixi.errors import ConnectionLost
from xos.xtreemfs.api import ShareState, Step
from xos.xtreemfs.errors import CorruptShare, NotPrimary, TooFewReplicas
from xos.xtreemfs.osd.checksums import BLOCK
from xos.xtreemfs.osd.following import Follower
from xos.xtreemfs.osd.leading import Lead
from xos.xtreemfs.osd.share import unchanged

T = TypeVar("T")
FILE = "demo-1"
CELL = struct.Struct("<Q")
CELLS = 6
APART = BLOCK // 2
"""Two cells to a block, so that blocks hold what several writers wrote."""
TAIL = (CELLS - 1) * APART + 100
"""What is behind all cells is cut and grown."""


class SimNode:
    """One OSD: its disk stays, its process comes and goes."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.disk = SimDisk(world.chance)
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.alive = True
        self.starts += 1
        self.disk.restart()
        self.follower = Follower(self.disk)
        self.lead: Lead | None = None
        self.tasks: dict[asyncio.Task[Any], None] = {}

    async def kill(self) -> None:
        self.alive = False
        while tasks := list(self.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self.lead is not None:  # the last, so that no task makes another
            await self.lead.close()

    def serve(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)
        return task

    async def leading(self, term: int) -> Lead:
        if self.lead is not None and self.lead.term < term:
            lead, self.lead = self.lead, None
            await lead.close()
        if self.lead is None:
            peers = {node.name: SimPeer(self, node, term) for node in self.world.nodes if node is not self}
            self.lead = Lead(FILE, term, self.disk, self.follower, peers, every=self.world.every)
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
        world = self._here.world
        again = world.chance.random() < 0.01  # the connection was lost, and the bus has asked once more
        return await world.call(self._here.name, self._there, work, copies=2 if again else 1)


class World:
    """Three nodes, what is between them, and an MRC that names a primary."""

    def __init__(self, seed: int, *, every: bool = False) -> None:
        self.chance, self.every = random.Random(seed), every
        self.cut: set[frozenset[str]] = set()
        self.term, self.primary, self.troubles, self.blackouts = 1, 0, 0, 0
        self.sent: dict[asyncio.Task[None], None] = {}
        self.nodes: list[SimNode] = []
        self.nodes = [SimNode(self, f"osd{number}") for number in (1, 2, 3)]

    async def call(
        self, source: str, node: SimNode, work: Callable[[SimNode], Coroutine[Any, Any, T]], copies: int = 1
    ) -> T:
        """A request and its answer: both take time, and what was sent arrives though the caller has given up."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        for _ in range(copies):
            task = asyncio.get_running_loop().create_task(self._deliver(source, node, work, answer))
            self.sent[task] = None
            task.add_done_callback(self.sent.pop)
        return await answer

    async def _deliver(
        self,
        source: str,
        node: SimNode,
        work: Callable[[SimNode], Coroutine[Any, Any, T]],
        answer: asyncio.Future[T],
    ) -> None:
        result: T | XosError
        starts = node.starts
        await self._travel(source, node)
        result = ConnectionLost(address=node.name, detail="killed")
        if node.alive and starts == node.starts:
            task = node.serve(work(node))
            await asyncio.wait([task])
            if not task.cancelled():
                error = task.exception()
                if error is not None and not isinstance(error, XosError):
                    raise error
                await self._travel(source, node)
                result = task.result() if error is None else error
        if answer.done():
            return
        if isinstance(result, XosError):
            answer.set_exception(result)
        elif self.chance.random() < 0.002:
            answer.set_exception(ConnectionLost(address=node.name, detail="before the answer"))
        else:
            answer.set_result(result)

    async def _travel(self, source: str, node: SimNode) -> None:
        late = self.chance.random()
        if late < 0.002:
            await asyncio.sleep(self.chance.uniform(1, 10))
        else:
            await asyncio.sleep(self.chance.uniform(0, 1) if late < 0.03 else self.chance.expovariate(500))
        while frozenset({source, node.name}) in self.cut:  # noqa: ASYNC110 -- as TCP tries again
            await asyncio.sleep(0.05)
        for end in (node, *(other for other in self.nodes if other.name == source)):
            await end.disk.running.wait()

    def fail_over(self, term: int) -> None:
        """A client could not reach the primary of *term*."""
        if term == self.term:
            self.term += 1
            self.primary = self.chance.randrange(3)

    async def trouble(self, seconds: float, rest: float) -> None:
        """Never more than one at a time, until the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        works = (self._kill, self._pause, self._part, self._hide, self._depose, self._slow, self._damage, self._dark)
        while loop.time() < until:
            await asyncio.sleep(self.chance.uniform(0.1, rest))
            self.troubles += 1
            (work,) = self.chance.choices(works, (4, 4, 4, 4, 4, 2, 2, 1))
            await work(self.chance.choice(self.nodes))

    async def _for(self, *seconds: float) -> None:
        await asyncio.sleep(self.chance.choice(seconds))

    async def _kill(self, node: SimNode) -> None:
        await node.kill()
        await self._for(0, 0.5, 3, 10)
        node.start()

    async def _pause(self, node: SimNode) -> None:
        node.disk.running.clear()
        await self._for(0.1, 1, 2.5, 6)
        node.disk.running.set()

    async def _part(self, node: SimNode) -> None:
        """From the other OSDs."""
        self.cut = {frozenset({node.name, other.name}) for other in self.nodes if other is not node}
        await self._for(0.5, 2, 4, 8)
        self.cut = set()

    async def _hide(self, node: SimNode) -> None:
        """From one client."""
        self.cut = {frozenset({"client", node.name})}
        await self._for(0.5, 3)
        self.cut = set()

    async def _depose(self, _: SimNode) -> None:
        self.fail_over(self.term)

    async def _slow(self, node: SimNode) -> None:
        node.disk.seconds = self.chance.choice((0.05, 0.3, 1))
        await self._for(1, 6)
        node.disk.seconds = 0.001

    async def _damage(self, node: SimNode) -> None:
        if not any(other.disk.damaged for other in self.nodes):
            node.disk.damaged.add(self.chance.randrange(len(node.disk.data) // BLOCK + 1))

    async def _dark(self, _: SimNode) -> None:
        """The power of all goes."""
        for node in self.nodes:
            await node.kill()
        self.blackouts += 1
        for node in self.nodes:
            node.disk.lose_power()
            node.start()


@dataclasses.dataclass
class Cell:
    """Eight bytes that one client writes ever greater numbers to, and what was seen of it."""

    place: int
    begun: int = 0
    acknowledged: int = 0
    seen: int = 0
    synced: int = 0
    blackouts: int = 0
    """That were, when this was known."""

    def least(self, blackouts: int) -> int:
        """What must be there."""
        if self.blackouts < blackouts:
            self.acknowledged = self.seen = self.synced
            self.blackouts = blackouts
        return max(self.acknowledged, self.seen)


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
            term = client.term  # as it is when the request is sent

            async def served(node: SimNode, term: int = term) -> T:
                return await work(await node.leading(term))

            try:
                async with asyncio.timeout(2.0):
                    return await world.call(client.name, world.nodes[client.primary], served)
            except (NotPrimary, TooFewReplicas, CorruptShare, ConnectionLost, TimeoutError):
                await asyncio.sleep(0.1)
                world.fail_over(client.term)
                client.term, client.primary = world.term, world.primary

    async def write(self, client: Client, cell: Cell) -> None:
        loop = asyncio.get_running_loop()
        cell.begun = number = cell.begun + 1
        began = loop.time()
        blackouts = -1
        while blackouts != self.world.blackouts:  # that it was acknowledged may have come after one
            blackouts = self.world.blackouts
            await self.on_primary(client, lambda lead: lead.write(cell.place, CELL.pack(number), unchanged))
        self.stall = max(self.stall, loop.time() - began)
        cell.least(blackouts)
        cell.acknowledged = number
        self.writes += 1
        if number % 10 == 0:
            await self.on_primary(client, lambda lead: lead.sync())
            if blackouts == self.world.blackouts:
                cell.synced = number

    async def read(self, client: Client, cell: Cell) -> None:
        least, synced, blackouts = cell.least(self.world.blackouts), cell.synced, self.world.blackouts
        content = await self.on_primary(client, lambda lead: lead.read(cell.place, CELL.size, unchanged))
        (number,) = CELL.unpack(content.ljust(CELL.size, b"\0"))
        if blackouts != self.world.blackouts:
            least = synced  # as it was before: an answer may be of a moment before the next sync
        if not least <= number <= cell.begun:
            raise Wrong(f"cell {cell.place}: read {number}; {least} was there, {cell.begun} is the last that was begun")
        if blackouts == self.world.blackouts:
            cell.seen = max(cell.seen, number)
        self.reads += 1

    async def reshape(self, client: Client, _: Cell) -> None:
        """Cut, grow and write behind the cells, and read what has become of it."""
        chance, blackouts = self.world.chance, self.world.blackouts
        there = bytearray()
        await self.on_primary(client, lambda lead: lead.truncate(TAIL, unchanged))
        for _turn in range(8):
            place = chance.randrange(2 * BLOCK)
            if chance.random() < 0.5:
                content = chance.randbytes(chance.choice((1, 100, BLOCK)))
                there.extend(bytes(max(0, place + len(content) - len(there))))
                there[place : place + len(content)] = content
                await self._write_tail(client, place, content)
            else:
                del there[place:]
                there.extend(bytes(place - len(there)))
                await self._cut_tail(client, place)
            found = await self.on_primary(client, lambda lead: lead.read(TAIL, 4 * BLOCK, unchanged))
            if blackouts != self.world.blackouts:
                return
            if found != there:
                raise Wrong(f"behind the cells: {len(found)} bytes are not the {len(there)} that were written")

    async def _write_tail(self, client: Client, place: int, content: bytes) -> None:
        await self.on_primary(client, lambda lead: lead.write(TAIL + place, content, unchanged))

    async def _cut_tail(self, client: Client, place: int) -> None:
        await self.on_primary(client, lambda lead: lead.truncate(TAIL + place, unchanged))

    async def go_on(
        self, work: Callable[[Client, Cell], Awaitable[None]], client: Client, cell: Cell, pause: float
    ) -> None:
        while True:
            await work(client, cell)
            await asyncio.sleep(self.world.chance.expovariate(1 / pause))


async def faults(seed: int, seconds: float, *, pause: float = 0.2, rest: float = 6.0, every: bool = False) -> Run:
    """Writers and readers for so long while nodes fail, at most *rest* seconds apart.

    *every*: all replicas must have a write. Raises `Wrong` if any saw what cannot be.
    """
    world = World(seed, every=every)
    run = Run(world)
    async with asyncio.TaskGroup() as group:
        works = [
            group.create_task(run.go_on(work, Client(name), cell, pause))
            for cell in run.cells
            for work, name in ((run.write, "client"), (run.read, "client"), (run.read, "other"))
        ]
        works.append(group.create_task(run.go_on(run.reshape, Client("client"), run.cells[-1], 5 * pause)))
        await world.trouble(seconds, rest)
        for work in works:
            work.cancel()
    async with asyncio.timeout(120):
        for cell in run.cells:
            await run.read(Client("client", world.term, world.primary), cell)
        await settled(world)
    for node in world.nodes:
        await node.kill()
    for message in list(world.sent):
        message.cancel()
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
