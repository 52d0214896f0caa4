# SPDX-License-Identifier: BSD-3-Clause
"""grpc.aio: one server process and one client process, in the virtual environment that install-peers makes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import echo, pki
from bench.cpu import Meter
from bench.model import CannotRun, Measure
from bench.resources import Resources
from bench.worker import Worker

_SCRIPT = Path(__file__).with_name("grpc_echo.py")


@contextlib.contextmanager
def start(build: Path) -> Iterator[echo.Pair]:
    """Start both processes. Raises `CannotRun` when the virtual environment is not there."""
    python = build / "grpc" / "bin" / "python"
    if not (build / "grpc" / ".installed").exists():
        raise CannotRun("grpcio is not installed (tests/bench/install-peers grpc)")
    keys, log = pki.make(build / "pki"), build / "grpc.log"
    with (
        Meter("grpc") as meter,
        Worker("grpc server", meter.wrap([str(python), str(_SCRIPT), "serve", str(keys)]), log=log) as server,
    ):
        port = server.hear(timeout=20)["port"]
        client = Worker("grpc client", meter.wrap([str(python), str(_SCRIPT), "drive", str(keys), str(port)]), log=log)
        with client:
            client.hear(timeout=20)
            yield echo.Pair(meter, client)


def calls(resources: Resources, *, in_flight: int) -> Measure:
    """Calls a second with *in_flight* under way."""
    return echo.calls(resources, resources.get("grpc", lambda: start(resources.build)), in_flight=in_flight)
