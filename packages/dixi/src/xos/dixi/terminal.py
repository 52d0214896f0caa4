# SPDX-License-Identifier: BSD-3-Clause
"""The user's terminal (or pipe, file, socket) as a command sees it, in a process of its own or inside `xos-agent`.

The agent serves many terminals in one event loop, so it must never block on one of them, and must not set
``O_NONBLOCK`` on a descriptor that the user's shell shares. `SharedOutput` therefore opens pipes and terminals anew
through ``/proc/self/fd``, which gives flags of our own on the same object.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import stat
import termios
from typing import Protocol

CHUNK = 65536
CAREFUL = 256
"""Bytes that a terminal takes at once when it is ready for any."""
PROMPT_FLAGS = 3
"""Index of the local flags in what `termios.tcgetattr` returns."""


class Output(Protocol):
    """Standard output or error of a command."""

    is_tty: bool

    def write(self, data: bytes) -> None:
        """Write, or keep what cannot be written now. Raises `BrokenPipeError` once the reader has gone."""
        ...

    async def drain(self) -> None:
        """Wait until everything kept is written. Raises `BrokenPipeError`."""
        ...


def columns(fd: int, env: str | None) -> int:
    """Width of the terminal *fd*: ``$COLUMNS`` (*env*), else what the terminal says, else 80."""
    if env and env.isdecimal() and int(env) > 0:
        return int(env)
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80


class DirectOutput:
    """Output of a process of our own: it may block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_tty = os.isatty(fd)

    def write(self, data: bytes) -> None:
        """See `Output.write`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody else made the shared descriptor non-blocking
                select.select([], [self._fd], [])

    async def drain(self) -> None:
        """See `Output.drain`: nothing is ever kept."""


class SharedOutput:
    """Output through a descriptor that a client has handed over; never blocks the event loop. Close it after use."""

    def __init__(self, fd: int) -> None:
        """*fd* stays the caller's."""
        self.is_tty = os.isatty(fd)
        self._kept = bytearray()
        self._broken = False
        self._closed = False
        self._done = asyncio.Event()
        self._done.set()
        self._fd, self._own, self._careful = fd, False, False
        self._socket: socket.socket | None = None
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            self._fd = self._socket.fileno()
        elif stat.S_ISFIFO(mode) or self.is_tty:
            try:
                self._fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
                self._own = True
            except OSError:
                self._careful = True  # another user's terminal (after su): we may write to it, not open it

    def write(self, data: bytes) -> None:
        """See `Output.write`."""
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        idle = not self._kept
        self._kept += data
        if idle:
            self._pump()
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    async def drain(self) -> None:
        """See `Output.drain`."""
        await self._done.wait()
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def close(self) -> None:
        """Give up what is still kept and close what was opened here."""
        if self._closed:
            return
        self._closed = True
        self._settle()
        if self._socket is not None:
            self._socket.close()
        elif self._own:
            os.close(self._fd)

    def _pump(self) -> None:
        try:
            while self._kept:
                with memoryview(self._kept) as view:
                    sent = self._send(view[:CHUNK])
                del self._kept[:sent]
        except BlockingIOError:
            if self._done.is_set():
                self._done.clear()
                asyncio.get_running_loop().add_writer(self._fd, self._pump)
            return
        except OSError:  # EPIPE, ECONNRESET; EIO from a terminal that hung up: nobody reads any more
            self._broken = True
        self._settle()

    def _send(self, data: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if not self._careful:
            return os.write(self._fd, data)
        if not select.select([], [self._fd], [], 0)[1]:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.write(self._fd, data[:CAREFUL])

    def _settle(self) -> None:
        if not self._done.is_set():
            asyncio.get_running_loop().remove_writer(self._fd)
            self._done.set()
        self._kept.clear()


class Input:
    """Standard input of a command."""

    def __init__(self, fd: int) -> None:
        """*fd* stays the caller's."""
        self._fd = fd
        self.is_tty = os.isatty(fd)

    async def read(self, most: int = -1) -> bytes:
        """Up to *most* bytes as soon as there are any (empty at the end); without *most*, everything."""
        if most >= 0:
            return await self._some(most)
        parts = []
        while part := await self._some(CHUNK):
            parts.append(part)
        return b"".join(parts)

    async def read_line(self) -> bytes:
        """The next line with its newline; empty at the end. Nothing beyond it is taken."""
        line = bytearray()
        while not line.endswith(b"\n") and (byte := await self._some(1)):
            line += byte
        return bytes(line)

    async def ask_secret(self, prompt: str, output: Output) -> str:
        """One line, not shown as it is typed if this is a terminal; without a terminal no prompt is written.

        Raises `EOFError` when there is no line.
        """
        if not self.is_tty:
            return self._line(await self.read_line())
        before = termios.tcgetattr(self._fd)
        hidden = [*before]
        hidden[PROMPT_FLAGS] &= ~termios.ECHO
        hidden[PROMPT_FLAGS] |= termios.ICANON
        termios.tcsetattr(self._fd, termios.TCSADRAIN, hidden)
        try:
            output.write(prompt.encode())
            return self._line(await self.read_line())
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
            output.write(b"\n")

    @staticmethod
    def _line(line: bytes) -> str:
        if not line:
            raise EOFError("no line was given")
        return line.rstrip(b"\r\n").decode(errors="surrogateescape")

    async def _some(self, most: int) -> bytes:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        try:
            loop.add_reader(self._fd, _settle, ready)
        except PermissionError:  # EPERM: regular files and /dev/null are always ready and unknown to epoll
            return os.read(self._fd, most)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
        return os.read(self._fd, most)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
