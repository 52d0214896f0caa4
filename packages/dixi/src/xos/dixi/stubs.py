# SPDX-License-Identifier: BSD-3-Clause
"""What generated XATI clients stand on: where calls go, and the four calls that every service answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from xos.dixi.api import Caller
from xos.dixi.builtin import Pong, ServiceInfo, ServiceStats
from xos.dixi.description import ServiceDescription


class HasCallers(Protocol):
    """Gives callers by service name: the bus of a daemon or of a client, or a test double."""

    def caller(self, service: str, node: str | None = None) -> Caller:
        """A caller for *service*, at *node* or wherever it runs."""
        ...


class BlockingCaller(Protocol):
    """`xos.dixi.api.Caller` for programs without an event loop; the same errors, the same meaning."""

    def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """Call ``Service.method`` and return its result, decoded as the type *result*."""
        ...

    def stream(self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None) -> Iterator[Any]:
        """Call a streaming method; closing the iterator cancels the call."""
        ...


class HasBlockingCallers(Protocol):
    """`HasCallers` for programs without an event loop."""

    def caller(self, service: str, node: str | None = None) -> BlockingCaller:
        """A caller for *service*, at *node* or wherever it runs."""
        ...


class AsyncStub:
    """Base of the generated asyncio clients.

    *deadline* of every call is in seconds from now; None means the bus's default. Besides the errors that a method's
    service raises, every call may raise `DeadlineExceeded`, `ConnectionLost`, `Overloaded`, `Draining`,
    `UnknownService`, `UnknownMethod`, `BadArguments` and `NotAllowed` of `xos.dixi.errors`.
    """

    service: ClassVar[str]

    def __init__(self, bus: HasCallers, node: str | None = None) -> None:
        """Calls go through *bus*; *node* names one instance of a service that many nodes offer."""
        self._caller = bus.caller(self.service, node)

    async def ping(self, *, deadline: float | None = None) -> Pong:
        """Whether the service is there, however busy it is."""
        result: Pong = await self._caller.call(f"{self.service}.ping", (), Pong, deadline=deadline, retry=True)
        return result

    async def info(self, *, deadline: float | None = None) -> ServiceInfo:
        """What answers under this name."""
        result: ServiceInfo = await self._caller.call(
            f"{self.service}.info", (), ServiceInfo, deadline=deadline, retry=True
        )
        return result

    async def stats(self, *, deadline: float | None = None) -> ServiceStats:
        """What the service is doing, and did since it started."""
        result: ServiceStats = await self._caller.call(
            f"{self.service}.stats", (), ServiceStats, deadline=deadline, retry=True
        )
        return result

    async def describe(self, *, deadline: float | None = None) -> ServiceDescription:
        """The interface that the service offers, which may be newer than this client."""
        result: ServiceDescription = await self._caller.call(
            f"{self.service}.describe", (), ServiceDescription, deadline=deadline, retry=True
        )
        return result


class BlockingStub:
    """Base of the generated blocking clients; errors and deadlines are those of `AsyncStub`."""

    service: ClassVar[str]

    def __init__(self, bus: HasBlockingCallers, node: str | None = None) -> None:
        """Calls go through *bus*; *node* names one instance of a service that many nodes offer."""
        self._caller = bus.caller(self.service, node)

    def ping(self, *, deadline: float | None = None) -> Pong:
        """Whether the service is there, however busy it is."""
        result: Pong = self._caller.call(f"{self.service}.ping", (), Pong, deadline=deadline, retry=True)
        return result

    def info(self, *, deadline: float | None = None) -> ServiceInfo:
        """What answers under this name."""
        result: ServiceInfo = self._caller.call(f"{self.service}.info", (), ServiceInfo, deadline=deadline, retry=True)
        return result

    def stats(self, *, deadline: float | None = None) -> ServiceStats:
        """What the service is doing, and did since it started."""
        result: ServiceStats = self._caller.call(
            f"{self.service}.stats", (), ServiceStats, deadline=deadline, retry=True
        )
        return result

    def describe(self, *, deadline: float | None = None) -> ServiceDescription:
        """The interface that the service offers, which may be newer than this client."""
        result: ServiceDescription = self._caller.call(
            f"{self.service}.describe", (), ServiceDescription, deadline=deadline, retry=True
        )
        return result
