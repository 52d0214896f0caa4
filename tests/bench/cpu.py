# SPDX-License-Identifier: BSD-3-Clause
"""CPU seconds of a set of processes and of all they ever start, daemons included: a control group (v2) counts them."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path

from bench.leftovers import mark


class Meter:
    """A control group of the bench's own; without one (no root, no cgroup2) it counts nothing and says None."""

    def __init__(self, name: str) -> None:
        mount = cgroup2()
        self._group: Path | None = None
        if mount is not None:
            group = mount / mark(name)
            try:
                group.mkdir()
            except OSError:
                return
            self._group = group

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if self._group is not None:
            for child in sorted(self._group.rglob("*"), reverse=True):
                if child.is_dir():
                    child.rmdir()
            self._group.rmdir()

    def wrap(self, argv: list[str]) -> list[str]:
        """The command that runs *argv* inside the group."""
        if self._group is None:
            return argv
        return ["/bin/sh", "-c", f'echo $$ >{shlex.quote(str(self._group / "cgroup.procs"))}; exec "$@"', "sh", *argv]

    def seconds(self) -> float | None:
        """CPU time that everything in the group has used so far, ended processes included."""
        if self._group is None:
            return None
        for line in (self._group / "cpu.stat").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == "usage_usec":
                return int(value) / 1e6
        return None

    def kill(self) -> None:
        """End every process that is still in the group, and return when none is left."""
        if self._group is None:
            return
        end = time.monotonic() + 10
        while pids := self._pids():
            if time.monotonic() > end:
                raise TimeoutError(f"processes {pids} do not end")
            for pid in pids:
                _kill(pid)
            time.sleep(0.01)

    def _pids(self) -> list[int]:
        if self._group is None:
            return []
        groups = [self._group, *(path for path in self._group.rglob("*") if path.is_dir())]
        return [int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()]


def per(before: float | None, after: float | None, count: int) -> float | None:
    """CPU seconds per unit of work between two readings."""
    return None if before is None or after is None or count <= 0 else (after - before) / count


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def cgroup2() -> Path | None:
    """Where the v2 hierarchy is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, where, kind, *_rest = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None
