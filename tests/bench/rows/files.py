# SPDX-License-Identifier: BSD-3-Clause
"""Files: volumes beside MooseFS and beside the local disk."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import files as ours
from bench.peers import files as peers

BULK_MIB = 1024
SMALL_FILES = 10_000
NOTE = (
    "One OSD, one chunk server, each file once; all daemons and the mount on this machine, the same disk below. "
    "Ours encrypts (mutual TLS) and checks sums at every read."
)
TITLES = {
    "write": "sequential write of 1 GiB, fsync",
    "read": "sequential read of 1 GiB",
    "create": "10,000 files of 4 KiB: create, write, close",
    "stat": "10,000 files: stat",
    "list": "ls -l of 10,000 files",
    "unlink": "10,000 files: unlink",
}


def _row(what: str, peer: str, *, clients: int = 1, width: int = 1) -> Row:
    bulk = what in ("write", "read")
    count = (BULK_MIB if bulk else SMALL_FILES) // clients
    many = f", {clients} clients at once" if clients > 1 else ""
    striped = f", striped over {width} OSDs" if width > 1 else ""
    side = {"moosefs": peers.moosefs, "disk": peers.disk}[peer]
    suffix = ("" if clients == 1 else f"-{clients}") + ("" if width == 1 else f"-striped{width}")
    return Row(
        name=f"files-{what}{suffix}-{peer}",
        title=TITLES[what] + many + striped,
        unit="MiB/s" if bulk else "files/s",
        better=Better.MORE,
        goal=(0.8 if peer == "disk" else 1.0) if bulk or peer != "disk" else None,
        work="GiB" if bulk else "file",
        ours=Side("XtreemFS", partial(ours.work, what=what, count=count, clients=clients, width=width)),
        peer=Side(
            {"moosefs": "MooseFS", "disk": "local disk"}[peer],
            partial(side, what=what, count=count, clients=clients),
            needs=peer if peer != "disk" else "",
        ),
        repetitions=3,
        note=NOTE,
    )


ROWS = [
    *(_row(what, "moosefs") for what in TITLES),
    *(_row(what, "disk") for what in TITLES),
    *(_row(what, "moosefs", clients=4) for what in ("write", "read", "create")),
    *(_row(what, "disk", width=2) for what in ("write", "read")),
]
