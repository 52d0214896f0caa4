# SPDX-License-Identifier: BSD-3-Clause
"""Peer of the rows about files: the kernel's NFS, server and client, where the host has both."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.enclosure import ADDRESS, Enclosure
from bench.model import CannotRun, Measure
from bench.peers.place import do, fresh, need
from bench.resources import Resources


def work(resources: Resources, *, what: str, clients: int) -> Measure:
    """NFS 4.2 with its defaults; a name space of its own has a server of its own."""
    if modprobe := shutil.which("modprobe"):
        subprocess.run([modprobe, "--all", "nfsd", "nfs"], capture_output=True, check=False)
    there = Path("/proc/filesystems").read_text().split()
    if not {"nfsd", "nfs4"} <= set(there):
        raise CannotRun("this kernel has no NFS")
    need("nfs", "rpc.nfsd", "exportfs", "mount.nfs4")
    place = resources.build / "nfs"
    box = resources.get("nfs", lambda: _started(place), what="NFS")
    return files.measure(resources, box, place / "mnt", what=what, clients=clients)


@contextlib.contextmanager
def _started(place: Path) -> Iterator[Enclosure]:
    with fresh("nfs", place) as box:
        for name in ("disk", "mnt"):
            (place / name).mkdir()
        do(box, ["mount", "-t", "tmpfs", "nfs", "/var/lib/nfs"])
        do(box, ["mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd"])
        do(box, ["exportfs", "-o", "rw,no_root_squash,no_subtree_check,fsid=0", f"{ADDRESS}:{place}/disk"])
        do(box, ["rpc.mountd", "--no-nfs-version", "3"])
        do(box, ["rpc.nfsd", "--no-nfs-version", "3", "--host", ADDRESS])
        do(box, ["mount", "-t", "nfs4", f"{ADDRESS}:/", f"{place}/mnt"])
        yield box
