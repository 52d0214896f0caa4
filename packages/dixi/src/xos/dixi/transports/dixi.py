# SPDX-License-Identifier: BSD-3-Clause
"""The transport of our own parts: frames over mutual TLS 1.3."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from xos.common.log import get_logger
from xos.common.tls import Credential, client_context, explain_tls_error, server_context, use_credential
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.errors import NotConnected
from xos.dixi.transports import BACKLOG, Address, Endpoint, Link, Listener, Offer, bind, plain
from xos.dixi.transports.near import Door, approach
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
        self._door = Door(self._made)
        self._socket = bind(offer.address)
        self._bound = self._socket.getsockname()[:2]

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(
            self._gate.accepting(self._accept, self._context), sock=self._socket, backlog=BACKLOG
        )
        await self._door.serve()

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections."""
        use_credential(self._context, credential)

    def _accept(self) -> Connection:
        return self._made(None)

    def _made(self, after: Connection | None) -> Connection:
        return Connection(
            trust=self._offer.endpoint.trust,
            dispatcher=self._offer.endpoint.dispatcher,
            accepted=True,
            on_open=self._connections.add,
            on_close=self._connections.discard,
            on_approach=self._door.invite,
            after=after,
        )

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
        self._door.close()
        for connection in list(self._connections):
            connection.goodbye(node)

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
        self._door.close()
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
    ) -> Link | None:
        """See `Transport.nearer`."""
        return await approach(link, endpoint, on_goodbye, seconds) if isinstance(link, Connection) else None


TRANSPORT = DixiTransport()
