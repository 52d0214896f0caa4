# SPDX-License-Identifier: BSD-3-Clause
"""Asks the user's agent to run a command: the Python twin of ``command/xos-command.c``."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from xos.dixi.agent import protocol

ATTEMPTS = 3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run_in_agent(
    name: str,
    args: Sequence[str],
    env: Mapping[str, str],
    *,
    fds: tuple[int, int, int] = (0, 1, 2),
    survive: bool = False,
) -> int | None:
    """The exit status of the command, run in the agent on our terminal (*fds*); None if it must be run here.

    A signal is passed on to the command; unless we are to *survive*, it then ends this process as well.
    """
    for _ in range(ATTEMPTS):
        conn = connect(protocol.socket_path(env))
        if conn is None:
            return None
        with conn:
            talk = Talk(conn, name)
            status = talk.attend() if talk.ask(args, env, fds) else None
        if not talk.again:
            break
    if talk.caught is not None and status == 128 + talk.caught and not survive:
        signal.signal(talk.caught, signal.SIG_DFL)
        os.kill(os.getpid(), talk.caught)
    return status


def connect(path: str) -> socket.socket | None:
    """A connection to the agent at *path*, if it is there and our own."""
    conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        conn.connect(path)
        if peer_uid(conn) == os.getuid():
            return conn
    except OSError:  # not there, not listening, or a path that is too long: all mean that there is no agent
        pass
    conn.close()
    return None


def peer_uid(conn: socket.socket) -> int:
    """Who is at the other end (SO_PEERCRED, unix(7))."""
    creds = struct.Struct("3i")
    _, uid, _ = creds.unpack(conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, creds.size))
    return int(uid)


class Talk:
    """One command's conversation with the agent."""

    def __init__(self, conn: socket.socket, name: str) -> None:
        self._conn, self._name = conn, name
        self.caught: int | None = None
        """The signal that was passed on."""
        self.again = False
        """The agent starts anew and wants to be asked again."""

    def ask(self, args: Sequence[str], env: Mapping[str, str], fds: tuple[int, int, int]) -> bool:
        """Send the request; False if that did not succeed, and so nothing was begun."""
        umask = os.umask(0o077)
        os.umask(umask)
        try:
            request = protocol.encode(self._name, args, os.getcwd(), umask, env)  # noqa: PTH109 -- as a string
            sent = socket.send_fds(self._conn, [request], fds)
            if sent < len(request):
                self._conn.sendall(request[sent:])
        except (OSError, protocol.BadRequest):
            return False
        return True

    def attend(self) -> int | None:
        """Wait for the end: the exit status, or None if the command was not begun."""
        before = {number: signal.signal(number, self._pass_on) for number in SIGNALS}
        started = False
        try:
            while (answer := self._answer())[:1] == protocol.STARTED:
                started = True
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if answer[:1] == protocol.ENDED:
            return answer[1]
        self.again = not started and answer == protocol.REFUSED + bytes([protocol.Refusal.AGAIN])
        if not started:
            return None
        sys.stderr.write(f"{self._name}: xos-agent went away; whether the command was carried out is not known\n")
        return 1

    def _answer(self) -> bytes:
        """Two bytes, or none if the agent has gone."""
        try:
            answer = self._conn.recv(2, socket.MSG_WAITALL)
        except ConnectionError:
            return b""
        return answer if len(answer) == 2 else b""

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        if self.caught is not None:
            os._exit(128 + number)
        self.caught = number
        self._conn.send(protocol.SIGNAL + bytes([number]))
