# SPDX-License-Identifier: BSD-3-Clause
"""One installation at a time, and an end to what one that was killed has left mounted.

Programs of an installation end with it (`ENDS_WITH_US`), so that nothing writes to a disk that the next one takes.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from xos.setup.install.errors import AlreadyRuns

LOCK = Path("/run/xos-install.lock")
PREFIX = "xos-install-"
"""How the directories begin where disks are mounted meanwhile."""
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child=KILL", "--")
"""Before a program: it and all that it starts end when we do, even by SIGKILL."""
BUSY_SECONDS = 300.0
"""How long what was killed may take to be gone: on a slow disk until what it wrote last is there."""
TOLD_SECONDS = 15.0
POLL_SECONDS = 0.2

Say = Callable[[str], None]


@contextlib.contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """No other installation begins meanwhile. Raises `AlreadyRuns`."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRuns from error
        yield


def left_mounted(mountinfo: str) -> list[str]:
    """Mount points of an installation in what /proc/self/mountinfo says, innermost first."""
    points = [_plain(line.split(" ")[4]) for line in mountinfo.splitlines()]
    ours = re.compile(rf"/(tmp|var/tmp)/{PREFIX}[^/]+(/|$)")
    return [point for point in reversed(points) if ours.match(point)]


def unmount_all(say: Say) -> tuple[str, ...]:
    """Unmount what is left; the mount points. To be called while `alone`.

    Waits for what was killed to end. If it does not, the disk stays in use, which `disks.claim` tells.
    """
    points = left_mounted(Path("/proc/self/mountinfo").read_text())
    end = time.monotonic() + BUSY_SECONDS
    for point in points:
        _unmount(point, end, say)
    return tuple(points)


def _unmount(point: str, end: float, say: Say) -> None:
    told = time.monotonic()
    while subprocess.run(["umount", point], capture_output=True).returncode != 0:
        now = time.monotonic()
        if now > end:
            subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
            return
        if now - told > TOLD_SECONDS:
            told = now
            say(f"waiting for the installation before, which was killed, to end ({point} is in use)")
        time.sleep(POLL_SECONDS)


def _plain(word: str) -> str:
    """A path as mountinfo has it: blanks and the like are octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
