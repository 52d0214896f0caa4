# SPDX-License-Identifier: BSD-3-Clause
"""The transport of our own parts: frames over mutual TLS 1.3."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable

from xos.common.log import get_logger
from xos.common.tls import Credential, client_context, explain_tls_error, server_context, use_credential
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.errors import NotConnected
from xos.dixi.transports import BACKLOG, HANDSHAKE_SECONDS, Address, Endpoint, Link, Listener, Offer, bind, plain

log = get_logger("xos.dixi.transport")


class DixiListener:
    """Accepts connections at one address."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None
        endpoint = offer.endpoint
        if endpoint.credential is None:
            raise NotConnected(address=str(offer.address), detail="a listener needs a machine certificate")
        self._context = server_context(
            endpoint.credential, endpoint.trust, anonymous=offer.anonymous, alpn=[frames.ALPN]
        )
        self._socket = bind(offer.address)
        self._bound = self._socket.getsockname()[:2]

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            sock=self._socket,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=1.0,
            backlog=BACKLOG,
        )

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections."""
        use_credential(self._context, credential)

    def _accept(self) -> Connection:
        return Connection(
            trust=self._offer.endpoint.trust,
            dispatcher=self._offer.endpoint.dispatcher,
            accepted=True,
            on_open=self._opened,
            on_close=self._closed,
        )

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _opened(self, connection: Connection) -> None:
        if len(self._connections) >= self._offer.most_connections:
            log.warning("listener.full", address=str(self.address), connections=len(self._connections))
            connection.abort(NotConnected(address=str(self.address), detail="too many connections"))
            return
        self._connections.add(connection)
        self._empty.clear()

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
        for connection in list(self._connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._empty.wait()
        for connection in list(self._connections):
            connection.abort(NotConnected(address=connection.address, detail="the daemon has stopped"))


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

        def make() -> Connection:
            return Connection(
                trust=endpoint.trust,
                dispatcher=endpoint.dispatcher,
                accepted=False,
                wanted=node,
                on_goodbye=on_goodbye,
            )

        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    make, address.host, address.port, ssl=context, server_hostname="", ssl_shutdown_timeout=1.0
                )
        except ssl.SSLError as error:
            raise explain_tls_error(error, endpoint.credential) from error
        except TimeoutError as error:
            raise NotConnected(address=str(address), detail=f"no answer for {seconds:.0f} s") from error
        except OSError as error:
            raise NotConnected(address=str(address), detail=plain(error)) from error
        if connection.refusal is not None:
            raise connection.refusal
        return connection


TRANSPORT = DixiTransport()
