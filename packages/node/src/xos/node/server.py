# SPDX-License-Identifier: BSD-3-Clause
"""The socket: datagrams in, answers out, and nobody keeps others from being heard."""

from __future__ import annotations

import asyncio
import collections
import socket
import struct

from xos.common.errors import InternalError, XosError
from xos.common.log import get_logger
from xos.node.message import MAX_MESSAGE, decode, encode, refusal
from xos.node.service import Peer, Service

log = get_logger("xos.node.server")

PATIENCE_SECONDS = 10.0
"""For a question on an open connection, and for its answer to be taken."""
MOST, MOST_OF_A_USER = 1024, 64
_CREDENTIALS = struct.Struct("3i")
_ACCEPT_PAUSE = 0.2


class Server:
    """Serves a listening SOCK_SEQPACKET socket."""

    def __init__(self, service: Service, listening: socket.socket) -> None:
        self._service, self._listening = service, listening
        listening.setblocking(False)
        self._open: collections.Counter[int] = collections.Counter()

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listening)
                    peer = peer_of(connection)
                except OSError as error:  # no descriptors left, or the peer is gone already
                    log.warning("accept.failed", detail=str(error))
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                most = MOST if peer.uid == 0 else MOST_OF_A_USER
                if self._open[peer.uid] >= most or self._open.total() >= 2 * MOST:
                    connection.close()
                    continue
                self._open[peer.uid] += 1
                tasks.create_task(self._serve(connection, peer))

    async def _serve(self, connection: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        try:
            while True:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    data = await loop.sock_recv(connection, MAX_MESSAGE + 1)
                if not data:
                    return
                answer = await self._answer(data, peer)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await loop.sock_sendall(connection, answer)
        except (TimeoutError, OSError):
            return  # gone, or slower than anybody who means it
        finally:
            connection.close()
            self._open[peer.uid] -= 1

    async def _answer(self, data: bytes, peer: Peer) -> bytes:
        op = "?"
        try:
            ask = decode(data)
            op = ask.get("op", "")[:40]
            return encode(await self._service.answer(ask, peer))
        except XosError as error:
            if op != "lookup":
                log.info("refused", op=op, code=error.code, detail=error.message, uid=peer.uid, pid=peer.pid)
            return refusal(error)
        except Exception:  # one question must not end the daemon that all logins need
            log.exception("question.failed", op=op, uid=peer.uid)
            return refusal(InternalError(incident=f"xos-amsd {op}"))


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end: SO_PEERCRED, unix(7)."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(uid, pid)
