# SPDX-License-Identifier: BSD-3-Clause
# Between fork and exec, and beside it, plain calls on descriptors and names: no Path objects.
# ruff: noqa: PTH103, PTH106
"""The cgroup (version 2) of one unit: made, limited, killed, measured, removed. Standard library only."""

from __future__ import annotations

import errno
import os
import select
import time


def remove(group: str) -> None:
    """Remove an empty cgroup; one that is in use, or gone, stays as it is."""
    try:
        os.rmdir(group)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY}:
            raise


class Group:
    """The cgroup of one unit; `open` is None where none could be made."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str) -> Group | None:
        """Make the cgroup *path*, its parent too if need be."""
        if not path:
            return None
        try:
            os.makedirs(path, exist_ok=True)
        except OSError:
            return None
        return cls(path)

    def limit(self, *, memory: int | None, processes: int | None) -> tuple[bool, bool]:
        """Set the limits; says of each whether it holds here (its controller may be absent)."""
        held = memory is not None and try_write(f"{self.path}/memory.max", str(memory))
        if held:
            try_write(f"{self.path}/memory.swap.max", "0")
            try_write(f"{self.path}/memory.oom.group", "1")
        return held, processes is not None and try_write(f"{self.path}/pids.max", str(processes))

    def kill(self) -> bool:
        """SIGKILL to every process in it, also to those being forked; False when the kernel cannot."""
        return try_write(f"{self.path}/cgroup.kill", "1")

    def processes(self) -> list[int]:
        """Who is in it."""
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def wait_empty(self, seconds: float = 10.0) -> None:
        """Wait until its processes, which are being killed, are gone; no longer than *seconds*."""
        until = time.monotonic() + seconds
        events = os.open(f"{self.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            changed = select.poll()
            changed.register(events, select.POLLPRI)
            while b"populated 1" in os.pread(events, 4096, 0) and (rest := until - time.monotonic()) > 0:
                changed.poll(rest * 1000)
        finally:
            os.close(events)

    def used(self) -> tuple[float | None, float | None, int | None]:
        """Seconds of CPU in user and in kernel mode, and the most memory; None what is not measured here."""
        stat = dict(line.split(" ", 1) for line in self._read("cpu.stat").splitlines())
        peak = self._read("memory.peak").strip()
        user, system = stat.get("user_usec"), stat.get("system_usec")
        return (
            int(user) / 1e6 if user else None,
            int(system) / 1e6 if system else None,
            int(peak) if peak else None,
        )

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process for passing the memory limit."""
        events = dict(line.split(" ", 1) for line in self._read("memory.events").splitlines())
        return int(events.get("oom_kill", "0")) > 0

    def remove(self) -> None:
        """Remove it; processes that are still being torn down keep it, `make_parent`'s caller sweeps later."""
        remove(self.path)

    def _read(self, name: str) -> str:
        try:
            fd = os.open(f"{self.path}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""  # the controller is absent, or the group has gone
        try:
            return os.read(fd, 1 << 20).decode()
        finally:
            os.close(fd)


def try_write(path: str, text: str) -> bool:
    """Write to a file of the kernel's; False when it is not there, not ours, or does not want that."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
