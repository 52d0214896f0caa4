# SPDX-License-Identifier: BSD-3-Clause
"""Where the builder keeps what is expensive: outside the checkout, so that `make clean` and new clones keep it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xos.image.errors import DiskShort, ImageError
from xos.image.progress import Say, to_stderr

NEEDED_MB = 3000
WAIT_SECONDS = 20 * 60.0
"""How long a build waits for another one to leave the cache: the longest there is (roots and all packages) and some."""
POLL_SECONDS = 0.2
LIFE_SECONDS = 60.0
STALE_SECONDS = 24 * 3600.0


class CacheBusy(ImageError):
    """Raised when another build uses the cache, and did not leave it while this one waited."""

    code = "image.cache-busy"
    template = "another build uses {path}, and still did after {seconds} s: {holder}"
    hint = "Wait for it to end, or set XOS_CACHE to a directory of your own"


def cache_directory() -> Path:
    """``$XOS_CACHE``, or below the user's own cache."""
    if given := os.environ.get("XOS_CACHE"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xtreemos"


@contextmanager
def opened(directory: Path, say: Say = to_stderr, wait: float = WAIT_SECONDS) -> Iterator[Path]:
    """The cache for one build alone, after at most *wait* seconds; what an interrupted build left is removed.

    Raises `CacheBusy`, `DiskShort`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        _take(lock, directory, say, wait)
        shutil.rmtree(directory / "tmp", ignore_errors=True)
        (directory / "tmp").mkdir(exist_ok=True)
        _check_room(directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory / "tmp", ignore_errors=True)


def _take(lock: IO[str], directory: Path, say: Say, wait: float) -> None:
    """Lock the file and write into it who has it; while another has it tell the user who, every minute."""
    began = time.monotonic()
    told = -LIFE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            waited = time.monotonic() - began
            lock.seek(0)
            holder = lock.read(200).strip() or "unknown"
            if waited >= wait:
                raise CacheBusy(path=str(directory), seconds=int(wait), holder=holder) from error
            if waited - told >= LIFE_SECONDS:
                told = waited
                say(f"  waiting for another build to leave {directory} ({waited:.0f} s): {holder}")
            time.sleep(min(POLL_SECONDS, wait))
        else:
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, {Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}"[:200])
            lock.flush()
            return


def forget_old(directory: Path, keep: int) -> None:
    """Remove all but the *keep* entries used last (and those of the last day) from a directory of results."""
    entries = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in entries[keep:]:
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _check_room(directory: Path) -> None:
    free_mb = shutil.disk_usage(directory).free >> 20
    if free_mb < NEEDED_MB:
        raise DiskShort(path=str(directory), free_mb=free_mb, needed_mb=NEEDED_MB)
