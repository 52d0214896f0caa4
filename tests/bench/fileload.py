# SPDX-License-Identifier: BSD-3-Clause
"""Works on files below a directory: ``fileload DIR WHAT COUNT CLIENTS``; prints the seconds that it took as JSON.

``write`` and ``read`` are of COUNT MiB in pieces of a MiB; ``random-write`` and ``random-read`` of COUNT pieces of
4 KiB of that file; the others of COUNT files of 4 KiB. Each client is a process with files of its own. ``write`` comes
before the others of large files, ``create`` before those of small ones.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

MIB = 1 << 20
SMALL = b"s" * 4096


def write(place: Path, count: int) -> None:
    """Until all is on disk."""
    piece = os.urandom(MIB)
    fd = os.open(place / "big", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for _ in range(count):
        os.write(fd, piece)
    os.fsync(fd)
    _forget(fd)
    os.close(fd)


def read(place: Path, count: int) -> None:
    """All of it."""
    fd = os.open(place / "big", os.O_RDONLY)
    got = 0
    while piece := os.read(fd, MIB):
        got += len(piece)
    _forget(fd)
    os.close(fd)
    if got != count * MIB:
        raise SystemExit(f"read {got} bytes of {count * MIB}")


def random_write(place: Path, count: int) -> None:
    """Until all is on disk."""
    fd = os.open(place / "big", os.O_WRONLY)
    for offset in _places(fd, count):
        os.pwrite(fd, SMALL, offset)
    os.fsync(fd)
    _forget(fd)
    os.close(fd)


def random_read(place: Path, count: int) -> None:
    """One after another."""
    fd = os.open(place / "big", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for offset in _places(fd, count):
        if len(os.pread(fd, 4096, offset)) != 4096:
            raise SystemExit(f"less than 4 KiB at {offset}")
    _forget(fd)
    os.close(fd)


def _places(fd: int, count: int) -> list[int]:
    blocks = os.fstat(fd).st_size // 4096
    return [4096 * block for block in random.Random(count).sample(range(blocks), min(count, blocks))]


def _forget(fd: int) -> None:
    """What is read afterwards comes from the file system, not from this machine's page cache."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def create(place: Path, count: int) -> None:
    """Each written and closed."""
    for number in range(count):
        fd = os.open(place / f"f{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, SMALL)
        os.close(fd)


def stat(place: Path, count: int) -> None:
    """One after another."""
    for number in range(count):
        (place / f"f{number}").stat()


def list_(place: Path, count: int) -> None:
    """As ``ls -l`` does."""
    found = sum(entry.stat().st_size == len(SMALL) for entry in os.scandir(place))
    if found != count:
        raise SystemExit(f"found {found} files of {count}")


def open_(place: Path, count: int) -> None:
    """Each opened, read and closed."""
    for number in range(count):
        fd = os.open(place / f"f{number}", os.O_RDONLY)
        if os.read(fd, 8192) != SMALL:
            raise SystemExit(f"f{number} is not what was written")
        os.close(fd)


def unlink(place: Path, count: int) -> None:
    """One after another."""
    for number in range(count):
        (place / f"f{number}").unlink()


WORK = {
    "write": write,
    "read": read,
    "random-write": random_write,
    "random-read": random_read,
    "create": create,
    "stat": stat,
    "list": list_,
    "open": open_,
    "unlink": unlink,
}
CACHES = Path("/proc/sys/vm/drop_caches")
NAMES = "2"
"""The kernel's caches of names and inodes, and not of pages: the servers, on the same machine, keep theirs."""


def main() -> int:
    """Do it in as many processes as there are clients."""
    root, what, count, clients = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    places = [root / f"client-{number}" for number in range(clients)]
    for place in places:
        place.mkdir(exist_ok=True)
    CACHES.write_text(NAMES)
    began, children = time.monotonic(), []
    for place in places:
        child = os.fork()
        if child == 0:
            WORK[what](place, count)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
    print(json.dumps({"seconds": time.monotonic() - began}))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
