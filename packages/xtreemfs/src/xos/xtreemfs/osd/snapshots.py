# SPDX-License-Identifier: BSD-3-Clause
"""Which snapshots there are of each volume, as MRCs have told this OSD: on disk before it says that it knows.

    snapshots/VOLUME     msgpack of `Known`

A share is written to by capabilities that carry a number (`Capability.snapshot`), and remembers the last one. Before a
later number changes it, what it is then is kept as a share of its own, FILEID-NUMBER: that is what snapshots between
the two show, from the number after the one that it was written by up to its own. Where nothing was changed since, a
snapshot shows the share itself.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

import msgspec

from xos.common.files import sync_directory, write_atomically
from xos.xtreemfs.errors import BadFileId

_VOLUME = re.compile(r"[a-z0-9]{1,32}")


class Known(msgspec.Struct, array_like=True, frozen=True):
    """Of one volume."""

    number: int = 0
    """`Volume.number` as it was told last; nobody writes by an older one."""
    there: tuple[int, ...] = ()
    """Numbers of the snapshots that there are."""


class Snapshots:
    """Of all volumes. Thread-safe."""

    def __init__(self, root: Path) -> None:
        """Raises `OSError`; what cannot be read is an error, never no snapshot (`msgspec.DecodeError`)."""
        self._place = root / "snapshots"
        self._lock = threading.Lock()
        if not self._place.is_dir():
            self._place.mkdir(mode=0o700)
            sync_directory(root)
        decode = msgspec.msgpack.Decoder(Known).decode
        self._known = {
            path.name: decode(path.read_bytes()) for path in self._place.iterdir() if _VOLUME.fullmatch(path.name)
        }

    def known(self, volume: str) -> Known:
        """What was told of a volume."""
        return self._known.get(volume, _NONE)

    def tell(self, volume: str, known: Known) -> bool:
        """Know this from now on, durably, unless what is known is as new; whether it was news.

        Raises `BadFileId`, `StorageFull`, `OSError`.
        """
        if not _VOLUME.fullmatch(volume):
            raise BadFileId(file_id=volume[:80])
        with self._lock:
            if known.number <= self.known(volume).number:
                return False
            write_atomically(self._place / volume, msgspec.msgpack.encode(known))
            self._known[volume] = known
            return True

    def wanted(self, file_id: str, after: int, upto: int) -> bool:
        """Whether a snapshot shows what a share was between two numbers. One that was not heard of yet may."""
        known = self.known(volume_of(file_id))
        return known.number < upto or any(after < number <= upto for number in known.there)


_NONE = Known()


def volume_of(file_id: str) -> str:
    """The volume's id in that of a file."""
    return file_id.partition("-")[0]


def kept_as(file_id: str, number: int) -> str:
    """The id of what is kept of a file for snapshots up to *number*."""
    return f"{file_id}-{number:x}"


def split(share_id: str) -> tuple[str, int]:
    """The file, and up to which snapshot this is kept of it; 0: this is the file itself."""
    *file, number = share_id.split("-")
    if len(file) < 2:
        return share_id, 0
    try:
        return "-".join(file), int(number, 16)
    except ValueError:
        return share_id, 0
