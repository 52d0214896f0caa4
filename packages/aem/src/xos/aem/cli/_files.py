# SPDX-License-Identifier: BSD-3-Clause
"""Reading the user's files: regular ones, bounded, and never on the event loop when they are large."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from xos.aem.cli.errors import CannotRead
from xos.dixi.terminal import Input

NOT_REGULAR = "A pipe can be given as standard input: -f - or --input -. Directories do not travel."
AT_ONCE = 65_536
"""Bytes that are read on the event loop; more in a thread."""


async def read(path: Path, limit: int, advice: str = "") -> tuple[bytes, bool]:
    """The content, and whether the file is executable. Raises `CannotRead`, also for more than *limit* bytes."""
    try:
        # Not blocking: opening a FIFO would otherwise wait for its writer, and with it the whole agent.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise CannotRead(file=str(path), detail=_why(error), advice="") from error
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise CannotRead(file=str(path), detail="not a regular file", advice=NOT_REGULAR)
        if about.st_size > limit:
            raise _too_large(path, limit, advice)
        if about.st_size <= AT_ONCE:
            content = _all(fd, limit)
        else:
            content = await asyncio.to_thread(_all, fd, limit)
    except OSError as error:
        raise CannotRead(file=str(path), detail=_why(error), advice="") from error
    finally:
        os.close(fd)
    if len(content) > limit:
        raise _too_large(path, limit, advice)
    return content, bool(about.st_mode & 0o111)


async def read_input(stdin: Input, limit: int, advice: str = "") -> bytes:
    """Standard input to its end. Raises `CannotRead` for more than *limit* bytes."""
    content = bytearray()
    while part := await stdin.read(AT_ONCE):
        content += part
        if len(content) > limit:
            raise _too_large("standard input", limit, advice)
    return bytes(content)


def _all(fd: int, limit: int) -> bytes:
    content = bytearray()
    while len(content) <= limit and (part := os.read(fd, limit + 1 - len(content))):
        content += part
    return bytes(content)


def _too_large(name: Path | str, limit: int, advice: str) -> CannotRead:
    return CannotRead(file=str(name), detail=f"it is larger than {limit} bytes", advice=advice)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
