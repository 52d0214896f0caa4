# SPDX-License-Identifier: BSD-3-Clause
"""A system without a kernel of its own (a tar archive, a directory) as a container of systemd-nspawn.

Everything is in mount, process and network name spaces that end with the command; what the system writes is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xos.image.cgroups import mount_point, remove
from xos.image.errors import NotRoot
from xos.image.processes import need
from xos.image.sandbox import private

INSIDE = Path(__file__).with_name("inside")


@contextmanager
def container(image: Path, credentials: tuple[str, ...]) -> Iterator[list[str]]:
    """The command that boots it, on whose terminal its console is. Raises `NotRoot`, `ToolMissing`, `NoCgroups`."""
    if os.geteuid() != 0:
        raise NotRoot
    for program in ("systemd-nspawn", "unshare", "tar", "zstd"):
        need(program)
    group = mount_point() / f"xos-boot-{os.getpid()}"
    try:
        given = [f"--set-credential={text.replace('=', ':', 1)}" for text in credentials]
        yield [*private("net"), "bash", str(INSIDE / "run-container"), str(image), group.name, *given]
    finally:
        remove(group)
