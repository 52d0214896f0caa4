# SPDX-License-Identifier: BSD-3-Clause
"""Where a file system beside ours runs: a directory and an enclosure of its own, gone with the bench."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.enclosure import Enclosure, enclosure
from bench.model import CannotRun

START_SECONDS = 60.0


def need(peer: str, *programs: str) -> None:
    """Raises `CannotRun` if one of a peer's programs is not here."""
    for program in programs:
        if shutil.which(program) is None:
            raise CannotRun(f"{program} is not installed: tests/bench/install-peers {peer}")


@contextlib.contextmanager
def fresh(name: str, place: Path) -> Iterator[Enclosure]:
    """An enclosure, and *place* empty."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        with enclosure(name, place) as box:
            yield box
    finally:
        shutil.rmtree(place, ignore_errors=True)


def do(box: Enclosure, words: list[str]) -> None:
    """Run a command inside. Raises `CannotRun` with what it says if it fails."""
    try:
        done = subprocess.run(box.wrap(words), capture_output=True, text=True, timeout=START_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"{words[0]} does not end within {START_SECONDS:.0f} s") from None
    if done.returncode:
        raise CannotRun(f"{words[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")


def wait_for(box: Enclosure, words: list[str]) -> None:
    """Until a command succeeds inside. Raises `CannotRun` if it does not in time."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            do(box, words)
        except CannotRun:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return
