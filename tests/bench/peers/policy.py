# SPDX-License-Identifier: BSD-3-Clause
"""The other side of the rows about policies and usage records: the libraries alone, in one process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bench.cpu import Meter, per
from bench.model import Measure, Sample
from bench.resources import Resources
from bench.worker import Worker


@contextlib.contextmanager
def _start(resources: Resources) -> Iterator[tuple[Meter, Worker]]:
    argv = [sys.executable, "-m", "bench.peers.bare_policy", str(resources.build)]
    with Meter("bare-policy") as meter:
        log, env = resources.build / "bare-policy.log", {"PYTHONPATH": str(resources.root / "tests")}
        with Worker("bare-policy", meter.wrap(argv), log=log, env=env) as worker:
            worker.hear(timeout=30)
            yield meter, worker


def each(resources: Resources, *, do: str, count: int, in_ms: bool = False) -> Measure:
    """How many of *do* a second; or how many ms one takes."""
    meter, worker = resources.get("bare-policy", lambda: _start(resources))
    many = resources.scaled(count, 8)

    def measure() -> Sample:
        before = meter.seconds()
        wall = worker.ask({"do": do, "count": many})["wall"]
        return Sample(wall / many * 1000 if in_ms else many / wall, per(before, meter.seconds(), many))

    return measure
