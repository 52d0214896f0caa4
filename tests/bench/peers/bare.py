# SPDX-License-Identifier: BSD-3-Clause
"""The least that issuing can cost: bare `cryptography` on one core, no network, nothing kept on disk."""

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
    argv = [sys.executable, "-m", "bench.peers.bare_issue"]
    with Meter("bare") as meter:
        log, env = resources.build / "bare.log", {"PYTHONPATH": str(resources.root / "tests")}
        with Worker("bare", meter.wrap(["taskset", "--cpu-list", "0", *argv]), log=log, env=env) as worker:
            worker.hear(timeout=30)
            yield meter, worker


def issue(resources: Resources, *, by: str, count: int) -> Measure:
    """Certificates a second, *by* ``certificate`` (request checked and signed) or ``password`` (argon2id too)."""
    meter, worker = resources.get("bare", lambda: _start(resources))
    many = resources.scaled(count, 8)

    def measure() -> Sample:
        before = meter.seconds()
        wall = worker.ask({"by": by, "count": many})["wall"]
        return Sample(many / wall, per(before, meter.seconds(), many))

    return measure
