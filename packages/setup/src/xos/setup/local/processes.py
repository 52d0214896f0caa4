# SPDX-License-Identifier: BSD-3-Clause
"""Processes that outlive the command that started them: told apart by start time, ended through pidfds.

A process id alone says nothing once its process has ended: the kernel gives it to another. `Process` therefore
holds the start time too, and every signal goes through a pidfd that was opened before the start time was compared.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from xos.setup.errors import DaemonDied, DaemonSlow, DaemonStuck

_PROC = Path("/proc")
_KILL = 1 << (signal.SIGKILL - 1)
_TAIL_CHARACTERS = 480


class Process(msgspec.Struct, frozen=True):
    """One process, for as long as the machine runs."""

    pid: int
    started: int
    """Clock ticks after boot (field 22 of ``/proc/PID/stat``)."""
    boot: str
    """``/proc/sys/kernel/random/boot_id``: after a reboot, the same numbers mean another process."""

    @property
    def alive(self) -> bool:
        """It runs; a zombie that nobody has collected yet does not."""
        return identify(self.pid) == self

    @property
    def dying(self) -> bool:
        """It has been killed, or its main thread has ended, but it is not gone yet."""
        try:
            lines = (_PROC / str(self.pid) / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return False
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
        return status["State"][0] in "ZX" or bool(pending & _KILL)

    @property
    def started_at(self) -> float:
        """Unix seconds, to the second."""
        lines = (_PROC / "stat").read_text().splitlines()
        booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted + self.started / os.sysconf("SC_CLK_TCK")


def identify(pid: int) -> Process | None:
    """The process that has this id now; None if there is none, or only a zombie.

    A process whose main thread has ended while others still do is alive: it holds its files and ports.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX" and int(fields[17]) <= 1:
        return None
    return Process(pid, int(fields[19]), (_PROC / "sys/kernel/random/boot_id").read_text().strip())


def find(*words: str) -> list[Process]:
    """Running processes whose arguments contain *words*, in this order and next to each other."""
    wanted = b"\0" + b"\0".join(os.fsencode(word) for word in words) + b"\0"
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            process = identify(int(entry.name))
            if process and wanted in b"\0" + (entry / "cmdline").read_bytes():
                found.append(process)
    return found


def find_environment(name: str, values: Collection[str]) -> list[Process]:
    """Running processes that were started with the variable *name* set to one of *values*."""
    wanted = {f"{name}={value}".encode() for value in values}
    found = []
    for entry in _PROC.iterdir() if wanted else ():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if entry.name.isdigit() and not wanted.isdisjoint((entry / "environ").read_bytes().split(b"\0")):
                found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def load(path: Path) -> Process | None:
    """The process recorded in *path*, if it still runs."""
    try:
        process = msgspec.json.decode(path.read_bytes(), type=Process)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return process if process.alive else None


@contextlib.contextmanager
def _pidfd(process: Process) -> Iterator[int | None]:
    """A pidfd of exactly this process; None if it has ended."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd if process.alive else None
    finally:
        os.close(fd)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to exactly this process; one that has ended gets none."""
    with _pidfd(process) as fd:
        if fd is not None:
            _signal_all({fd: ""}, number)


def end(processes: Mapping[str, Process], *, grace_s: float, kill_s: float = 5.0) -> list[str]:
    """Ask processes (by name) to end, side by side; kill those still there after *grace_s*. Returns those killed.

    Raises `DaemonStuck` if one survives even that for *kill_s*.
    """
    with contextlib.ExitStack() as stack:
        open_fds = {
            fd: name for name, process in processes.items() if (fd := stack.enter_context(_pidfd(process))) is not None
        }
        _signal_all(open_fds, signal.SIGTERM)
        left = _wait_ended(open_fds, grace_s)
        _signal_all(left, signal.SIGKILL)
        stuck = _wait_ended(left, kill_s)
        for name in stuck.values():
            raise DaemonStuck(pid=processes[name].pid, name=name)
        return list(left.values())


def _signal_all(fds: Mapping[int, str], number: signal.Signals) -> None:
    for fd in fds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)


def _wait_ended(fds: Mapping[int, str], seconds: float) -> dict[int, str]:
    """Those of *fds* whose processes have not ended after *seconds*."""
    left, until = dict(fds), time.monotonic() + seconds
    poll = select.poll()
    for fd in left:
        poll.register(fd, select.POLLIN)
    while left and (rest := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            del left[fd]
    return left


def stand_back(pid: int, nice: int) -> None:
    """Give a process that leads a session, and with it the session, this nice value.

    To the scheduler a session is a group of its own (autogroup, sched(7)): the processes' own values count inside it.
    """
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, BlockingIOError):
        (_PROC / str(pid) / "autogroup").write_text(str(nice))


class Starting:
    """A daemon on its way up: started detached, it says by sd_notify(3) when it is ready.

    Use as a context manager: a daemon that has not become ready when the block is left is killed.
    """

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str], nice: int = 0) -> None:
        """*nice*: how far it stands back for other processes (setpriority(2)); takes no privileges."""
        self.name = name
        self._nice = nice
        self._argv = argv
        self._log = log
        self._env = env
        self._status = "nothing"
        self._ready = False

    def __enter__(self) -> Starting:
        self._directory = tempfile.TemporaryDirectory(prefix="xos-")
        path = str(Path(self._directory.name) / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(path)
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._env, "NOTIFY_SOCKET": path},
                start_new_session=True,
                cwd="/",
            )
        if self._nice:
            stand_back(self._child.pid, self._nice)
        process = identify(self._child.pid)
        self.process = process or Process(self._child.pid, 0, "")
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._ready:
            self._child.kill()
            self._child.wait()
        else:
            # It outlives us on purpose.
            self._child.returncode = 0
        self._socket.close()
        self._directory.cleanup()

    def wait(self, seconds: float) -> Process:
        """The process, once it has said ``READY=1``. Raises `DaemonDied` or `DaemonSlow`."""
        until = time.monotonic() + seconds
        pidfd = os.pidfd_open(self._child.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(self._socket, select.POLLIN)
            while (rest := until - time.monotonic()) > 0:
                for fd, _ in poll.poll(rest * 1000):
                    if fd == pidfd:
                        raise DaemonDied(name=self.name, how=self._how_ended(), tail=self.tail(), log=str(self._log))
                    if self._heard():
                        self._ready = True
                        return self.process
        finally:
            os.close(pidfd)
        raise DaemonSlow(name=self.name, seconds=seconds, status=self._status, log=str(self._log))

    def _heard(self) -> bool:
        """Read one datagram; whether it says ready."""
        words = self._socket.recv(65536).decode(errors="replace").splitlines()
        self._status = next((w.removeprefix("STATUS=") for w in words if w.startswith("STATUS=")), self._status)
        return "READY=1" in words

    def _how_ended(self) -> str:
        status = self._child.wait()
        return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"

    def tail(self) -> str:
        """The last lines that this start has written to the log, as many as an error's text holds."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read()[-65536:].decode(errors="replace").splitlines()
        return "".join(f"\n  | {line}" for line in lines)[-_TAIL_CHARACTERS:].partition("\n")[2]
