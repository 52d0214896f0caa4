# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows about certificates: the CDA through DIXI, its daemon held to one core."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.cpu import per
from bench.model import CannotRun, Measure, Sample
from bench.ours import grid
from bench.resources import Resources
from bench.worker import Worker

CPU = 0
"""The core that does the issuing; clients keep to the others."""


def issue(resources: Resources, *, by: str, in_flight: int, count: int) -> Measure:
    """Certificates a second, *by* ``certificate`` (renewal) or ``password``."""
    ours = grid.get(resources)
    many = resources.scaled(count, 8)
    client = resources.get("certs-client", lambda: _client(ours))

    def measure() -> Sample:
        with _held_to_one_core(ours.root / "core" / "dixid.toml"):
            before = ours.cpu()
            wall = client.ask({"by": by, "count": many, "in_flight": in_flight})["wall"]
            return Sample(many / wall, per(before, ours.cpu(), many))

    return measure


@contextlib.contextmanager
def _client(ours: grid.Grid) -> Iterator[Worker]:
    others = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0) - {CPU})) or str(CPU)
    argv = ["taskset", "--cpu-list", others, sys.executable, "-m", "bench.ours.issue"]
    with ours.worker("certs-client", argv) as client:
        client.hear(timeout=30)
        yield client


@contextlib.contextmanager
def _held_to_one_core(config: Path) -> Iterator[None]:
    """Hold every thread of the daemon with this configuration to `CPU`."""
    pid = _daemon(config)
    every = os.sched_getaffinity(pid)
    _hold(pid, {CPU})
    try:
        yield
    finally:
        _hold(pid, every)


def _hold(pid: int, cpus: set[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
            os.sched_setaffinity(int(thread.name), cpus)


def _daemon(config: Path) -> int:
    wanted = b"\0--config\0" + os.fsencode(config) + b"\0"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if wanted in (entry / "cmdline").read_bytes():
                    return int(entry.name)
    raise CannotRun(f"no daemon runs with {config}")
