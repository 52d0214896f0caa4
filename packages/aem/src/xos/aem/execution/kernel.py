# SPDX-License-Identifier: BSD-3-Clause
# Between fork and exec, and beside it, plain calls on descriptors and names: no Path objects.
# ruff: noqa: PTH116, PTH123, PTH208
"""Linux calls that the standard library lacks, and exact names for processes. Standard library only."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLONE_INTO_CGROUP = 0x200000000
_CLONE3 = 435
"""The same number on every architecture."""
_SESSION_KEYRING = -3
_JOIN_SESSION_KEYRING, _SETPERM, _SET_TIMEOUT = 1, 5, 15
_READABLE = 0x0B000000 | 0x003F0000
"""Possessor: view, read, search; owner: all (linux/keyctl.h)."""
_CLONE_ARGS = struct.Struct("=11Q")

# PyDLL keeps the GIL during a call: what is called here returns at once, and a clone must not find it released.
_libc = ctypes.PyDLL(None, use_errno=True)
_python = ctypes.pythonapi


def prctl(option: int, argument: int | bytes) -> None:
    """prctl(2) with one argument. Raises `OSError`."""
    value = ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), value, zero, zero, zero) != 0:
        raise _error()


def fork_into_cgroup(group: int) -> int:
    """fork(2), but the child starts in the cgroup whose directory is open as *group*. Raises `OSError`.

    Moving a process afterwards waits for a grace period of the kernel (15 ms seen); being born there does not.
    Where clone3(2) is not to be had, as under systemd's ``RestrictNamespaces=``, the child moves before it returns.
    For processes with one thread.
    """
    try:
        return _clone_into_cgroup(group)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    entry = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=group)
    try:
        pid = os.fork()
        if pid == 0:
            _move_or_end(entry)
        return pid
    finally:
        os.close(entry)


def _move_or_end(entry: int) -> None:
    """Write this process into the open ``cgroup.procs``; a child that cannot must not run outside of its group."""
    try:
        os.write(entry, b"0")
    except OSError:
        os._exit(125)


def _clone_into_cgroup(group: int) -> int:
    fields = [0] * 11
    fields[0], fields[4], fields[10] = CLONE_INTO_CGROUP, signal.SIGCHLD, group
    arguments = ctypes.create_string_buffer(_CLONE_ARGS.pack(*fields), _CLONE_ARGS.size)
    _python.PyOS_BeforeFork()
    pid: int = _libc.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(_CLONE_ARGS.size))
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    error = _error() if pid < 0 else None
    _python.PyOS_AfterFork_Parent()
    if error is not None:
        raise error
    return pid


def _error() -> OSError:
    number = ctypes.get_errno() or errno.EINVAL
    return OSError(number, os.strerror(number))


def new_session_keyring() -> None:
    """A session keyring of this process's alone (keyctl(2)), owned by its effective user. Raises `OSError`."""
    _keyctl(_JOIN_SESSION_KEYRING, 0, 0, 0)


def add_session_key(name: bytes, payload: bytes, seconds: int) -> None:
    """Put *payload* into the session keyring as a user key, for *seconds*; others than its owner may only read it.

    Raises `OSError`, also where the numbers of the system calls are not known.
    """
    add_key = _system_calls()[0]
    size = ctypes.c_size_t(len(payload))
    session = ctypes.c_int(_SESSION_KEYRING)
    key: int = _libc.syscall(ctypes.c_long(add_key), b"user", name, payload, size, session)
    if key < 0:
        raise _error()
    _keyctl(_SET_TIMEOUT, key, seconds, 0)
    _keyctl(_SETPERM, key, _READABLE, 0)


def _keyctl(operation: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(value) for value in arguments]
    if _libc.syscall(ctypes.c_long(_system_calls()[1]), ctypes.c_int(operation), *values) < 0:
        raise _error()


def _system_calls() -> tuple[int, int]:
    """add_key and keyctl, which differ between architectures."""
    numbers = {"x86_64": (248, 250), "aarch64": (217, 219), "riscv64": (217, 219)}.get(os.uname().machine)
    if numbers is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return numbers


def set_oom_score(score: int) -> bool:
    """Set how readily the kernel kills this process when memory runs out; False where that is not allowed."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, str(score).encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def boot_id() -> str:
    """Names this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def give_way(nice: int) -> None:
    """Run at this nice value (setpriority(2)), and so the session: to the scheduler each session that setsid(2) makes
    is a group that weighs as much as any other, whatever its processes' own values (autogroup, sched(7))."""
    if nice == 0:
        return
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        fd = os.open("/proc/self/autogroup", os.O_WRONLY)
    except OSError:
        return  # this kernel has no such groups
    try:
        os.write(fd, str(nice).encode())
    except OSError:
        return  # it takes one change in 0.1 s from a process without privileges: the value above has to do
    finally:
        os.close(fd)


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when there is no such process, or it is a zombie."""
    stat = _stat(pid)
    return 0 if stat is None or stat[0] in "ZX" else int(stat[19])


def _stat(pid: int | str) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, from the state on; None when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    return text[text.rindex(b")") + 2 :].decode().split()


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of exactly the process *pid* that started at *started*; None when it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if started and start_time(pid) == started:
        return fd
    os.close(fd)
    return None


def descendants(root: int) -> dict[int, int]:
    """Every process below *root*, with its start time; zombies are left out."""
    parents: dict[int, int] = {}
    started: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(name)) is not None:
            parents[int(name)] = int(stat[1])
            if stat[0] not in "ZX":
                started[int(name)] = int(stat[19])
    below: set[int] = {root}
    grown = True
    while grown:
        found = {pid for pid, parent in parents.items() if parent in below and pid not in below}
        below |= found
        grown = bool(found)
    return {pid: started[pid] for pid in below if pid != root and pid in started}


def carrying(variable: bytes, uid: int) -> dict[int, int]:
    """The processes of user *uid* whose environment has *variable* (``NAME=value``), with their start times."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        started = start_time(int(name))
        try:
            if os.stat(f"/proc/{name}").st_uid == uid and variable in _environment(name):
                found[int(name)] = started
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is not ours to look into
    return {pid: started for pid, started in found.items() if started}


def _environment(pid: str) -> list[bytes]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")


def signal_exactly(processes: dict[int, int], *signals: int) -> None:
    """Send *signals* to the processes (pid to start time); those that have ended meanwhile are passed over."""
    for pid, started in processes.items():
        fd = open_process(pid, started)
        if fd is None:
            continue
        try:
            for number in signals:
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            continue  # it ended between the look and the signal
        finally:
            os.close(fd)
