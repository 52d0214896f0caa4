# SPDX-License-Identifier: BSD-3-Clause
# Between fork and exec, and beside it, plain calls on descriptors and names: no Path objects.
# ruff: noqa: PTH112
"""The process that runs one unit: starts the program at most once, follows it, kills the whole of it, writes down how
it ended. It outlives the daemon and the starter. Standard library only.

Whoever holds the lock on the file ``shim`` speaks for the unit. Under that lock the files decide:

- ``exit`` is there: the unit has ended, nothing is left to do.
- ``started`` is there, no ``exit``: a shim before this one vanished; what it left is killed, the unit is lost.
- neither: the unit has never run. ``started`` is made (O_EXCL) and on disk before the program is executed, so no
  crash and no power cut makes a unit run twice.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import time
from typing import NoReturn, TypedDict

from xos.aem.execution import kernel, program
from xos.aem.execution.group import Group
from xos.aem.execution.task import EXIT, EXIT_DRAFT, KILLED, NOTICES, RECORD_SIZE, SHIM, STARTED, Task

_WATCHED = {signal.SIGCHLD, signal.SIGTERM}
BLOCKED = {*_WATCHED, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2}
"""Signals that neither a shim nor the starter dies of."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LONGEST_WAIT = 86_400.0
_FREEZE_ROUNDS = 20
_EXEC_PATIENCE_MS = 10_000
"""A program on a dead network file system may take for ever to start; the unit can be killed after this time."""
EXITED, KILLED_UNIT, WALL_TIME, MEMORY, LOST, NOT_STARTED = (
    "exited",
    "killed",
    "wall-time",
    "memory",
    "lost",
    "not-started",
)


class Record(TypedDict):
    """How a unit ended: the file ``exit``."""

    cause: str
    code: int | None
    """128 + n when signal n ended the program."""
    reason: str
    started: float | None
    """Unix seconds."""
    ended: float
    user: float
    """Seconds of CPU in user mode, all processes."""
    system: float
    memory: int
    """Bytes, at the most; without a memory controller that of the largest process."""


class Surroundings:
    """What all shims of a node have in common, made before they are forked: each thing costs them time."""

    def __init__(self, notices: str) -> None:
        """*notices* is the directory that holds the daemon's socket `NOTICES`."""
        self.boot = kernel.boot_id()
        directory = os.open(notices, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # Through the descriptor, since the path itself may be too long for a socket's name.
        self._address = f"/proc/self/fd/{directory}/{NOTICES}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def notify(self, unit_id: str, started: float) -> None:
        """Tell the daemon that the unit's program runs; if none listens, the next one reads the files."""
        try:
            self._socket.sendto(f"{unit_id} {started!r}".encode(), self._address)
        except OSError:
            return


def run(task: Task, surroundings: Surroundings) -> NoReturn:
    """Be the shim of *task*; the process ends here. `BLOCKED` is blocked, no signal has a handler."""
    try:
        _stand_alone(task["nice"])
        _Shim(task, surroundings).run()
    except BaseException:  # noqa: BLE001  # nothing may run on as a second starter
        os._exit(1)  # the unit directory has been removed meanwhile; or the next shim finds out what is left
    os._exit(0)


def _stand_alone(nice: int) -> None:
    """Own session, no descriptors of the starter's, signals kept for `_Shim.follow`."""
    gc.disable()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    kernel.give_way(nice)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    kernel.prctl(kernel.PR_SET_NAME, b"xos-shim")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)


