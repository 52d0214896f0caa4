# SPDX-License-Identifier: BSD-3-Clause
"""What the rows about images share: an image is made once, and then asked for its cost, its size and its boot."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from bench.cpu import Meter, per
from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources

BOOT_SECONDS = 900


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a side makes its image."""

    command: tuple[str, ...]
    image: Path
    log: Path


class Maker:
    """Makes an image when it is first needed."""

    def __init__(self, plan: Plan, meter: Meter) -> None:
        self._plan, self._meter = plan, meter
        self._cost: tuple[float, float | None] | None = None

    def cost(self) -> tuple[float, float | None]:
        """Wall and CPU seconds of making it. Raises `CannotRun`."""
        if self._cost is None:
            wall, cpu = self._timed(self._plan.command)
            if not self._plan.image.exists():
                raise CannotRun(f"there is no {self._plan.image}; see {self._plan.log}")
            self._cost = wall, cpu
        return self._cost

    def size(self) -> int:
        """Its bytes on a disk: holes take none."""
        self.cost()
        return self._plan.image.stat().st_blocks * 512

    def boot(self, firmware: str) -> tuple[float, float | None]:
        """Wall and CPU seconds from switching a machine on to its login prompt."""
        self.cost()
        command = [sys.executable, "-m", "xos.image.cli", "boot", str(self._plan.image), "--firmware", firmware]
        return self._timed([*command, "--cpus", "2", "--until", "login: ", "--seconds", str(BOOT_SECONDS)])

    def _timed(self, command: Sequence[str]) -> tuple[float, float | None]:
        before, began = self._meter.seconds(), time.monotonic()
        with self._plan.log.open("ab") as log:
            done = subprocess.run(self._meter.wrap(list(command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise CannotRun(f"it ended with status {done.returncode}; see {self._plan.log}")
        return time.monotonic() - began, per(before, self._meter.seconds(), 1)


Prepare = Callable[[Resources], Plan]
"""Sees to what is not measured. Raises `CannotRun`."""


class Asked(Protocol):
    """Opens a side that asks something of an image."""

    def __call__(self, resources: Resources, *, prepare: Prepare) -> Measure:
        """What `Side.open` is, once it is known whose image it is."""
        ...


def maker(resources: Resources, prepare: Prepare) -> Maker:
    """The one of *prepare*, kept while the bench runs."""

    @contextlib.contextmanager
    def make() -> Iterator[Maker]:
        with Meter(f"image-{prepare.__name__}") as meter:
            yield Maker(prepare(resources), meter)

    return resources.get(("image", prepare), make)


def wall_seconds(resources: Resources, *, prepare: Prepare) -> Measure:
    """Seconds on the clock to make it."""
    one = maker(resources, prepare)
    return lambda: Sample(one.cost()[0], one.cost()[1])


def cpu_seconds(resources: Resources, *, prepare: Prepare) -> Measure:
    """CPU seconds to make it."""
    one = maker(resources, prepare)

    def measure() -> Sample:
        _, cpu = one.cost()
        if cpu is None:
            raise CannotRun("CPU time cannot be counted here (root, cgroup2)")
        return Sample(cpu, cpu)

    return measure


def megabytes(resources: Resources, *, prepare: Prepare) -> Measure:
    """How large it is."""
    one = maker(resources, prepare)
    return lambda: Sample(one.size() / 1e6)


def boot_seconds(resources: Resources, *, prepare: Prepare, firmware: str) -> Measure:
    """Seconds to its login prompt, in an emulated machine of two processors."""
    one = maker(resources, prepare)
    return lambda: Sample(*one.boot(firmware))
