# SPDX-License-Identifier: BSD-3-Clause
"""Look-ups of users through glibc, in a mount name space with a `nsswitch.conf` of the side's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources

HERE = Path(__file__).parent
FIRST, GROUP = 1_900_000_000, 1_900_900_000
SHARED_GROUPS = 2
Furnish = Callable[[Path, int, Resources], str]
"""Puts a side's files for so many users into a directory; returns the service for ``passwd`` and ``group``."""


def measure(resources: Resources, *, side: str, furnish: Furnish, what: str, users: int, count: int) -> Measure:
    """Microseconds of a look-up: *what* is ``name``, ``uid``, ``groups``, ``unknown`` or ``cold``."""
    if os.geteuid() != 0 or shutil.which("gcc") is None:
        raise CannotRun("needs root (mount name space) and gcc")
    program = resources.get("nss_time", lambda: _program(resources))
    place = resources.get(("names", side, users), lambda: _place(resources, side, users, furnish))
    many = str(resources.scaled(count, 20))

    def once() -> Sample:
        argv = ["unshare", "--mount", "--propagation", "private", str(HERE / "inside"), str(place), str(program)]
        before = os.times()
        done = subprocess.run([*argv, what, many, str(users)], capture_output=True, text=True, timeout=300)
        after = os.times()
        if done.returncode != 0:
            raise CannotRun(f"{side}: {done.stderr.strip() or f'status {done.returncode}'}")
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return Sample(float(done.stdout), used / int(many))

    return once


@contextlib.contextmanager
def _program(resources: Resources) -> Iterator[Path]:
    program = resources.build / "nss_time"
    resources.build.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, HERE / "nss_time.c"], check=True)
    yield program


@contextlib.contextmanager
def _place(resources: Resources, side: str, users: int, furnish: Furnish) -> Iterator[Path]:
    place = resources.build / f"names-{side}-{users}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (place / "group").write_text("root:x:0:\n")
    service = furnish(place, users, resources)
    (place / "nsswitch.conf").write_text(f"passwd: {service}\ngroup: {service}\ninitgroups: {service}\n")
    yield place


def passwd(users: int) -> str:
    """The users as a passwd file."""
    return "".join(f"u{n}.demo:*:{FIRST + n}:{FIRST + n}:u{n}@demo:/h/u{n}.demo:/bin/sh\n" for n in range(users))


def group(users: int) -> str:
    """Their groups as a group file: one of their own each, and some that all are in."""
    own = "".join(f"u{n}@demo:*:{FIRST + n}:\n" for n in range(users))
    every = ",".join(f"u{n}.demo" for n in range(users))
    return own + "".join(f"g{n}.demo:*:{GROUP + n}:{every}\n" for n in range(SHARED_GROUPS))
