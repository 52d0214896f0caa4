# SPDX-License-Identifier: BSD-3-Clause
"""Between machines of a network that an administrator trusts: the bytes of files over TCP without encryption.

Only where both ends say so (`xos.dixi.trusted.Plain`), for methods marked ``plain``, and for whom a TLS connection
has proved to be somebody: over it the server gives a ticket that is good once, and a key. All else stays on that one.

Whoever is on the network can read what goes this way. They can change nothing, leave nothing out, repeat nothing and
be nobody else, since each frame has a tag made with the key (`xos.dixi.sealing`); they can break it off, as they can
TLS, and the calls go over TLS then.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import ConnectionLost
from xos.dixi.sealing import Seal, make_key
from xos.dixi.transports import BACKLOG, Address, Endpoint, Link, bind, plain
from xos.dixi.transports.doors import TICKET_BYTES, BareLayer, Door
from xos.dixi.trusted import Trusted

log = get_logger("xos.dixi.plain")

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 -- what it means to be bound to these, not to bind


class PlainDoor(Door):
    """The one for machines of a trusted network."""

    def __init__(
        self,
        make: Callable[[Connection, Seal | None], Connection],
        address: Address,
        trusted: Trusted,
        methods: tuple[str, ...],
    ) -> None:
        """Binds *address*. Raises `AddressTaken`."""
        super().__init__(make)
        self._trusted, self._methods = trusted, methods
        self._socket = bind(address)
        host, port = self._socket.getsockname()[:2]
        self._place = str(Address("" if host in ANYWHERE else host, port))

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: BareLayer(None, self), sock=self._socket, backlog=BACKLOG
        )

    def close(self) -> None:
        """Accept nothing more."""
        super().close()
        self._socket.close()

    def invite(self, connection: Connection) -> frames.Place | None:
        """A place for whom *connection* leads to; none for strangers, and where there is nothing to call."""
        if connection.peer.kind is Kind.ANONYMOUS or not self._methods:
            return None
        ticket, key = secrets.token_bytes(TICKET_BYTES), make_key()
        if not self.issue(connection, ticket, Seal(key, accepted=True)):
            return None
        return frames.Place("", ticket, -1, self._place, key, self._methods)

    def enter(self, layer: BareLayer, transport: asyncio.Transport) -> bool:
        """Only from the trusted networks, and to an address in them."""
        ends = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not all(end and self._trusted.holds(end[0]) for end in ends):
            log.warning("plain.not-trusted", ends=str(ends))
            return False
        return super().enter(layer, transport)


async def meet(
    link: Connection, place: frames.Place, endpoint: Endpoint, on_goodbye: Callable[[Link], None] | None
) -> Connection | None:
    """The client's side: a connection to *link*'s peer at *place*, which has proved to have the key.

    None: it cannot be reached, or lies outside of the trusted networks.
    """
    address = Address.parse(place.address)
    host = address.host or link.ends[1]
    try:
        seal = Seal(place.key, accepted=False)
        raw = await _reach(host, address.port, endpoint.trusted)
    except (OSError, ValueError) as error:
        log.info("plain.none", peer=link.address, at=place.address, detail=plain(error))
        return None
    connection = Connection(
        trust=endpoint.trust,
        dispatcher=Dispatcher(),
        accepted=False,
        on_goodbye=on_goodbye,
        after=link,
        seal=seal,
    )
    transport, layer = await asyncio.get_running_loop().create_connection(lambda: BareLayer(connection), sock=raw)
    layer.begin(place.ticket)
    try:
        await connection.approach("", plain=False)  # answered under the key: it is nobody else
    except ConnectionLost as error:
        log.warning("plain.refused", peer=link.address, at=place.address, detail=str(error))
        return None
    except BaseException:
        transport.abort()
        raise
    log.info("plain.used", peer=link.address, at=place.address)
    return connection


async def _reach(host: str, port: int, trusted: Trusted) -> socket.socket:
    """A socket both ends of which are in the *trusted* networks. Raises `OSError`."""
    if not trusted.holds(host):
        raise OSError(f"{host} is not in a trusted network")
    raw = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (host, port))
        ours = raw.getsockname()[0]
        if not trusted.holds(ours):
            raise OSError(f"we are {ours} there, which is not in a trusted network")
    except BaseException:
        raw.close()
        raise
    return raw
