# SPDX-License-Identifier: BSD-3-Clause
"""Peer of the rows about files: the local disk."""

from __future__ import annotations

from bench import files
from bench.model import Measure
from bench.peers.place import fresh
from bench.resources import Resources


def work(resources: Resources, *, what: str, clients: int) -> Measure:
    """The file system that ``build`` is on: where our OSDs keep their shares too."""
    place = resources.build / "disk"
    box = resources.get("disk", lambda: fresh("disk", place))
    return files.measure(resources, box, place, what=what, clients=clients)
