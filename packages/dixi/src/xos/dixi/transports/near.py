# SPDX-License-Identifier: BSD-3-Clause
"""Between two programs of one machine: frames over a Unix socket, once TLS has shown who they are.

A client whose TLS connection leads to its own machine asks for a place to meet (`xos.dixi.frames.Approach`). The server
names a socket in the abstract name space, which other machines, and containers with a network of their own, cannot
reach, and gives a ticket that is good once. Whoever brings it is whom the TLS connection has proved them to be; so
nothing is believed that was not proved by certificates, and bulk data is neither encrypted nor copied for that.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
import struct
from collections.abc import Callable
from typing import cast

from xos.common.log import get_logger
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.transports import Endpoint, Link

log = get_logger("xos.dixi.near")

TICKET_BYTES = 32
TICKET_SECONDS = 10.0
"""How long a ticket is good; and how long somebody who has shown none may stay."""
MOST_TICKETS, MOST_STRANGERS = 1024, 64
"""Tickets that are out; sockets that have not shown one."""
_SCRATCH = 128 * 1024
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class NearLayer(asyncio.BufferedProtocol):
    """Faces the socket; the `Connection` gets bytes where it wants them."""

    def __init__(self, connection: Connection | None, door: Door | None = None) -> None:
        """*door*: who turns a ticket into a connection, on the server's side."""
        self._app, self._door = connection, door
        self._scratch = bytearray(TICKET_BYTES if door else _SCRATCH)
        self._have = 0
        self._rooms = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.Transport", transport)
        if self._door is not None:
            if not self._door.enter(self):
                self._transport.abort()
                return
            self._timer = asyncio.get_running_loop().call_later(TICKET_SECONDS, self._transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- how much there is nobody knows
        """Where the next bytes go: to the rest of a large frame at once."""
        room = self._app.room() if self._app is not None else None
        self._rooms = room is not None
        return room if room is not None else memoryview(self._scratch)[self._have :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many are there."""
        if self._app is None:
            self._shown(nbytes)
        elif self._rooms:
            self._app.filled(nbytes)
        else:
            self._app.data_received(bytes(memoryview(self._scratch)[:nbytes]))

    def _shown(self, nbytes: int) -> None:
        """More of a ticket."""
        self._have += nbytes
        if self._have < TICKET_BYTES or self._door is None or self._transport is None:
            return
        connection = self._door.admit(self, bytes(self._scratch))
        self._stop_timer()
        if connection is None:
            self._transport.abort()
            return
        self._app, self._scratch, self._have = connection, self._door.scratch, 0
        connection.connection_made(self._transport)

    def begin(self, ticket: bytes) -> None:
        """The client's side: show the ticket, and go on with frames."""
        if self._transport is not None and self._app is not None:
            self._transport.write(ticket)
            self._app.connection_made(self._transport)

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """It has room again."""
        if self._app is not None:
            self._app.resume_writing()

    def eof_received(self) -> bool:
        """The other side has closed: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._stop_timer()
        if self._door is not None:
            self._door.leave(self)
        if self._app is not None:
            self._app.connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Door:
    """A listener's second way in."""

    def __init__(self, make: Callable[[Connection], Connection]) -> None:
        """*make*: a connection whose peer is that of the one it is given."""
        self._make = make
        self._name = f"xos-dixi-{secrets.token_hex(12)}"
        self._tickets: dict[bytes, tuple[Connection, asyncio.TimerHandle]] = {}
        self._strangers: set[NearLayer] = set()
        self.scratch = bytearray(_SCRATCH)
        """For all connections, since each takes what it was given at once."""
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Begin to accept; where the system does not allow it, there is no place to meet."""
        sock = _socket()
        try:
            sock.bind(f"\0{self._name}")
        except OSError as error:
            sock.close()
            log.warning("near.no-socket", detail=str(error))
            return
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: NearLayer(None, self), sock=sock)

    def close(self) -> None:
        """Accept nothing more."""
        for _, timer in self._tickets.values():
            timer.cancel()
        self._tickets.clear()
        if self._server is not None:
            self._server.close()

    def invite(self, connection: Connection, seen: str) -> frames.Place:
        """A place for whom *connection* leads to; none if something lies between: it has another address there."""
        has_one = connection.near is not None and not connection.near.closed
        if self._server is None or has_one or seen != connection.address or len(self._tickets) >= MOST_TICKETS:
            return frames.Place("", b"", -1)
        ticket = secrets.token_bytes(TICKET_BYTES)
        timer = asyncio.get_running_loop().call_later(TICKET_SECONDS, self._tickets.pop, ticket, None)
        self._tickets[ticket] = connection, timer
        return frames.Place(self._name, ticket, os.geteuid())

    def enter(self, layer: NearLayer) -> bool:
        """Whether somebody may come in to show a ticket."""
        if len(self._strangers) >= MOST_STRANGERS:
            log.warning("near.full", strangers=len(self._strangers))
            return False
        self._strangers.add(layer)
        return True

    def leave(self, layer: NearLayer) -> None:
        """They are gone, or known."""
        self._strangers.discard(layer)

    def admit(self, layer: NearLayer, shown: bytes) -> Connection | None:
        """The connection that a ticket is for, once; None: it is for none, or that has ended."""
        self.leave(layer)
        ticket = next((each for each in self._tickets if hmac.compare_digest(each, shown)), None)
        if ticket is None:
            log.warning("near.no-ticket")
            return None
        connection, timer = self._tickets.pop(ticket)
        timer.cancel()
        if connection.closed:
            return None
        connection.near = self._make(connection)
        return connection.near


async def approach(
    link: Connection, endpoint: Endpoint, on_goodbye: Callable[[Link], None] | None, seconds: float
) -> Connection | None:
    """A connection to *link*'s peer without TLS; None: it is elsewhere, or does not want to."""
    seen = link.here
    if seen is None:
        return None
    async with asyncio.timeout(seconds):
        place = await link.approach(seen)
    if not place.name:
        return None
    connection = Connection(
        trust=endpoint.trust, dispatcher=endpoint.dispatcher, accepted=False, on_goodbye=on_goodbye, after=link
    )
    sock = _socket()
    try:
        sock.connect(f"\0{place.name}")  # at once, or not at all
    except OSError as error:
        sock.close()
        log.info("near.none", peer=link.address, detail=str(error))
        return None
    transport, layer = await asyncio.get_running_loop().create_unix_connection(lambda: NearLayer(connection), sock=sock)
    if _owner(transport) != place.uid:  # somebody has taken the place of a server that ended
        log.warning("near.not-its-owner", peer=link.address)
        transport.abort()
        return None
    layer.begin(place.ticket)
    return connection


def _socket() -> socket.socket:
    """One that uvloop takes; it knows no abstract names itself."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _owner(transport: asyncio.BaseTransport) -> int:
    """Who made the socket at the other end: their uid."""
    sock = transport.get_extra_info("socket")
    return int(_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1])
