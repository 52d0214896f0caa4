# SPDX-License-Identifier: BSD-3-Clause
"""A CA, a machine, a user, and a service that listens on a loopback port: what tests of DIXI stand on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

import msgspec

from xos.common.authority import Authority
from xos.common.certificate import make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust
from xos.dixi.api import call, current_call, service, stream
from xos.dixi.channel import Channel
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import DixiError
from xos.dixi.metrics import exposition
from xos.dixi.stage import Stage
from xos.dixi.standard import Standard
from xos.dixi.transports import Address, Endpoint, Listener, Offer, transport
from xos.dixi.trusted import Trusted

NOBODY = Trusted()


class Point(msgspec.Struct, array_like=True, frozen=True):
    """Two numbers; the second came later."""

    x: int
    y: int = 0


class Refused(DixiError):
    """Raised by the service under test."""

    code = "test.refused"
    template = "no {what} today"
    hint = "Come back tomorrow."
    http_status = 409


@service
class Probe:
    """Answers, waits, fails and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.opened = asyncio.Event()

    @call(reads=True, plain=True)
    async def echo(self, data: bytes) -> bytes:
        """The same bytes."""
        self.calls += 1
        return data

    @call(reads=True)
    async def move(self, point: Point, by: int = 1) -> Point:
        """A point further."""
        return Point(point.x + by, point.y + by)

    @call
    async def whoami(self) -> str:
        """The caller."""
        return str(current_call().caller)

    @call
    async def fail(self, what: str) -> None:
        """Raises `Refused`."""
        raise Refused(what=what)

    @call
    async def crash(self) -> int:
        """Has a bug."""
        return 1 // 0

    @call
    async def hold(self) -> str:
        """Answers once the gate is open."""
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "opened"

    @call(waits=True)
    async def wait(self) -> str:
        """As `hold`, without a place in the stage."""
        return await self.hold()

    @call(allow={Kind.MACHINE})
    async def machines_only(self) -> str:
        """For machines."""
        return "hello, machine"

    @call(allow={Kind.USER, Kind.MACHINE, Kind.ANONYMOUS})
    async def anybody(self) -> str:
        """For everybody."""
        return "hello"

    @stream
    async def count(self, upto: int) -> AsyncIterator[int]:
        """Numbers from 0."""
        try:
            for number in range(upto):
                self.calls += 1
                yield number
        finally:
            self.cancelled += 1

    @call
    async def call_back(self, text: str) -> str:
        """Asks the caller's own service."""
        peer = current_call().peer
        assert peer is not None
        answer: str = await peer.call("Ear.hear", (text,), str, deadline=5.0)
        return answer


@dataclasses.dataclass
class Grid:
    """What the tests stand on."""

    ca: Authority
    trust: Trust
    machine: Credential
    user: Credential

    def make_user(self, name: str = "alice", *, seconds: float = 3600, ca: Authority | None = None) -> Credential:
        key = make_key()
        identity = Identity(Kind.USER, name, "demo", "users")
        return Credential((ca or self.ca).issue_user(make_csr(key, name), identity, seconds), key)

    def make_machine(self, name: str, *, role: str = "resource") -> Credential:
        key = make_key()
        der = self.ca.issue_machine(make_csr(key, name), name, (role,), ["127.0.0.1"], 3600)
        return Credential(der, key)


def make_grid() -> Grid:
    """A fresh CA with a core machine and a user."""
    ca = Authority.create("Test CA", 1)
    trust = Trust.from_pem(ca.certificate_pem())
    grid = Grid(ca, trust, None, None)  # type: ignore[arg-type]
    grid.machine, grid.user = grid.make_machine("node1", role="core"), grid.make_user()
    return grid


@dataclasses.dataclass
class Server:
    """A listener and the service behind it."""

    probe: Probe
    stage: Stage
    listener: Listener
    kind: str

    @property
    def address(self) -> Address:
        return self.listener.address


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@contextlib.asynccontextmanager
async def serving(
    grid: Grid,
    kind: str = "dixi",
    *,
    port: int = 0,
    limit: int = 8,
    queue: int = 8,
    anonymous: bool = False,
    waiting: int = 100,
    origins: frozenset[str] = frozenset(),
    trusted: Trusted = NOBODY,
) -> AsyncIterator[Server]:
    """*trusted*: the listener hears plain TCP in these networks too."""
    probe, stage, dispatcher = Probe(), Stage("Probe", limit=limit, queue=queue, waiting=waiting), Dispatcher()
    standard = Stage("standard")
    dispatcher.add(Standard(probe, stage, "node1"), standard, name="Probe")
    dispatcher.add(probe, stage)
    endpoint = Endpoint(grid.trust, grid.machine, dispatcher, trusted)
    offer = Offer(
        endpoint,
        Address("127.0.0.1", port),
        anonymous=anonymous,
        origins=origins,
        plain=Address("127.0.0.1", 0) if trusted else None,
        metrics=lambda: exposition([stage], {"dixi_connections": 1.0}),
    )
    listener = await transport(kind).listen(offer)
    await listener.serve()
    try:
        yield Server(probe, stage, listener, kind)
    finally:
        probe.opened.set()
        listener.goodbye("node1")
        await stage.drain(1.0)
        await listener.close()


@contextlib.asynccontextmanager
async def dial(
    server: Server,
    grid: Grid,
    credential: Credential | None = None,
    *,
    node: str = "node1",
    dispatcher: Dispatcher | None = None,
    trusted: Trusted = NOBODY,
) -> AsyncIterator[Channel]:
    endpoint = Endpoint(grid.trust, credential or grid.user, dispatcher or Dispatcher(), trusted)
    channel = Channel(server.address, endpoint, node=node, kind=server.kind)
    try:
        yield channel
    finally:
        channel.close()
        await asyncio.sleep(0.05)  # the transports' own clean-up runs in the next turns of the loop


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for what other tasks bring about and nobody announces; fails after *seconds*."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- the condition is a plain function of state, there is no event
            await asyncio.sleep(0.005)
