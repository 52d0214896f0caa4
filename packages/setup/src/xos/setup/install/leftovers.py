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
from collections.abc import Iterator
from pathlib import Path

from xos.setup.install.errors import AlreadyRuns

LOCK = Path("/run/xos-install.lock")
PREFIX = "xos-install-"
"""How the directories begin where disks are mounted meanwhile."""
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child=KILL", "--")
"""Before a program: it and all that it starts end when we do, even by SIGKILL."""
BUSY_SECONDS = 10.0
"""How long what was killed may take to be gone."""
POLL_SECONDS = 0.2


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


def unmount_all() -> tuple[str, ...]:
    """Unmount what is left; the mount points. To be called while `alone`."""
    points = left_mounted(Path("/proc/self/mountinfo").read_text())
    end = time.monotonic() + BUSY_SECONDS
    for point in points:
        while subprocess.run(["umount", point], capture_output=True).returncode != 0:
            if time.monotonic() > end:
                subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
                break
            time.sleep(POLL_SECONDS)
    return tuple(points)


def _plain(word: str) -> str:
    """A path as mountinfo has it: blanks and the like are octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
