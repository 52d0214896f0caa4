# SPDX-License-Identifier: BSD-3-Clause
"""DIXI: one server process and one client process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import echo
from bench.cpu import Meter
from bench.model import Measure
from bench.resources import Resources
from bench.worker import Worker


@contextlib.contextmanager
def start(root: Path, build: Path) -> Iterator[echo.Pair]:
    """Start both processes."""
    where, log, env = build / "dixi", build / "dixi.log", {"PYTHONPATH": str(root / "tests")}
    where.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-m", "bench.ours.dixi_echo"]
    with (
        Meter("dixi") as meter,
        Worker("dixi server", meter.wrap([*program, "serve", str(where)]), log=log, env=env) as server,
    ):
        port = server.hear(timeout=30)["port"]
        client = Worker("dixi client", meter.wrap([*program, "drive", str(where), str(port)]), log=log, env=env)
        with client:
            client.hear(timeout=30)
            yield echo.Pair(meter, client)


def calls(resources: Resources, *, in_flight: int) -> Measure:
    """Calls a second with *in_flight* under way."""
    pair = resources.get("dixi", lambda: start(resources.root, resources.build))
    return echo.calls(resources, pair, in_flight=in_flight)
