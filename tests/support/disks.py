# SPDX-License-Identifier: BSD-3-Clause
"""Disks of OSDs that fail: small file systems that tests fill, make read-only, damage, and set back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.daemons import Node

BLOCK = 64 << 10
"""Bytes that one checksum is of."""


class Disk:
    """The file system of one OSD's data, of a few MiB. The OSD must not run yet."""

    def __init__(self, node: Node, mebibytes: int = 16) -> None:
        self.node, self.place = node, node.root / "data" / "OSD"
        self.place.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "osd", str(self.place))

    @property
    def store(self) -> str:
        """Its id."""
        return (self.place / "store").read_text().strip()

    def remove(self) -> None:
        _run("umount", "-l", str(self.place))

    def fill(self) -> None:
        """Somebody else takes all the room there is."""
        with (self.place / "others").open("wb", buffering=0) as file:
            piece = 1 << 20
            while piece:
                try:
                    file.write(bytes(piece))
                except OSError:
                    piece //= 2

    def make_room(self) -> None:
        (self.place / "others").unlink()

    def set(self, how: str) -> None:
        """``ro`` or ``rw``; the OSD must not run."""
        _run("mount", "-o", f"remount,{how}", str(self.place))

    def share(self, inode: int) -> tuple[Path, Path]:
        """The bytes of a file and their sums."""
        (data,) = self.place.glob(f"shares/*/*-{inode:x}.data")
        return data, data.with_suffix(".sums")

    def damage(self, inode: int, *, sums: bool = False) -> None:
        """Flip a bit of a file's first block, or of its sum."""
        path = self.share(inode)[sums]
        at = 128 if sums else 100
        with path.open("r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def copy(self) -> Path:
        """As it is now, for `set_back`."""
        kept = Path(tempfile.mkdtemp(prefix="xos-disk-"))
        shutil.copytree(self.place, kept / "was")
        return kept

    def set_back(self, kept: Path) -> None:
        """To an older state of itself; the OSD must not run. *kept* is gone then."""
        self.empty()
        shutil.copytree(kept / "was", self.place, dirs_exist_ok=True)
        shutil.rmtree(kept)

    def empty(self) -> None:
        """As if it were another one; the OSD must not run."""
        for entry in os.scandir(self.place):
            if entry.is_dir():
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=30)
