# SPDX-License-Identifier: BSD-3-Clause
"""Control groups (version 2) in which containers run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from xos.image.errors import ImageError

END_SECONDS = 20.0
POLL_SECONDS = 0.2


class NoCgroups(ImageError):
    """Raised when this machine cannot run containers of systemd."""

    code = "image.no-cgroups"
    template = "this machine has no control groups of version 2"
    hint = "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1"


def mount_point() -> Path:
    """Where this machine has the one hierarchy of control groups. Raises `NoCgroups`."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise NoCgroups


def remove(group: Path) -> None:
    """Remove a control group and those below, once the processes that were killed are gone."""
    end = time.monotonic() + END_SECONDS
    while group.exists() and time.monotonic() < end:
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                time.sleep(POLL_SECONDS)
