# SPDX-License-Identifier: BSD-3-Clause
"""A file like another one: its blocks are shared where the file system can (Btrfs, XFS), copied where not (ext4)."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from xos.common.files import sync_directory

FICLONE = 0x40049409
"""ioctl of ``linux/fs.h``."""
DRAFT = ".draft"
PIECE = 64 << 20
"""Bytes copied by one call."""
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})


def cloned(source: int, target: Path, head: bytes) -> None:
    """Make *target* like the open file *source* but for its first bytes, *head*: on disk, or not there at all.

    Raises `OSError`.
    """
    draft = target.with_name(target.name + DRAFT)
    made = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _fill(source, made)
        if head:
            os.pwrite(made, head, 0)
        os.fsync(made)
        draft.rename(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(made)
    sync_directory(target.parent)


def _fill(source: int, made: int) -> None:
    try:
        fcntl.ioctl(made, FICLONE, source)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        _copy(source, made)


def _copy(source: int, made: int) -> None:
    """What is no hole."""
    size = os.fstat(source).st_size
    os.ftruncate(made, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # nothing but a hole from here on
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        while at < end:
            done = os.copy_file_range(source, made, min(PIECE, end - at), at, at)
            if not done:
                raise OSError(errno.EIO, "the share became shorter while it was copied")
            at += done
