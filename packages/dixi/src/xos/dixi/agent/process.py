# SPDX-License-Identifier: BSD-3-Clause
"""How the agent protects its memory, holds its socket, and detaches itself from the terminal that started it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from xos.common.errors import XosError

PR_SET_DUMPABLE = 4
"""prctl(2): 0 means no core files, no ptrace(2) by other processes of the user."""
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
"""mlockall(2)."""
READY = b"+"


class AgentRunning(XosError):
    """Raised when an agent is there already."""

    code = "agent.running"
    template = "xos-agent already runs at {path}"
    hint = "See it with: xos-agent status"


class BadSocket(XosError):
    """Raised when the agent's socket cannot be made."""

    code = "agent.socket"
    template = "cannot listen at {path}: {detail}"
    hint = "$XOS_AGENT_SOCK names another place."


class Protection(msgspec.Struct, frozen=True):
    """What could be done to keep keys out of files."""

    undumpable: bool
    """No core files, and other processes of the user cannot read its memory."""
    locked: bool
    """No page of it goes to swap."""


def protect() -> Protection:
    """Keep keys out of core files and, where the limits allow it, out of swap."""
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    undumpable = libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    # With a small limit mlockall() would succeed and a later allocation fail, so only without one.
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    locked = unlimited and libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0
    return Protection(undumpable, locked)


def raise_descriptor_limit() -> None:
    """Let as many files be open as the system allows: each running command brings three and opens two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Seat:
    """The right to be the agent at one socket: a lock that ends with the process, and the listening socket."""

    def __init__(self, path: Path, listener: socket.socket, lock: int) -> None:
        self.path, self.listener, self._lock = path, listener, lock

    @classmethod
    def take(cls, path: Path) -> Seat:
        """Raises `AgentRunning`, `BadSocket`."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BadSocket(path=str(path), detail=error.strerror or "") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, _listen(path), lock)
        except BlockingIOError as error:
            os.close(lock)
            raise AgentRunning(path=str(path)) from error
        except BadSocket:
            os.close(lock)
            raise

    @classmethod
    def take_over(cls, path: Path, handed: str) -> tuple[Seat, bytes]:
        """What `hand_over` left to this process, in which the same agent goes on."""
        listener, lock, memory = map(int, handed.split(","))
        for fd in (listener, lock):
            os.set_inheritable(fd, False)
        with os.fdopen(memory, "rb") as kept:
            kept.seek(0)
            return cls(path, socket.socket(fileno=listener), lock), kept.read()

    def hand_over(self, state: bytes) -> str:
        """Make socket, lock and *state* survive execve(2); what to give to `take_over`."""
        memory = os.memfd_create("xos-agent", 0)  # in no file system; read and closed at once by the successor
        os.write(memory, state)
        fds = (self.listener.fileno(), self._lock, memory)
        for fd in fds:
            os.set_inheritable(fd, True)
        return ",".join(map(str, fds))

    def leave(self) -> None:
        """Remove the socket and give the right up."""
        self.listener.close()
        self.path.unlink(missing_ok=True)
        os.close(self._lock)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)  # we hold the lock: whoever made it is gone
        listener.bind(str(path))
        listener.listen(128)
    except OSError as error:
        listener.close()
        detail = "the path is too long" if error.errno is None else os.strerror(error.errno)
        raise BadSocket(path=str(path), detail=detail) from error
    finally:
        os.umask(before)
    return listener


def detach(log: Path, serve: Callable[[Callable[[], None]], int]) -> int:
    """Run ``serve(ready)`` in a process of its own, without terminal; return when it is ready, or has failed.

    Its standard error goes to the file *log*. Returns 0 when it called *ready*, else 1 after printing what it said.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _detached(log, theirs, serve)
    os.close(theirs)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as said:
        answer = said.read()
    if answer.startswith(READY):
        return 0
    os.write(2, answer or b"xos-agent: it ended before it was ready; see " + os.fsencode(log) + b"\n")
    return 1


def _detached(log: Path, theirs: int, serve: Callable[[Callable[[], None]], int]) -> NoReturn:
    status = 1
    try:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for fd, target in ((nothing, 0), (nothing, 1), (out, 2)):
            os.dup2(fd, target)

        def ready() -> None:
            os.write(theirs, READY)
            os.close(theirs)

        status = serve(ready)
    except XosError as error:
        os.write(theirs, f"xos-agent: {error.message}\n".encode())
    except OSError as error:
        if error.errno != errno.EPIPE:
            os.write(theirs, f"xos-agent: {error}\n".encode())
    finally:
        os._exit(status)
