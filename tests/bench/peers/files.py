# SPDX-License-Identifier: BSD-3-Clause
"""Peers of the rows about files: the local disk, and MooseFS with one chunk server, each in an enclosure of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.enclosure import ADDRESS, Enclosure, enclosure
from bench.model import CannotRun, Measure
from bench.resources import Resources

START_SECONDS = 60.0


def disk(resources: Resources, *, what: str, count: int, clients: int = 1) -> Measure:
    """The file system that ``build`` is on: where our OSDs keep their shares too."""
    place = resources.build / "disk"
    box = resources.get("disk", lambda: _empty("disk", place))
    return files.measure(resources, box, place, what=what, count=count, clients=clients)


@contextlib.contextmanager
def _empty(name: str, place: Path) -> Iterator[Enclosure]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        with enclosure(name, place) as box:
            yield box
    finally:
        shutil.rmtree(place, ignore_errors=True)


def moosefs(resources: Resources, *, what: str, count: int, clients: int = 1) -> Measure:
    """One master, one chunk server, one copy of each file; mounted with its defaults."""
    for program in ("mfsmaster", "mfschunkserver", "mfsmount"):
        if shutil.which(program) is None:
            raise CannotRun(f"{program} is not installed: tests/bench/install-peers moosefs")
    place = resources.build / "moosefs"
    box = resources.get("moosefs", lambda: _moosefs(place), what="MooseFS")
    return files.measure(resources, box, place / "mnt", what=what, count=count, clients=clients)


@contextlib.contextmanager
def _moosefs(place: Path) -> Iterator[Enclosure]:
    with _empty("moosefs", place) as box:
        for name in ("master", "chunks", "disk", "mnt"):
            (place / name).mkdir()
        common = "WORKING_USER = root\nWORKING_GROUP = root\n"
        (place / "exports").write_text("* / rw,alldirs,maproot=0\n")
        (place / "disks").write_text(f"{place}/disk\n")
        (place / "master.cfg").write_text(
            f"{common}DATA_PATH = {place}/master\nEXPORTS_FILENAME = {place}/exports\n"
            f"MATOML_LISTEN_HOST = {ADDRESS}\nMATOCS_LISTEN_HOST = {ADDRESS}\nMATOCL_LISTEN_HOST = {ADDRESS}\n"
        )
        (place / "chunks.cfg").write_text(
            f"{common}DATA_PATH = {place}/chunks\nHDD_CONF_FILENAME = {place}/disks\n"
            f"MASTER_HOST = {ADDRESS}\nBIND_HOST = {ADDRESS}\nCSSERV_LISTEN_HOST = {ADDRESS}\n"
        )
        (place / "master" / "metadata.mfs").write_bytes(b"MFSM NEW")
        _do(box, ["mfsmaster", "-c", f"{place}/master.cfg", "start"])
        _do(box, ["mfschunkserver", "-c", f"{place}/chunks.cfg", "start"])
        _do(box, ["mfsmount", f"{place}/mnt", "-H", ADDRESS])
        _do(box, ["mfssetgoal", "-r", "1", f"{place}/mnt"])
        _wait_for_room(box, place / "mnt")
        yield box


def _wait_for_room(box: Enclosure, place: Path) -> None:
    """Until the chunk server has told the master of its disk."""
    until = time.monotonic() + START_SECONDS
    script = 'echo x >"$1"/.room && sync "$1"/.room && rm "$1"/.room'
    while True:
        done = subprocess.run(
            box.wrap(["sh", "-c", script, "sh", str(place)]), capture_output=True, timeout=START_SECONDS, check=False
        )
        if not done.returncode:
            return
        if time.monotonic() > until:
            raise CannotRun(f"MooseFS has no room: {done.stderr.decode(errors='replace').strip()[:200]}")
        time.sleep(0.5)


def _do(box: Enclosure, words: list[str]) -> None:
    done = subprocess.run(box.wrap(words), capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if done.returncode:
        raise CannotRun(f"{words[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
