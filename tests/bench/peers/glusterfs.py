# SPDX-License-Identifier: BSD-3-Clause
"""Peer of the rows about files: GlusterFS with one brick."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.enclosure import ADDRESS, Enclosure
from bench.model import Measure
from bench.peers.place import do, fresh, need, wait_for
from bench.resources import Resources

KEPT = ("/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster")
"""Where its daemons write whatever they are told; inside the enclosure these are places of its own."""
SOCKET = "/run/gluster/glusterd.socket"


def work(resources: Resources, *, what: str, clients: int) -> Measure:
    """One server, one brick; mounted with its defaults."""
    need("glusterfs", "glusterd", "gluster", "glusterfs")
    place = resources.build / "glusterfs"
    box = resources.get("glusterfs", lambda: _started(place), what="GlusterFS")
    return files.measure(resources, box, place / "mnt", what=what, clients=clients)


@contextlib.contextmanager
def _started(place: Path) -> Iterator[Enclosure]:
    with fresh("glusterfs", place) as box:
        for name in ("brick", "mnt"):
            (place / name).mkdir()
        (place / "glusterd.vol").write_text(
            "volume management\n type mgmt/glusterd\n option working-directory /var/lib/glusterd\n"
            f" option transport-type socket\n option transport.socket.bind-address {ADDRESS}\n"
            f" option glusterd-sockfile {SOCKET}\nend-volume\n"
        )
        for path in KEPT:
            do(box, ["mkdir", "-p", path])
            do(box, ["mount", "-t", "tmpfs", "gluster", path])
        do(box, ["glusterd", "-f", f"{place}/glusterd.vol", "-p", "/run/gluster/glusterd.pid"])
        manage = ["gluster", "--mode=script", f"--glusterd-sock={SOCKET}", "volume"]
        wait_for(box, [*manage, "info"])
        do(box, [*manage, "create", "bench", f"{ADDRESS}:{place}/brick", "force"])
        do(box, [*manage, "start", "bench"])
        do(box, ["glusterfs", f"--volfile-server={ADDRESS}", "--volfile-id=bench", f"{place}/mnt"])
        wait_for(box, ["stat", "-f", f"{place}/mnt"])
        yield box
