# SPDX-License-Identifier: BSD-3-Clause
"""Both sides of the rows about a large VO: the peer is the same in a VO of ten."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bench.cpu import Meter, per
from bench.model import Measure, Sample
from bench.resources import Resources
from bench.worker import Worker


@contextlib.contextmanager
def _start(resources: Resources, kind: str, size: str) -> Iterator[tuple[Meter, Worker]]:
    name = f"{size}-{kind}"
    argv = [sys.executable, "-m", "bench.ours.large_site", kind, size, str(resources.build)]
    with Meter(name) as meter:
        log, env = resources.build / f"{name}.log", {"PYTHONPATH": str(resources.root / "tests")}
        with Worker(name, meter.wrap(argv), log=log, env=env) as worker:
            worker.hear(timeout=180)
            yield meter, worker


def slowest(resources: Resources, *, do: str, kind: str = "sqlite", size: str = "large", count: int = 20) -> Measure:
    """The median of the slowest page, call or decision, in ms."""
    what = f"a VO of {'10,000' if size == 'large' else '10'} in {kind}"
    meter, worker = resources.get((size, kind), lambda: _start(resources, kind, size), what=what)
    many = resources.scaled(count, 3)

    def measure() -> Sample:
        before = meter.seconds()
        answer = worker.ask({"do": do, "count": many}, timeout=300)
        resources.say(f"slowest of {do}: {answer['slowest']}, {answer['ms']:.1f} ms")
        return Sample(answer["ms"], per(before, meter.seconds(), many))

    return measure
