# SPDX-License-Identifier: BSD-3-Clause
"""What all sides of the rows about files have in common: the work, and how it is counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from bench.enclosure import Enclosure
from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources

LOAD = Path(__file__).with_name("fileload.py")
SECONDS = 300.0
MOST_MIB, SMALL_FILES, RANDOM = 1024, 10_000, 4000
ROUNDS = (("write", "read", "random-write", "random-read"), ("create", "stat", "list", "open", "unlink"))
"""What is done with the same files, in this order."""
BULK = ("write", "read")


class Rounds:
    """One side's samples. What is done with the same files is measured in one go, each time in a fresh directory.

    The rows of one work beside several peers all take the same samples of ours: it would take hours otherwise.
    """

    def __init__(self, resources: Resources, box: Enclosure, place: Path, works: tuple[str, ...], clients: int) -> None:
        self._resources, self._box, self._place, self._works, self._clients = resources, box, place, works, clients
        self._samples: list[dict[str, Sample]] = []

    def sample(self, what: str, number: int) -> Sample:
        """Of the round of that number."""
        while len(self._samples) <= number:
            self._samples.append(self._round())
        return self._samples[number][what]

    def _round(self) -> dict[str, Sample]:
        directory = f"{self._place}/{self._works[0]}-{self._clients}-{len(self._samples)}"
        _run(self._box, ["mkdir", directory])
        try:
            return {what: self._measure(directory, what) for what in self._works}
        finally:
            _run(self._box, ["rm", "-rf", directory])

    def _measure(self, directory: str, what: str) -> Sample:
        count = max(1, self._resources.scaled(_count(what), 16) // self._clients)
        before = self._box.meter.seconds()
        words = [sys.executable, "-I", str(LOAD), directory, what, str(count), str(self._clients)]
        seconds = float(json.loads(_run(self._box, words))["seconds"])
        after = self._box.meter.seconds()
        done = count * self._clients
        cpu = None if before is None or after is None else (after - before) / (done / (MOST_MIB if what in BULK else 1))
        return Sample(done / seconds, cpu)


def _count(what: str) -> int:
    """Of all clients together."""
    if what in BULK:
        return MOST_MIB
    return RANDOM if what.startswith("random") else SMALL_FILES


def measure(resources: Resources, box: Enclosure, place: Path, *, what: str, clients: int) -> Measure:
    """*what* of `LOAD` by so many clients in fresh directories below *place*, seen from inside *box*."""
    works = next(works for works in ROUNDS if what in works)
    rounds = resources.get(
        ("rounds", place, works, clients),
        lambda: contextlib.nullcontext(Rounds(resources, box, place, works, clients)),
    )
    numbers = iter(range(1 << 30))
    return lambda: rounds.sample(what, next(numbers))


def _run(box: Enclosure, words: list[str]) -> str:
    try:
        done = subprocess.run(box.wrap(words), capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"{' '.join(words[-4:])} does not end within {SECONDS:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
        raise CannotRun(f"{' '.join(words[-4:])}: {said[:200]}")
    return done.stdout
