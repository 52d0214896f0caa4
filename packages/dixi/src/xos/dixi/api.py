# SPDX-License-Identifier: BSD-3-Clause
"""How a DIXI service is written: a class with typed, decorated methods; the framework does the rest.

A room's ``api.py`` declares the interface as a `typing.Protocol` class under `service`; its ``service.py``
implements it. A small service may be one class that is both. Parameters and results are plain types
(``bool int float str bytes None``, lists, dicts, tuples, optionals, enums) and msgspec structs declared
``array_like=True, frozen=True``, whose fields are only ever added at the end, with a default.

    @service
    class Greeter(Protocol):
        '''Greets people.'''

        @call
        async def greet(self, name: str) -> str:
            '''A greeting for *name*.'''
            ...

        @stream
        def count(self, upto: int) -> AsyncIterator[int]:
            '''Numbers from 1 to *upto*, one a second.'''
            ...

Every service also answers ``ping``, ``info``, ``stats`` and ``describe`` (the framework's own).
"""

from __future__ import annotations

import contextvars
import dataclasses
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, ParamSpec, Protocol, TypeVar, overload

from xos.common.identity import ANONYMOUS, Identity, Kind

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
EVERYBODY: frozenset[Kind] = frozenset({Kind.USER, Kind.MACHINE})


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """What a decorator says of a method."""

    streams: bool = False
    waits: bool = False
    idempotent: bool = False
    reads: bool = False
    allow: frozenset[Kind] = EVERYBODY
    plain: bool = False


@overload
def call(fn: Callable[P, Awaitable[R]], /) -> Callable[P, Awaitable[R]]: ...
@overload
def call(
    *,
    waits: bool = ...,
    idempotent: bool = ...,
    reads: bool = ...,
    allow: frozenset[Kind] | set[Kind] = ...,
    plain: bool = ...,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]: ...
def call(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    waits: bool = False,
    idempotent: bool = False,
    reads: bool = False,
    allow: frozenset[Kind] | set[Kind] = EVERYBODY,
    plain: bool = False,
) -> Any:
    """Mark an ``async def`` method as callable from elsewhere.

    *waits*: the call sleeps until something happens (``wait``), so it takes no place in the stage's
    concurrency limit (it has a bound of its own). *idempotent*: done twice is done once, so the client library
    repeats it by itself when the connection is lost. *reads*: changes nothing (so it is idempotent), and the HTTP
    gateway answers GET. *allow*: which kinds of caller are heard at all. *plain*: carries much, and where an
    administrator trusts the network, others there may read it (`xos.dixi.transports.plaintcp`); it must be idempotent,
    since what breaks off there is repeated over TLS, and cannot call the client back.
    """
    marks = Marks(waits=waits, idempotent=idempotent or reads, reads=reads, allow=frozenset(allow), plain=plain)
    return _mark(fn, marks) if fn is not None else lambda f: _mark(f, marks)


@overload
def stream(fn: Callable[P, AsyncIterator[R]], /) -> Callable[P, AsyncIterator[R]]: ...
@overload
def stream(
    *, allow: frozenset[Kind] | set[Kind] = ...
) -> Callable[[Callable[P, AsyncIterator[R]]], Callable[P, AsyncIterator[R]]]: ...
def stream(fn: Callable[..., Any] | None = None, /, *, allow: frozenset[Kind] | set[Kind] = EVERYBODY) -> Any:
    """Mark a method that returns an async iterator: each item is sent as it comes, no faster than it is read."""
    marks = Marks(streams=True, waits=True, idempotent=True, reads=True, allow=frozenset(allow))
    return _mark(fn, marks) if fn is not None else lambda f: _mark(f, marks)


def _mark(fn: Any, marks: Marks) -> Any:
    fn.__dixi__ = marks
    return fn


def service(cls: type[C]) -> type[C]:
    """Declare a class as a DIXI service interface; its name on the wire is the class's name."""
    cls.__dixi_service__ = cls.__name__  # type: ignore[attr-defined]
    return cls


class Later(enum.Enum):
    """What an `at_once` method says when it would have to wait."""

    LATER = enum.auto()


LATER: Final = Later.LATER


def at_once(
    twin: Callable[P, R | Later],
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Mark a service's method with a plain one, which is asked first: what needs no waiting is answered without a task.

    *twin* gets the same arguments, and returns or raises the same; or it returns `LATER`, having done nothing, and the
    method runs. Nothing else runs meanwhile, so it must be over in some microseconds.
    """

    def mark(fn: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        fn.__dixi_at_once__ = twin  # type: ignore[attr-defined]
        return fn

    return mark


class Caller(Protocol):
    """Anything a generated client can call through: the bus, one connection, a local stage, a test double."""

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """Call ``Service.method`` and return its result, decoded as the type *result*.

        *deadline* is in seconds from now; None means the caller's default. *retry*: the method is idempotent, so the
        call is repeated within the deadline when the connection is lost or the service drains. Raises the `XosError`
        that the service raised, `DeadlineExceeded`, `ConnectionLost`, `Overloaded`, `UnknownService`, `UnknownMethod`.
        """
        ...

    def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """Call a streaming method; items are decoded as the type *item*. Leaving the loop cancels the call."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class CallContext:
    """What a running method knows of its call."""

    caller: Identity
    """Verified by TLS; local calls carry the node's own identity."""
    service: str
    method: str
    deadline: float | None
    """Loop time (`asyncio.get_running_loop().time()`) by which the answer must be there."""
    peer: Caller | None
    """The caller's end of the connection: services that the client offers there can be called back."""
    request: str = ""
    """For the journal: names this call on this connection."""
    address: str = ""
    """The caller's network address without the port, for rate limits and the journal; empty for local calls."""


_current: contextvars.ContextVar[CallContext] = contextvars.ContextVar("dixi-call")
_OUTSIDE = CallContext(ANONYMOUS, "", "", None, None)


def current_call() -> CallContext:
    """The call that the running method serves; outside any call, an anonymous one."""
    return _current.get(_OUTSIDE)
