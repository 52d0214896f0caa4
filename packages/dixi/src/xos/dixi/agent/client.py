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
    conn = connect(protocol.socket_path(env))
    if conn is None:
        return None
    with conn:
        return _converse(conn, name, args, env, fds, survive=survive)


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


def _converse(
    conn: socket.socket,
    name: str,
    args: Sequence[str],
    env: Mapping[str, str],
    fds: tuple[int, int, int],
    *,
    survive: bool,
) -> int | None:
    umask = os.umask(0o077)
    os.umask(umask)
    started = False
    caught: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        conn.send(protocol.SIGNAL + bytes([number]))

    try:
        request = protocol.encode(name, args, os.getcwd(), umask, env)  # noqa: PTH109 -- a string is wanted
        sent = socket.send_fds(conn, [request], fds)
        conn.sendall(request[sent:])
        before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    except (OSError, protocol.BadRequest):
        return None
    try:
        while True:
            answer = conn.recv(2, socket.MSG_WAITALL)
            if answer[:1] == protocol.STARTED:
                started = True
            elif answer[:1] == protocol.ENDED and len(answer) == 2:
                break
            elif started:
                sys.stderr.write(f"{name}: xos-agent went away; whether the command was carried out is not known\n")
                return 1
            else:
                return None
    except OSError:
        if started:
            raise
        return None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught and not survive and answer[1] == 128 + caught[0]:
        signal.signal(caught[0], signal.SIG_DFL)
        os.kill(os.getpid(), caught[0])
    return answer[1]
