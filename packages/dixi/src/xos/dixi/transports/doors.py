# SPDX-License-Identifier: BSD-3-Clause
"""Ways into a listener without TLS, for whom TLS has proved to be somebody: they show a ticket that is good once."""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
from collections.abc import Callable
from typing import cast

from xos.common.log import get_logger
from xos.dixi.connection import Connection
from xos.dixi.sealing import Seal

log = get_logger("xos.dixi.doors")

TICKET_BYTES = 32
TICKET_SECONDS = 10.0
"""How long a ticket is good; and how long somebody who has shown none may stay."""
MOST_TICKETS, MOST_STRANGERS = 1024, 64
"""Tickets that are out; sockets that have not shown one."""
_SCRATCH = 128 * 1024


class BareLayer(asyncio.BufferedProtocol):
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
            if not self._door.enter(self, self._transport):
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


@dataclasses.dataclass(frozen=True, slots=True)
class Ticket:
    """What opens a door, once."""

    shown: bytes
    timer: asyncio.TimerHandle
    seal: Seal | None = None
    """Of the connection to be; None: nobody else can reach it."""


class Door:
    """A listener's second way in."""

    def __init__(self, make: Callable[[Connection, Seal | None], Connection]) -> None:
        """*make*: a connection whose peer is that of the one it is given."""
        self._make = make
        self._tickets: dict[Connection, Ticket] = {}
        self._strangers: set[BareLayer] = set()
        self.scratch = bytearray(_SCRATCH)
        """For all connections, since each takes what it was given at once."""
        self._server: asyncio.Server | None = None

    def close(self) -> None:
        """Accept nothing more."""
        for ticket in self._tickets.values():
            ticket.timer.cancel()
        self._tickets.clear()
        if self._server is not None:
            self._server.close()

    def issue(self, connection: Connection, shown: bytes, seal: Seal | None = None) -> bool:
        """Let in for *connection* who comes with *shown*; whether there is room for one more ticket.

        A later one takes the place of what the same connection has.
        """
        before = self._tickets.pop(connection, None)
        if before is not None:
            before.timer.cancel()
        if self._server is None or len(self._tickets) >= MOST_TICKETS:
            return False
        timer = asyncio.get_running_loop().call_later(TICKET_SECONDS, self._tickets.pop, connection, None)
        self._tickets[connection] = Ticket(shown, timer, seal)
        return True

    def enter(self, layer: BareLayer, transport: asyncio.Transport) -> bool:  # noqa: ARG002 -- see PlainDoor
        """Whether somebody may come in to show a ticket."""
        if len(self._strangers) >= MOST_STRANGERS:
            log.warning("door.full", strangers=len(self._strangers))
            return False
        self._strangers.add(layer)
        return True

    def leave(self, layer: BareLayer) -> None:
        """They are gone, or known."""
        self._strangers.discard(layer)

    def admit(self, layer: BareLayer, shown: bytes) -> Connection | None:
        """The connection that a ticket is for, once; None: it is for none, or that has ended."""
        self.leave(layer)
        connection = next((c for c, t in self._tickets.items() if hmac.compare_digest(t.shown, shown)), None)
        if connection is None:
            log.warning("door.no-ticket")
            return None
        ticket = self._tickets.pop(connection)
        ticket.timer.cancel()
        if connection.closed:
            return None
        connection.near = self._make(connection, ticket.seal)
        return connection.near
