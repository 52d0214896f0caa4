# SPDX-License-Identifier: BSD-3-Clause
# Between fork and exec, and beside it, plain calls on descriptors and names: no Path objects.
# ruff: noqa: PTH113, PTH118, PTH119
"""From a fork of the shim to the user's program: everything between fork and exec. Standard library only."""

from __future__ import annotations

import base64
import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

from xos.aem.execution import kernel
from xos.aem.execution.task import ERROR, OUTPUT, Task

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
NOT_FOUND = 127
NOT_RUNNABLE = 126
_LATE_LIMITS = {resource.RLIMIT_AS, resource.RLIMIT_DATA}
"""Python itself could not go on under these, so they come last."""


class CannotStartError(Exception):
    """Raised when the program cannot be started: what was tried, on what, and the system's error number."""

    def __init__(self, verb: str, what: str, number: int) -> None:
        super().__init__(verb, what, number)
        self.verb, self.what, self.number = verb, what, number

    def encode(self) -> bytes:
        """The form that passes through the pipe to the shim."""
        return "\0".join((self.verb, self.what[:300], str(self.number))).encode(errors="replace")

    @classmethod
    def decode(cls, text: bytes) -> CannotStartError:
        """The inverse of `encode`."""
        verb, what, number = text.decode(errors="replace").split("\0")
        return cls(verb, what, int(number))

    @property
    def exit_code(self) -> int:
        """What a shell would exit with."""
        return NOT_FOUND if self.verb == "run" and self.number == errno.ENOENT else NOT_RUNNABLE

    @property
    def reason(self) -> str:
        """One line for the user."""
        if self.number == errno.E2BIG:
            return f"cannot run {self.what}: arguments and environment are larger than Linux takes"
        return f"cannot {self.verb} {self.what}: {os.strerror(self.number)}"


def become(task: Task, shim: int, status: int) -> NoReturn:
    """Turn this fork of the shim into the user's program; what goes wrong is written to the pipe *status*."""
    try:
        _leave_the_shim(shim, task["nice"])
        streams = _Streams(task)
        streams.open_kept()
        _drop_to(task, shim)
        try:
            os.chdir(task["cwd"])
        except OSError as error:
            raise CannotStartError("enter", "the working directory", error.errno or 0) from error
        streams.open_named()
        streams.install()
        _limit(task, late=False)
        _execute(task)
    except CannotStartError as error:
        _tell(status, error)
    except OSError as error:
        _tell(status, CannotStartError("prepare", error.filename or "the process", error.errno or errno.EIO))
    except BaseException as error:  # noqa: BLE001  # nothing may run on as a second shim
        _tell(status, CannotStartError("prepare", f"the process ({type(error).__name__}: {error})", errno.EIO))
    os._exit(NOT_RUNNABLE)


def _tell(status: int, error: CannotStartError) -> None:
    os.write(status, error.encode())


def _leave_the_shim(shim: int, nice: int) -> None:
    os.setsid()
    kernel.give_way(nice)
    kernel.set_oom_score(0)
    _die_with(shim)


def _die_with(shim: int) -> None:
    """A program whose shim is gone would run on unwatched."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:
        os._exit(NOT_RUNNABLE)


def _drop_to(task: Task, shim: int) -> None:
    os.umask(0o077)
    if task["account"] is not None:
        uid, gid = task["account"]
        if 0 in (uid, gid, *task["groups"]):
            raise CannotStartError("run", "as root", errno.EPERM)
        os.setgroups(task["groups"])
        os.setresgid(gid, gid, gid)
        _give_credential(task, uid)
        os.setresuid(uid, uid, uid)
        _die_with(shim)  # changing the user has cleared it
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _give_credential(task: Task, uid: int) -> None:
    """The user's certificate into a session keyring of the unit's own, as pam_xos does at a login: the key is root's,
    so that nobody forges one. Where the kernel keeps no keys (containers), a program does without."""
    seconds = int(task["expires"] - time.time())
    if not task["credential"] or seconds <= 0:
        return
    try:
        os.setresuid(uid, uid, 0)
        kernel.new_session_keyring()
        os.setresuid(0, 0, 0)
        kernel.add_session_key(task["keyring_name"].encode(), base64.b64decode(task["credential"]), seconds)
    except OSError:
        os.setresuid(0, 0, 0)


class _Streams:
    """Standard input, output and error of the program."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._input = self._output = self._error = -1

    def open_kept(self) -> None:
        """Open those in the unit directory, before the account is left that may write there.

        They become the user's own, since ``/dev/stderr`` is the file itself, opened anew as whoever asks.
        """
        task = self._task
        if not task["output"]:
            self._output = self._kept(OUTPUT)
        if not task["error"]:
            self._error = self._kept(ERROR)

    def _kept(self, name: str) -> int:
        fd = _open(os.path.join(self._task["directory"], name), _APPEND)
        if self._task["account"] is not None:
            os.fchown(fd, *self._task["account"])
        return fd

    def open_named(self) -> None:
        """Open those that the job names, as the user."""
        task = self._task
        self._input = _open(task["input"] or os.devnull, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        if task["output"]:
            self._output = _open(task["output"], _APPEND)
        if task["error"]:
            same = task["error"] == task["output"]
            self._error = os.dup(self._output) if same else _open(task["error"], _APPEND)

    def install(self) -> None:
        """Make them 0, 1 and 2."""
        for number, fd in enumerate((self._input, self._output, self._error)):
            os.dup2(fd, number)


def _open(path: str, flags: int) -> int:
    verb = "read" if flags & os.O_ACCMODE == os.O_RDONLY else "write"
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise CannotStartError(verb, os.path.basename(path), error.errno or errno.EIO) from error
    return fd


def _limit(task: Task, *, late: bool) -> None:
    """Lower the limits; what the node's own hard limits forbid stays forbidden."""
    for number, value in task["limits"]:
        if (number in _LATE_LIMITS) is not late:
            continue
        hard = resource.getrlimit(number)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (least, least))
        except (OSError, ValueError) as error:
            raise CannotStartError("set", f"limit {number} to {value}", errno.EINVAL) from error


def _execute(task: Task) -> NoReturn:
    argv = [task["executable"], *task["arguments"]]
    environment = task["environment"]
    found: OSError | None = None
    candidates = list(_candidates(task["executable"], environment.get("PATH", os.defpath)))
    _limit(task, late=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for candidate in candidates:
        try:
            os.execve(candidate, argv, environment)  # noqa: S606  # to run the user's program is the purpose
        except OSError as error:
            if found is None or error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                found = error
    number = found.errno if found is not None and found.errno else errno.ENOENT
    raise CannotStartError("run", task["executable"], number)


def _candidates(executable: str, path: str) -> Iterator[str]:
    """Where the program may be: see `JobDescription.executable`."""
    if "/" in executable:
        yield executable
        return
    if os.path.isfile(executable):
        yield f"./{executable}"
        return
    for directory in path.split(":"):
        if directory.startswith("/"):
            yield os.path.join(directory, executable)
