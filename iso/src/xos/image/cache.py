# SPDX-License-Identifier: BSD-3-Clause
"""Where the builder keeps what is expensive: outside the checkout, so that `make clean` and new clones keep it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xos.image.errors import DiskShort, ImageError

NEEDED_MB = 3000
STALE_SECONDS = 24 * 3600.0


class CacheBusy(ImageError):
    """Raised when another build uses the cache."""

    code = "image.cache-busy"
    template = "another build uses {path}"
    hint = "Wait for it to end, or set XOS_CACHE to a directory of your own"


def cache_directory() -> Path:
    """``$XOS_CACHE``, or below the user's own cache."""
    if given := os.environ.get("XOS_CACHE"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xtreemos"


@contextmanager
def opened(directory: Path) -> Iterator[Path]:
    """The cache for one build alone; what an interrupted one left is removed. Raises `CacheBusy`, `DiskShort`."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CacheBusy(path=str(directory)) from error
        shutil.rmtree(directory / "tmp", ignore_errors=True)
        (directory / "tmp").mkdir()
        _check_room(directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory / "tmp", ignore_errors=True)


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
