# SPDX-License-Identifier: BSD-3-Clause
"""What both sides of the rows about files have in common: the work, and how it is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.enclosure import Enclosure
from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources

LOAD = Path(__file__).with_name("fileload.py")
SECONDS = 300.0
MOST_MIB = 1024
BULK = ("write", "read")
BEFORE = {"read": "write", "stat": "create", "list": "create", "unlink": "create"}


def measure(resources: Resources, box: Enclosure, place: Path, *, what: str, count: int, clients: int) -> Measure:
    """*count* MiB or files of each client in a fresh directory below *place*, seen from inside *box*."""
    count = resources.scaled(count, 8)
    turn = 0

    def once() -> Sample:
        nonlocal turn
        turn += 1
        directory = f"{place}/{what}-{clients}-{turn}"
        _run(box, ["mkdir", directory])
        if what in BEFORE:
            _load(box, directory, BEFORE[what], count, clients)
        before = box.meter.seconds()
        seconds = _load(box, directory, what, count, clients)
        after = box.meter.seconds()
        _run(box, ["rm", "-rf", directory])
        work = count * clients / (MOST_MIB if what in BULK else 1)
        cpu = None if before is None or after is None else (after - before) / work
        return Sample(count * clients / seconds, cpu)

    return once


def _load(box: Enclosure, directory: str, what: str, count: int, clients: int) -> float:
    words = [sys.executable, "-I", str(LOAD), directory, what, str(count), str(clients)]
    return float(json.loads(_run(box, words))["seconds"])


def _run(box: Enclosure, words: list[str]) -> str:
    try:
        done = subprocess.run(box.wrap(words), capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"{' '.join(words[-4:])} does not end within {SECONDS:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
        raise CannotRun(f"{' '.join(words[-4:])}: {said[:200]}")
    return done.stdout
