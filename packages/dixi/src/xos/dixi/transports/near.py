# SPDX-License-Identifier: BSD-3-Clause
"""Between two programs of one machine: frames over a Unix socket, once TLS has shown who they are.

A client whose TLS connection leads to its own machine asks for a place to meet (`xos.dixi.frames.Approach`). The server
names a socket in the abstract name space, which other machines, and containers with a network of their own, cannot
reach, and gives a ticket that is good once. Whoever brings it is whom the TLS connection has proved them to be; so
nothing is believed that was not proved by certificates, and bulk data is neither encrypted nor copied for that.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Callable

from xos.common.log import get_logger
from xos.dixi import frames
from xos.dixi.connection import Connection
from xos.dixi.sealing import Seal
from xos.dixi.transports import Endpoint, Link
from xos.dixi.transports.doors import TICKET_BYTES, BareLayer, Door

log = get_logger("xos.dixi.near")

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class NearDoor(Door):
    """The one for programs of the same machine."""

    def __init__(self, make: Callable[[Connection, Seal | None], Connection]) -> None:
        super().__init__(make)
        self._name = f"xos-dixi-{secrets.token_hex(12)}"

    async def serve(self) -> None:
        """Begin to accept; where the system does not allow it, there is no place to meet."""
        sock = _socket()
        try:
            sock.bind(f"\0{self._name}")
        except OSError as error:
            sock.close()
            log.warning("near.no-socket", detail=str(error))
            return
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: BareLayer(None, self), sock=sock)

    def invite(self, connection: Connection, seen: str) -> frames.Place | None:
        """A place for whom *connection* leads to; none if something lies between: it has another address there."""
        ticket = secrets.token_bytes(TICKET_BYTES)
        if seen != connection.address or not self.issue(connection, ticket):
            return None
        return frames.Place(self._name, ticket, os.geteuid())


async def meet(
    link: Connection, place: frames.Place, endpoint: Endpoint, on_goodbye: Callable[[Link], None] | None
) -> Connection | None:
    """The client's side: a connection to *link*'s peer at *place*; None: it is not there."""
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
    transport, layer = await asyncio.get_running_loop().create_unix_connection(lambda: BareLayer(connection), sock=sock)
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
