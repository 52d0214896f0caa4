# SPDX-License-Identifier: BSD-3-Clause
"""Peer of the rows about files: MooseFS with one master and one chunk server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.enclosure import ADDRESS, Enclosure
from bench.model import Measure
from bench.peers.place import do, fresh, need, wait_for
from bench.resources import Resources


def work(resources: Resources, *, what: str, clients: int) -> Measure:
    """One master, one chunk server, one copy of each file; mounted with its defaults."""
    need("moosefs", "mfsmaster", "mfschunkserver", "mfsmount")
    place = resources.build / "moosefs"
    box = resources.get("moosefs", lambda: _moosefs(place), what="MooseFS")
    return files.measure(resources, box, place / "mnt", what=what, clients=clients)


@contextlib.contextmanager
def _moosefs(place: Path) -> Iterator[Enclosure]:
    with fresh("moosefs", place) as box:
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
        do(box, ["mfsmaster", "-c", f"{place}/master.cfg", "start"])
        do(box, ["mfschunkserver", "-c", f"{place}/chunks.cfg", "start"])
        do(box, ["mfsmount", f"{place}/mnt", "-H", ADDRESS])
        do(box, ["mfssetgoal", "-r", "1", f"{place}/mnt"])
        # The chunk server has told the master of its disk when there is room.
        wait_for(box, ["sh", "-c", 'echo x >"$1" && sync "$1" && rm "$1"', "sh", f"{place}/mnt/.room"])
        yield box
