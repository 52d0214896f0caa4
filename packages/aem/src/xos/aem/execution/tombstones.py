# SPDX-License-Identifier: BSD-3-Clause
"""Units that must never start here, although nothing else is known of them: cleaned away, or killed before they came.

One line each (``UNIT_ID EXPIRES WHY``) in a file that is only added to, until a start writes it anew without the
expired. A signed order can be shown again for as long as its user's certificate is valid, so that is how long a cleaned
unit's stone stands.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from xos.common.files import write_atomically

CLEANED = "cleaned"
KILLED = "killed"
MARGIN_SECONDS = 86_400
"""Stones stand for so much longer, should the clock be set back."""


class Stone(msgspec.Struct, frozen=True):
    """One unit that must not start."""

    unit_id: str
    expires: int
    """Unix seconds."""
    why: str
    """`CLEANED` or `KILLED`."""


class Tombstones:
    """The stones of one node. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stones = self._load()

    def _load(self) -> dict[str, Stone]:
        try:
            lines = self._path.read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return {}
        read = (_parse(line) for line in lines)
        now = time.time()
        stones = {stone.unit_id: stone for stone in read if stone is not None and stone.expires > now}
        if len(stones) < len(lines):
            write_atomically(self._path, "".join(map(_line, stones.values())).encode())
        return stones

    def why(self, unit_id: str) -> str:
        """Why the unit must not start; empty when it may."""
        stone = self._stones.get(unit_id)
        return "" if stone is None else stone.why

    def remember(self, stone: Stone) -> None:
        """From now on the unit must not start; `lay` makes it durable."""
        self._stones[stone.unit_id] = stone

    def lay(self, stones: Iterable[Stone]) -> None:
        """Write stones down; they are on disk when this returns. Raises `OSError`."""
        text = "".join(map(_line, stones)).encode()
        with self._lock:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(fd).st_size
                try:
                    if os.write(fd, text) < len(text):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, before)
                    raise
            finally:
                os.close(fd)


def _line(stone: Stone) -> str:
    return f"{stone.unit_id} {stone.expires} {stone.why}\n"


def _parse(line: str) -> Stone | None:
    """None for a line cut short by a crash: `lay` never returned."""
    words = line.split(" ")
    if len(words) != 3 or not words[1].isdigit() or not words[2].endswith("\n"):
        return None
    return Stone(words[0], int(words[1]), words[2].strip())
