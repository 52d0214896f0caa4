# SPDX-License-Identifier: BSD-3-Clause
"""The transport of our own parts: frames over mutual TLS 1.3."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.tls import Credential, client_context, explain_tls_error, server_context, use_credential
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import NotConnected
from xos.dixi.sealing import Seal
from xos.dixi.transports import BACKLOG, Address, Endpoint, Link, Listener, Offer, Way, bind, near, plain, plaintcp
from xos.dixi.transports.tls import Gate, TlsLayer

log = get_logger("xos.dixi.transport")


class DixiListener:
    """Accepts connections at one address."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        endpoint = offer.endpoint
        if endpoint.credential is None:
            raise NotConnected(address=str(offer.address), detail="a listener needs a machine certificate")
        self._context = server_context(
            endpoint.credential, endpoint.trust, anonymous=offer.anonymous, alpn=[frames.ALPN]
        )
        self._gate = Gate(offer.most_connections, str(offer.address))
        self._near = near.NearDoor(self._nearer)
        self._socket = bind(offer.address)
        self._bound = self._socket.getsockname()[:2]
        self._plain = self._plain_door(offer)

    def _plain_door(self, offer: Offer) -> plaintcp.PlainDoor | None:
        if offer.plain is None:
            return None
        self._plainly = offer.endpoint.dispatcher.plain
        methods = tuple(method.name for method in self._plainly)
        try:
            return plaintcp.PlainDoor(self._nearer, offer.plain, offer.endpoint.trusted, methods)
        except XosError:
            self._socket.close()
            raise

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(
            self._gate.accepting(self._accept, self._context), sock=self._socket, backlog=BACKLOG
        )
        await self._near.serve()
        if self._plain is not None:
            await self._plain.serve()

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections."""
        use_credential(self._context, credential)

    def _accept(self) -> Connection:
        return self._made(self._offer.endpoint.dispatcher)

    def _nearer(self, after: Connection, seal: Seal | None) -> Connection:
        return self._made(self._offer.endpoint.dispatcher if seal is None else self._plainly, after, seal)

    def _made(self, dispatcher: Dispatcher, after: Connection | None = None, seal: Seal | None = None) -> Connection:
        return Connection(
            trust=self._offer.endpoint.trust,
            dispatcher=dispatcher,
            accepted=True,
            on_open=self._connections.add,
            on_close=self._connections.discard,
            on_approach=self._invite,
            after=after,
            seal=seal,
        )

    def _invite(self, connection: Connection, asked: frames.Approach) -> frames.Place:
        """A cheaper way than *connection*, one at a time."""
        place = None
        has_one = connection.near is not None and not connection.near.closed
        if not has_one and not connection.agreed:
            place = self._near.invite(connection, asked.seen)
            if place is None and asked.plain and self._plain is not None:
                place = self._plain.invite(connection)
        return place or frames.Place("", b"", -1)

    @property
    def address(self) -> Address:
        """As bound."""
        host, port = self._bound
        return Address(host, port)

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    def goodbye(self, node: str) -> None:
        """Take nothing new."""
        if self._server is not None:
            self._server.close()
        self._close_doors()
        for connection in list(self._connections):
            connection.goodbye(node)

    def _close_doors(self) -> None:
        self._near.close()
        if self._plain is not None:
            self._plain.close()

    def tend(self, now: float) -> None:
        """Drop peers that are gone or stuck."""
        for connection in list(self._connections):
            connection.tend(now)

    async def close(self) -> None:
        """Close every connection, giving each a moment to send what is written."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()
        self._close_doors()
        for connection in list(self._connections):
            connection.close()
        await self._gate.shut(1.0)


class DixiTransport:
    """See `xos.dixi.transports.Transport`."""

    async def listen(self, offer: Offer) -> Listener:
        """Bind."""
        return DixiListener(offer)

    async def connect(
        self,
        address: Address,
        endpoint: Endpoint,
        *,
        node: str | None,
        seconds: float,
        on_goodbye: Callable[[Link], None] | None = None,
    ) -> Connection:
        """Connect and shake hands."""
        context = client_context(endpoint.credential, endpoint.trust, alpn=[frames.ALPN])
        loop = asyncio.get_running_loop()

        connection = Connection(
            trust=endpoint.trust,
            dispatcher=endpoint.dispatcher,
            accepted=False,
            wanted=node,
            on_goodbye=on_goodbye,
        )
        try:
            async with asyncio.timeout(seconds):
                shaken: asyncio.Future[None] = loop.create_future()
                raw, _ = await loop.create_connection(
                    lambda: TlsLayer(connection, context, server=False, shaken=shaken), address.host, address.port
                )
                try:
                    await shaken
                except asyncio.CancelledError:
                    raw.abort()
                    raise
        except ssl.SSLError as error:
            raise explain_tls_error(error, endpoint.credential) from error
        except TimeoutError as error:
            raise NotConnected(address=str(address), detail=f"no answer for {seconds:.0f} s") from error
        except OSError as error:
            raise NotConnected(address=str(address), detail=plain(error)) from error
        if connection.refusal is not None:
            raise connection.refusal
        return connection

    async def nearer(
        self, link: Link, endpoint: Endpoint, *, seconds: float, on_goodbye: Callable[[Link], None] | None = None
    ) -> Way | None:
        """See `Transport.nearer`."""
        if not isinstance(link, Connection):
            return None
        here, trusts = link.here, endpoint.trusted
        if here is None and not trusts:
            return None
        async with asyncio.timeout(seconds):
            place = await link.approach(here or "", plain=bool(trusts))
            if place.name:
                found, methods = await near.meet(link, place, endpoint, on_goodbye), None
            elif place.address:
                found, methods = await plaintcp.meet(link, place, endpoint, on_goodbye), frozenset(place.methods)
            else:
                return None
        return None if found is None else Way(found, methods)


TRANSPORT = DixiTransport()
