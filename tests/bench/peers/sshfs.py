# SPDX-License-Identifier: BSD-3-Clause
"""Peer of the rows about files: sshfs, through an sshd of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.enclosure import ADDRESS, Enclosure
from bench.model import Measure
from bench.peers.place import do, fresh, need
from bench.resources import Resources

PORT = 2222
SSHD = "/usr/sbin/sshd"


def work(resources: Resources, *, what: str, clients: int) -> Measure:
    """Mounted with its defaults."""
    need("sshfs", "sshfs", "ssh-keygen", SSHD)
    place = resources.build / "sshfs"
    box = resources.get("sshfs", lambda: _started(place), what="sshfs")
    return files.measure(resources, box, place / "mnt", what=what, clients=clients)


@contextlib.contextmanager
def _started(place: Path) -> Iterator[Enclosure]:
    with fresh("sshfs", place) as box:
        for name in ("disk", "mnt"):
            (place / name).mkdir()
        for key in ("host", "user"):
            do(box, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{place}/{key}"])
        (place / "sshd_config").write_text(
            f"Port {PORT}\nListenAddress {ADDRESS}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
            "Subsystem sftp internal-sftp\n"
        )
        do(box, ["mkdir", "-p", "/run/sshd"])
        do(box, [SSHD, "-f", f"{place}/sshd_config"])
        ssh = f"ssh -F none -p {PORT} -i {place}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        do(box, ["sshfs", "-o", f"ssh_command={ssh}", f"root@{ADDRESS}:{place}/disk", f"{place}/mnt"])
        yield box
