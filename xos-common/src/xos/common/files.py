# SPDX-License-Identifier: BSD-3-Clause
"""Files that are either whole or not there, also after a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from xos.common.errors import StorageFull

__all__ = ["StorageFull", "sync_directory", "write_atomically"]


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put *data* at *path*: readers see the old content or the new, never a part, and the new survives a crash.

    The mode is exact (no umask). Raises `StorageFull` when the disk or quota is full, else `OSError`; in both cases
    the old file is untouched. Blocks for two fsyncs: call it from a thread where that matters.
    """
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        _write_new(draft, data, mode)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(path=str(path)) from error
        raise
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make the names in directory *path* (created, renamed, removed) survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
