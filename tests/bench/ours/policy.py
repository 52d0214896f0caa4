# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows about policies and usage records."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bench.cpu import per
from bench.model import Measure, Sample
from bench.ours import grid
from bench.resources import Resources
from bench.worker import Worker


def each(resources: Resources, *, do: str, count: int, in_flight: int = 1, in_ms: bool = False) -> Measure:
    """How many of *do* a second; or how many ms one takes."""
    ours = grid.get(resources)
    client = resources.get("policy-client", lambda: _client(ours))
    many = resources.scaled(count, 8)

    def measure() -> Sample:
        before = ours.cpu()
        wall = client.ask({"do": do, "count": many, "in_flight": in_flight})["wall"]
        return Sample(wall / many * 1000 if in_ms else many / wall, per(before, ours.cpu(), many))

    return measure


@contextlib.contextmanager
def _client(ours: grid.Grid) -> Iterator[Worker]:
    argv = [sys.executable, "-m", "bench.ours.policy_client", str(ours.root)]
    with ours.worker("policy-client", argv) as client:
        client.hear(timeout=30)
        yield client
