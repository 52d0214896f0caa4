# SPDX-License-Identifier: BSD-3-Clause
"""The agent's socket: takes requests, runs commands on the clients' terminals, passes signals on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from xos.common.log import get_logger
from xos.dixi.agent import protocol
from xos.dixi.agent.client import peer_uid
from xos.dixi.agent.keeper import Keeper, RunTies
from xos.dixi.agent.protocol import Refusal, Request
from xos.dixi.agent.registry import Loaded, Registry
from xos.dixi.commands import INTERRUPTED, AgentKeys, Session, home_of, invoke
from xos.dixi.session import width_of
from xos.dixi.terminal import Input, SharedOutput

log = get_logger("xos.agent")

MOST_CLIENTS = 512
MOST_RUNNING = 256
"""Commands at once; `xwait` costs little, so there may be many."""
REQUEST_SECONDS = 5.0
"""A client that has not sent its request by then is dropped."""
CLOSE_SECONDS = 5.0


class Server:
    """Serves one listening socket. Close it with `close`; running commands are then cancelled."""

    def __init__(self, listener: socket.socket, keeper: Keeper, registry: Registry, keys: AgentKeys) -> None:
        """*keys* is what commands get as `Session.agent`."""
        self._listener, self._keeper, self._registry, self._keys = listener, keeper, registry, keys
        self._tasks: set[asyncio.Task[None]] = set()
        self.running = 0
        self.served = 0
        self.started = time.time()
        self.woken = asyncio.Event()
        """Set when it is `over`, or when newer code is to be loaded and nothing runs (clients then wait)."""
        self.over = False
        self._stopping = False
        listener.setblocking(False)
        self.resume()

    def resume(self) -> None:
        """Take clients."""
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def pause(self) -> None:
        """Let clients wait, for at most as many as the socket's backlog holds."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def end(self) -> None:
        """It is over."""
        self.over = True
        self.woken.set()

    def _accept(self) -> None:
        for _ in range(16):
            try:
                conn, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # out of descriptors: the client runs its command by itself
                log.warning("accept.failed", error=str(error))
                return
            if peer_uid(conn) != os.getuid() or len(self._tasks) >= MOST_CLIENTS:
                conn.close()
                continue
            conn.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._serve(conn))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, conn: socket.socket) -> None:
        fds: list[int] = []
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await _receive(conn, fds)
            found = self._admit(request, fds)
            if isinstance(found, Refusal):
                conn.send(protocol.REFUSED + bytes([found]))
                return
            self.running += 1
            self.served += 1
            try:
                conn.send(protocol.STARTED + b"\0")
                status = await _until_gone(conn, self._run(found, request, fds))
            finally:
                self.running -= 1
            conn.send(protocol.ENDED + bytes([status & 0xFF]))
        except protocol.BadRequest as error:
            log.warning("request.refused", reason=error.message)
            with contextlib.suppress(OSError):
                conn.send(protocol.REFUSED + bytes([Refusal.MALFORMED]))
        except (TimeoutError, OSError):
            return  # a client that is slow, or gone
        finally:
            conn.close()
            for fd in fds:
                os.close(fd)
            if self._stopping:
                self.end()

    def _admit(self, request: Request, fds: list[int]) -> Loaded | Refusal:
        if self._stopping:
            return Refusal.STOPPING
        if self.running >= MOST_RUNNING:
            return Refusal.BUSY
        if len(fds) != protocol.DESCRIPTORS:
            return Refusal.MALFORMED
        if home_of(request.env) != self._keeper.home:
            return Refusal.OTHER_HOME
        if self.running == 0 and self._registry.code.changed():
            self.pause()
            self.woken.set()
            return Refusal.AGAIN
        found = self._registry.find(request.name)
        if isinstance(found, Loaded) and found.command.shell is not None and not request.args:
            return Refusal.TERMINAL
        return found

    async def _run(self, loaded: Loaded, request: Request, fds: list[int]) -> int:
        ties = RunTies(self._keeper)
        stdout, stderr = SharedOutput(fds[1]), SharedOutput(fds[2])
        session = Session(
            request.name,
            ties,
            Input(fds[0]),
            stdout,
            stderr,
            cwd=Path(request.cwd),
            env=request.env,
            width=width_of(fds[1], request.env),
            umask=request.umask,
            agent=self._keys,
        )
        try:
            status = await invoke(loaded.command, request.args, session, loaded.parser)
            for output in (stdout, stderr):
                with contextlib.suppress(BrokenPipeError):
                    await output.drain()
            return status
        finally:
            ties.close()
            stdout.close()
            stderr.close()

    def stop(self) -> None:
        """Admit no more commands; `over` follows when the one that runs now has ended."""
        self._stopping = True

    async def close(self) -> None:
        """Take no more clients, cancel what runs and wait for it. The listening socket stays open."""
        self._stopping = True
        self.pause()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)


async def _receive(conn: socket.socket, fds: list[int]) -> Request:
    """The request; the descriptors that come with it are put into *fds* at once, so that none can leak."""
    header = await _exactly(conn, protocol.HEADER.size, fds)
    return protocol.decode(await _exactly(conn, protocol.body_length(header), fds))


async def _exactly(conn: socket.socket, length: int, fds: list[int]) -> bytes:
    data = bytearray()
    while len(data) < length:
        try:
            part, taken, flags, _ = socket.recv_fds(
                conn, length - len(data), protocol.DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            await _readable(conn)
            continue
        fds += taken
        if len(fds) > protocol.DESCRIPTORS or flags & socket.MSG_CTRUNC:
            raise protocol.BadRequest(detail="more than three descriptors")
        if not part:
            raise ConnectionResetError
        data += part
    return bytes(data)


async def _readable(conn: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(conn.fileno(), _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(conn.fileno())


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _until_gone(conn: socket.socket, work: Coroutine[Any, Any, int]) -> int:
    """Run *work*; cancel it when the client gets a signal or goes away. Returns its exit status."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    status = INTERRUPTED

    def heard() -> None:
        nonlocal status
        try:
            message = conn.recv(2)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message[:1] == protocol.SIGNAL and len(message) == 2:
            status = 128 + message[1]
        else:
            loop.remove_reader(conn.fileno())
        task.cancel()

    loop.add_reader(conn.fileno(), heard)
    try:
        return await task
    except asyncio.CancelledError:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return status
    finally:
        loop.remove_reader(conn.fileno())