class _Shim:
    """One unit, under its lock."""

    def __init__(self, task: Task, surroundings: Surroundings) -> None:
        self.task, self.surroundings = task, surroundings
        self.directory = os.open(task["directory"], _DIRECTORY)
        self.started: float | None = None
        self.group: Group | None = None

    def run(self) -> None:
        """Run the unit, or settle what became of it."""
        lock = os.open(SHIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self.directory)
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for as long as another shim has the unit
        try:
            self._decide(lock)
        except Exception as error:  # noqa: BLE001  # the user is to hear of it, rather than wait for ever
            self._sweep()
            self._record(LOST, None, f"lost: the shim failed ({type(error).__name__}: {error})")
        finally:
            if self.group is not None:
                self.group.remove()

    def _decide(self, lock: int) -> None:
        """What the files say is to be done; see the module."""
        before = _parsed(os.pread(lock, 4096, 0))
        if self._has(EXIT):
            _remove_group(before)
            return
        if self._has(STARTED):
            self._bury(before)
            return
        self._sign(lock)
        if self._has(KILLED):
            self._record(KILLED_UNIT, None, "killed before it started")
            return
        try:
            self._mark_started()
        except OSError as error:
            self._record(NOT_STARTED, None, f"the node cannot write down the start: {os.strerror(error.errno or 0)}")
            return
        self._run_program()

    def _has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _sign(self, lock: int) -> None:
        """Say who runs the unit, for the daemon that comes back; not synced, a reboot ends every shim anyway."""
        pid = os.getpid()
        signed = {
            "pid": pid,
            "start": kernel.start_time(pid),
            "boot": self.surroundings.boot,
            "group": self.task["group"],
        }
        os.pwrite(lock, json.dumps(signed).encode().ljust(256), 0)

    def _mark_started(self) -> None:
        self.started = time.time()
        fd = os.open(STARTED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.directory)
        try:
            os.write(fd, json.dumps({"at": self.started, "boot": self.surroundings.boot}).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.fsync(self.directory)

    def _bury(self, before: dict[str, object]) -> None:
        """Settle a unit whose shim vanished: kill what is left of it."""
        _remove_group(before)
        kernel.signal_exactly(self._strays(), signal.SIGKILL)
        started = _parsed(_content(STARTED, self.directory))
        at = started.get("at")
        self.started = at if isinstance(at, float) else None
        rebooted = started.get("boot") != self.surroundings.boot
        self._record(LOST, None, "lost: the node went down" if rebooted else "lost: the process that ran it was killed")

    def _strays(self) -> dict[int, int]:
        """Processes of the unit's account that still carry its name: all that can be known without a cgroup."""
        uid = os.geteuid() if self.task["account"] is None else self.task["account"][0]
        return kernel.carrying(f"XOS_UNIT_ID={self.task['unit_id']}".encode(), uid)

    def _run_program(self) -> None:
        task = self.task
        self.group = Group.open(task["group"])
        self._set_limits()
        try:
            child, pipe = self._start()
            problem = _problem(pipe, _EXEC_PATIENCE_MS)
            if problem is None:
                self.surroundings.notify(task["unit_id"], self.started or 0.0)
            cause, status = self._follow(child)
            problem = problem or _problem(pipe, 0)
            if problem is not None:
                raise problem
        except program.CannotStartError as error:
            self._record(NOT_STARTED, error.exit_code, error.reason)
            return
        code = os.waitstatus_to_exitcode(status)
        if self.group is not None and self.group.ran_out_of_memory():
            cause = MEMORY
        self._record(cause, code if code >= 0 else 128 - code, _reason(task, cause, code))

    def _set_limits(self) -> None:
        """What the cgroup cannot hold the processes to, a limit of each process must."""
        task = self.task
        memory = processes = False
        if self.group is not None:
            memory, processes = self.group.limit(memory=task["memory"], processes=task["processes"])
        if task["memory"] is not None and not memory:
            task["limits"] = [*task["limits"], (resource.RLIMIT_AS, task["memory"])]
        if task["processes"] is not None and not processes:
            task["limits"] = [*task["limits"], (resource.RLIMIT_NPROC, task["processes"])]

    def _start(self) -> tuple[int, int]:
        """Fork, and have the fork become the program: its pid, and a pipe for `_problem`."""
        shim = os.getpid()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            child = self._fork()
        except OSError as error:
            raise program.CannotStartError("fork", "a process", error.errno or errno.EAGAIN) from error
        if child == 0:
            program.become(self.task, shim, writing)
        os.close(writing)
        return child, reading

    def _fork(self) -> int:
        if self.group is None:
            return os.fork()
        group = os.open(self.group.path, _DIRECTORY)
        try:
            return kernel.fork_into_cgroup(group)
        finally:
            os.close(group)

    def _follow(self, child: int) -> tuple[str, int]:
        """Wait for the end and bring it about when the time is up or the unit is killed: cause, wait status."""
        cause, status = EXITED, None
        limit = self.task["wall_time"]
        until = None if limit is None else time.monotonic() + limit
        while True:
            ended, left = _reap(child)
            status = ended if ended is not None else status
            if status is not None and (cause == EXITED or not left):
                break
            number = _signal_before(until)
            if number == signal.SIGTERM and cause == EXITED:
                cause = KILLED_UNIT
            elif number is None and cause == EXITED:
                cause = WALL_TIME
            elif number is None:
                break
            else:
                continue
            until = time.monotonic() + self.task["grace"]
            self._signal_all(signal.SIGTERM, signal.SIGCONT)
        return cause, self._sweep(child) if status is None else self._sweep_rest(status, left=left)

    def _sweep_rest(self, status: int, *, left: bool) -> int:
        if left:
            self._sweep()
        return status

    def _sweep(self, child: int = 0) -> int:
        """Kill every process of the unit and wait until there is none; the wait status of *child*."""
        status = 0
        while True:
            ended, left = _reap(child)
            status = ended if ended is not None else status
            if not left:
                return status
            if self.group is not None:
                self.group.kill()
            self._kill_below()
            pid, last = os.waitpid(-1, 0)
            status = last if pid == child else status

    def _kill_below(self) -> None:
        """SIGKILL to every descendant; they are stopped first, so that none forks while we look."""
        seen: dict[int, int] = {}
        for _ in range(_FREEZE_ROUNDS):
            found = kernel.descendants(os.getpid())
            fresh = {pid: start for pid, start in found.items() if seen.get(pid) != start}
            if not fresh:
                break
            kernel.signal_exactly(fresh, signal.SIGSTOP)
            seen.update(fresh)
        kernel.signal_exactly(seen, signal.SIGKILL)

    def _signal_all(self, *numbers: int) -> None:
        processes = kernel.descendants(os.getpid())
        if self.group is not None:
            processes |= {pid: kernel.start_time(pid) for pid in self.group.processes()}
        kernel.signal_exactly(processes, *numbers)

    def _record(self, cause: str, code: int | None, reason: str) -> None:
        """Write ``exit``, however long the disk is full."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        user, system, memory = self.group.used() if self.group is not None else (None, None, None)
        record: Record = {
            "cause": cause,
            "code": code,
            "reason": reason[:300],
            "started": self.started,
            "ended": time.time(),
            "user": usage.ru_utime if user is None else user,
            "system": usage.ru_stime if system is None else system,
            "memory": usage.ru_maxrss * 1024 if memory is None else memory,
        }
        text = json.dumps(record).encode().ljust(RECORD_SIZE)
        delay = 0.1
        while True:
            try:
                self._write_exit(text)
                return
            except OSError as error:
                if error.errno == errno.ENOENT:
                    raise
            signal.sigtimedwait({signal.SIGTERM}, delay)
            delay = min(delay * 2, 30.0)

    def _write_exit(self, text: bytes) -> None:
        # Written over the draft made with the order: no new block is needed on a full disk.
        fd = os.open(EXIT_DRAFT, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self.directory)
        try:
            os.pwrite(fd, text, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(EXIT_DRAFT, EXIT, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        os.fsync(self.directory)


def _remove_group(before: dict[str, object]) -> None:
    """Empty and remove the cgroup of the shim that signed *before*."""
    path = before.get("group")
    if isinstance(path, str) and path and os.path.isdir(path):
        group = Group(path)
        group.kill()
        group.wait_empty()
        group.remove()


def _reap(child: int) -> tuple[int | None, bool]:
    """Take in every process that has ended: the wait status of *child* if it was among them, and whether any live."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False
        if pid == 0:
            return status, True
        if pid == child:
            status = ended


def _signal_before(until: float | None) -> int | None:
    """The next signal of those watched; None when *until* (monotonic) has come."""
    while True:
        rest = _LONGEST_WAIT if until is None else until - time.monotonic()
        if rest <= 0:
            return None
        caught = signal.sigtimedwait(_WATCHED, min(rest, _LONGEST_WAIT))
        if caught is not None:
            return caught.si_signo


def _reason(task: Task, cause: str, code: int) -> str:
    if cause == WALL_TIME:
        return f"killed: its wall time of {task['wall_time']:g} s was used up"
    if cause == MEMORY:
        return f"killed: it used more than its {task['memory']} bytes of memory"
    if cause == KILLED_UNIT:
        return "killed"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"ended by {name}"
    return f"exit code {code}" if code else ""


def _content(name: str, directory: int) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _parsed(text: bytes) -> dict[str, object]:
    """A small JSON object; empty when it was torn by a crash."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _problem(pipe: int, patience_ms: int) -> program.CannotStartError | None:
    """What kept the program from starting, if that is known within *patience_ms*; None when it runs."""
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    if not ready.poll(patience_ms):
        return None
    problem = os.read(pipe, 4096)
    return program.CannotStartError.decode(problem) if problem else None
