# SPDX-License-Identifier: BSD-3-Clause
"""A small process with one thread that does nothing but fork shims: forking the daemon itself would be slow and unsafe.

Tasks come over a Unix stream socket, length-prefixed JSON. For each an answer goes back over a socket of packets,
``{"unit_id", "error"}``, with a pidfd of the shim (none when it has ended already). The starter ends when the daemon's
end is closed; the shims stay. Standard library only, run with ``python -I -S``.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import struct
import sys

from xos.aem.execution import kernel, shim
from xos.aem.execution.task import Task

LENGTH = struct.Struct(">I")
_SAFE_FROM_OOM = -900


def main(tasks_fd: int, answers_fd: int, notices: str) -> None:
    """Serve the daemon at the other end of the two sockets until it goes; *notices* is for `shim.Surroundings`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, shim.BLOCKED)
    _forget_signals()
    surroundings = shim.Surroundings(notices)
    os.chdir("/")
    kernel.set_oom_score(_SAFE_FROM_OOM)
    kernel.prctl(kernel.PR_SET_NAME, b"xos-starter")
    with socket.socket(fileno=tasks_fd) as tasks, socket.socket(fileno=answers_fd) as answers:
        for end in (tasks, answers):
            end.set_inheritable(False)
        gc.collect()
        gc.freeze()
        while (task := _receive(tasks)) is not None:
            pid, error = _fork()
            if pid == 0:
                tasks.close()  # or the daemon would not see that the starter has gone
                answers.close()
                shim.run(task, surroundings)
            _answer(answers, task["unit_id"], pid, error)


def _forget_signals() -> None:
    """Programs start with default signals, whatever we were started with, and shims leave no zombies here."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _fork() -> tuple[int, str]:
    try:
        return os.fork(), ""
    except OSError as error:
        return -1, os.strerror(error.errno or 0)


def _answer(answers: socket.socket, unit_id: str, pid: int, error: str) -> None:
    fds = []
    if not error:
        try:
            fds = [os.pidfd_open(pid)]
        except ProcessLookupError:
            fds = []  # it has ended already
        except OSError as problem:
            error = os.strerror(problem.errno or 0)
    text = json.dumps({"unit_id": unit_id, "error": error}).encode()
    try:
        socket.send_fds(answers, [text], fds)
    except ConnectionError:
        return  # the daemon has gone; the next receive says so too
    finally:
        for fd in fds:
            os.close(fd)


def _receive(tasks: socket.socket) -> Task | None:
    head = _exactly(tasks, LENGTH.size)
    if head is None:
        return None
    body = _exactly(tasks, LENGTH.unpack(head)[0])
    if body is None:
        return None
    task: Task = json.loads(body)
    return task


def _exactly(tasks: socket.socket, size: int) -> bytes | None:
    """The next *size* bytes; None when the daemon has gone."""
    got = bytearray()
    while len(got) < size:
        try:
            part = tasks.recv(size - len(got))
        except ConnectionError:
            return None
        if not part:
            return None
        got += part
    return bytes(got)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
