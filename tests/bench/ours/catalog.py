# SPDX-License-Identifier: BSD-3-Clause
"""Both sides of the rows about the file system's catalog."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from bench.model import Measure, Sample
from bench.resources import Resources
from bench.worker import Worker


def each(resources: Resources, *, do: str, size: int, local: bool = False, count: int = 2000) -> Measure:
    """CPU ms that one takes: of the daemon, or of the process that works on the local disk."""
    files = resources.scaled(size, 1000)
    worker = resources.get(("catalog", size), lambda: _start(resources, files), what=f"a catalog of {files:,} files")
    many = resources.scaled(count, 50)

    def measure() -> Sample:
        spent = worker.ask({"do": do, "count": many, "local": local}, timeout=120)
        resources.say(f"{do}: {many / spent['wall']:.0f}/s")
        return Sample(spent["cpu"] * 1000, spent["cpu"])

    return measure


@contextlib.contextmanager
def _start(resources: Resources, files: int) -> Iterator[Worker]:
    name, place = f"catalog-{files}", resources.build / "catalog"
    place.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "bench.ours.catalog_worker", str(files), str(place)]
    env = {"PYTHONPATH": str(resources.root / "tests")}
    with Worker(name, argv, log=resources.build / f"{name}.log", env=env) as worker:
        worker.hear(timeout=300)
        yield worker
