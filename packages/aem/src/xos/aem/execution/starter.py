# SPDX-License-Identifier: BSD-3-Clause
"""A small process with one thread that does nothing but fork shims: forking the daemon itself would be slow and unsafe.

It speaks with the daemon over one Unix socket, length-prefixed JSON: a `Task` in, ``{"unit_id", "pid", "start"}`` or
``{"unit_id", "error"}`` out. It ends when the daemon's end is closed; the shims stay. Standard library only, run with
``python -I -S``.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import struct
import sys
from typing import Any

from xos.aem.execution import kernel, shim
from xos.aem.execution.task import Task

LENGTH = struct.Struct(">I")
_SAFE_FROM_OOM = -900


def main(socket_fd: int, notices: str) -> None:
    """Serve the daemon at the other end of *socket_fd* until it goes; *notices* is for `shim.Surroundings`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, shim.BLOCKED)
    _forget_signals()
    surroundings = shim.Surroundings(notices)
    os.chdir("/")
    kernel.set_oom_score(_SAFE_FROM_OOM)
    kernel.prctl(kernel.PR_SET_NAME, b"xos-starter")
    with socket.socket(fileno=socket_fd) as daemon:
        gc.collect()
        gc.freeze()
        while (task := _receive(daemon)) is not None:
            _send(daemon, _start(task, daemon, surroundings))


def _forget_signals() -> None:
    """Programs start with default signals, whatever we were started with, and shims leave no zombies here."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _start(task: Task, daemon: socket.socket, surroundings: shim.Surroundings) -> dict[str, Any]:
    try:
        pid = os.fork()
    except OSError as error:
        return {"unit_id": task["unit_id"], "error": os.strerror(error.errno or 0)}
    if pid == 0:
        daemon.close()  # or the daemon would not see the starter's end
        shim.run(task, surroundings)
    return {"unit_id": task["unit_id"], "pid": pid, "start": kernel.start_time(pid)}


def _receive(daemon: socket.socket) -> Task | None:
    head = _exactly(daemon, LENGTH.size)
    if head is None:
        return None
    body = _exactly(daemon, LENGTH.unpack(head)[0])
    if body is None:
        return None
    task: Task = json.loads(body)
    return task


def _exactly(daemon: socket.socket, size: int) -> bytes | None:
    """The next *size* bytes; None when the daemon has gone."""
    got = bytearray()
    while len(got) < size:
        try:
            part = daemon.recv(size - len(got))
        except ConnectionError:
            return None
        if not part:
            return None
        got += part
    return bytes(got)


def _send(daemon: socket.socket, answer: dict[str, Any]) -> None:
    text = json.dumps(answer).encode()
    try:
        daemon.sendall(LENGTH.pack(len(text)) + text)
    except ConnectionError:
        return  # the daemon has gone; the next receive says so too


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
