# SPDX-License-Identifier: BSD-3-Clause
"""Files: volumes beside other file systems on the same machine, and beside the local disk."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import files as ours
from bench.peers import disk, glusterfs, moosefs, nfs, sshfs

NOTE = (
    "One copy of each file, on one OSD, chunk server or brick; all daemons and the mount on this machine, the same "
    "disk below, the kernel's names forgotten before each work. sshfs encrypts; ours does between machines, and goes "
    "over Unix sockets within one; ours checks sums at every read."
)
TITLES = {
    "write": "sequential write of 1 GiB, fsync",
    "read": "sequential read of 1 GiB",
    "random-write": "4 KiB at random places of 1 GiB: 4,000 writes, fsync",
    "random-read": "4 KiB at random places of 1 GiB: 4,000 reads",
    "create": "10,000 files of 4 KiB: create, write, close",
    "stat": "10,000 files: stat",
    "list": "ls -l of 10,000 files",
    "open": "10,000 files of 4 KiB: open, read, close",
    "unlink": "10,000 files: unlink",
}
BULK = ("write", "read")
PEERS = {
    "glusterfs": ("GlusterFS", glusterfs.work),
    "moosefs": ("MooseFS", moosefs.work),
    "sshfs": ("sshfs", sshfs.work),
    "nfs": ("NFS", nfs.work),
    "disk": ("local disk", disk.work),
}
GOALS = dict.fromkeys(BULK, 0.8)
"""Beside the disk; everything is to be ahead of the others."""


def _row(what: str, peer: str, *, clients: int = 1, width: int = 1) -> Row:
    many = f", {clients} clients at once" if clients > 1 else ""
    striped = f", striped over {width} OSDs" if width > 1 else ""
    suffix = ("" if clients == 1 else f"-{clients}") + ("" if width == 1 else f"-striped{width}")
    label, work = PEERS[peer]
    return Row(
        name=f"files-{what}{suffix}-{peer}",
        title=TITLES[what] + many + striped,
        unit="MiB/s" if what in BULK else "ops/s" if what.startswith("random") else "files/s",
        better=Better.MORE,
        goal=GOALS.get(what) if peer == "disk" else 1.0,
        work="GiB" if what in BULK else "op" if what.startswith("random") else "file",
        ours=Side("XtreemFS", partial(ours.work, what=what, clients=clients, width=width)),
        peer=Side(label, partial(work, what=what, clients=clients), needs="" if peer in ("disk", "nfs") else peer),
        repetitions=2,
        note=NOTE,
    )


ROWS = [
    *(_row(what, peer, clients=clients) for clients in (1, 4) for what in TITLES for peer in PEERS),
    *(_row(what, "disk", clients=clients, width=width) for clients in (1, 4) for width in (2, 4) for what in BULK),
]
