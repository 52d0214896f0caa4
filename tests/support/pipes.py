# SPDX-License-Identifier: BSD-3-Clause
"""Named pipes between a test and processes of any account: waiting without polling."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

SECONDS = 60.0


class Pipe:
    """Open at both ends here, so that the other side never waits for us to come, nor ends when we go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._unread = ""

    def lines(self, count: int, *, seconds: float = SECONDS) -> list[str]:
        """The next *count* lines that others write. Raises `TimeoutError`."""
        until = time.monotonic() + seconds
        found: list[str] = []
        while len(found) < count:
            if "\n" not in self._unread:
                if not select.select([self._fd], [], [], until - time.monotonic())[0]:
                    raise TimeoutError(f"{len(found)} of {count} lines came on {self.path.name}: {found}")
                self._unread += os.read(self._fd, 65536).decode()
                continue
            line, _, self._unread = self._unread.partition("\n")
            found.append(line)
        return found

    def write(self, text: str) -> None:
        """For others to read; at most what a pipe holds."""
        os.write(self._fd, text.encode())

    def close(self) -> None:
        """Close and remove it."""
        os.close(self._fd)
        self.path.unlink()
