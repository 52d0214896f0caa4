# SPDX-License-Identifier: BSD-3-Clause
"""Ways to carry calls: one module each, behind one interface.

`dixi` is frames over TLS (`xos.dixi.frames`), what our own parts speak. `https` is HTTP/1.1 with JSON bodies, what
`curl`, browsers and scripts speak. Both serve the same dispatcher, so a service is offered by every listener whose
configuration does not leave it out.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib
import socket
from collections.abc import Callable
from typing import Protocol, cast

from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import AddressTaken, BadService
from xos.dixi.trusted import Trusted

NAMES = ("dixi", "https")
BACKLOG = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """From ``host:port`` or ``[v6]:port``. Raises `ValueError`."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(slots=True)
class Endpoint:
    """What an end of a connection is known by, and whom it believes. A renewed credential is put in its place."""

    trust: Trust
    credential: Credential | None
    """None: an anonymous client, heard only at a front door."""
    dispatcher: Dispatcher = dataclasses.field(default_factory=Dispatcher)
    """What the other side may call."""
    trusted: Trusted = dataclasses.field(default_factory=Trusted)
    """Networks on which bytes of files may go unencrypted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What a listener serves, and how."""

    endpoint: Endpoint
    address: Address
    anonymous: bool = False
    """Callers without a certificate may connect (each method still says whom it hears)."""
    most_connections: int = 20_000
    metrics: Callable[[], bytes] | None = None
    """The page at ``/metrics``."""
    origins: frozenset[str] = frozenset()
    """Web sites whose pages may call (`https`)."""
    elsewhere: Callable[[str], str | None] | None = None
    """Base URL of another node that offers a service, if one is known (``https`` redirects there)."""
    plain: Address | None = None
    """Where to hear connections of trusted networks (`dixi`), see `xos.dixi.transports.plaintcp`."""


def bind(address: Address) -> socket.socket:
    """A socket that holds *address* but does not listen yet. Raises `AddressTaken`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.host, address.port))
        # SO_REUSEADDR lets two sockets bind until one of them listens, so the address is had only now.
        bound.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        raise AddressTaken(address=str(address), detail=plain(error)) from error
    return bound


def plain(error: Exception) -> str:
    """An operating system error in words, with its name."""
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, "") if number is not None else ""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{text} ({name})" if name else text


class Listener(Protocol):
    """A bound address."""

    @property
    def address(self) -> Address:
        """As bound: a port 0 has become the real one."""
        ...

    @property
    def connections(self) -> int:
        """Open now."""
        ...

    async def serve(self) -> None:
        """Begin to accept: until then the address is only held."""
        ...

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections."""
        ...

    def goodbye(self, node: str) -> None:
        """Take no new connections and no new calls; those under way go on."""
        ...

    def tend(self, now: float) -> None:
        """Called every few seconds of loop time: drop peers that are gone or stuck."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Link(Caller, Protocol):
    """One live connection to a peer, as `Transport.connect` makes it."""

    closed: bool

    def close(self) -> None:
        """Close it."""
        ...

    def tend(self, now: float) -> None:
        """As for listeners."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """A cheaper connection than another to the same peer."""

    link: Link
    methods: frozenset[str] | None
    """What may be called over it; None: everything, so that it takes the other's place."""


class Transport(Protocol):
    """One way to carry calls."""

    async def listen(self, offer: Offer) -> Listener:
        """Bind, not accepting yet. Raises `AddressTaken`."""
        ...

    async def connect(
        self,
        address: Address,
        endpoint: Endpoint,
        *,
        node: str | None,
        seconds: float,
        on_goodbye: Callable[[Link], None] | None = None,
    ) -> Link:
        """Connect within *seconds*; *node*: the name the machine there must prove.

        *on_goodbye* is told when the peer wants no more new calls. Raises `NotConnected`, `WrongPeer` or the
        certificate error (``cert.*``) for which either side refused the other.
        """
        ...

    async def nearer(
        self, link: Link, endpoint: Endpoint, *, seconds: float, on_goodbye: Callable[[Link], None] | None = None
    ) -> Way | None:
        """A cheaper connection to the peer of *link*, which stays open; None: there is none.

        Raises `ConnectionLost`, `TimeoutError`.
        """
        ...


def transport(name: str) -> Transport:
    """The transport *name*, loaded on first use. Raises `BadService` for an unknown name."""
    if name not in NAMES:
        raise BadService(service=f"transport {name}", detail=f"there are only {', '.join(NAMES)}")
    return cast("Transport", importlib.import_module(f"xos.dixi.transports.{name}").TRANSPORT)
