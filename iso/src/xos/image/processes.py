# SPDX-License-Identifier: BSD-3-Clause
"""Programs that a build runs: their output goes to a log, and none outlives the build."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xos.image.errors import DiskFull, StepFailed, ToolMissing
from xos.image.progress import tail

TAIL_LINES = 15
LEAST_FREE = 1 << 20
"""A disk with fewer bytes is full."""
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""The kernel ends the program when this process is killed and cannot."""
FULL = ("No space left on device", "Disk quota exceeded", "More space needed on the")
"""What programs (the last: rpm) say when the disk is full."""
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "git": "git",
    "systemd-nspawn": "systemd-container",
    "qemu-img": "qemu-utils",
    "nsenter": "util-linux",
    "ip": "iproute2",
}
"""What to install for a program that is missing."""


def need(program: str) -> None:
    """Raises `ToolMissing` unless *program* is installed on this machine."""
    if shutil.which(program) is None:
        raise ToolMissing(program=program, package=PACKAGES.get(program, program))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The few variables that build steps see; the caller's locale, time zone and settings do not reach a package."""
    kept = {name: value for name in ("http_proxy", "https_proxy", "no_proxy") if (value := os.environ.get(name))}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        **kept,
        **(extra or {}),
    }


async def together(works: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do all side by side; the first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def run(
    argv: Sequence[str | Path],
    *,
    step: str,
    log: Path,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    """Run a program and return what it wrote to standard output; standard error is appended to *log*.

    When cancelled the program is killed and waited for. Raises `StepFailed`, `DiskFull`.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *DIE_WITH_US,
            *(str(word) for word in argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            out, _ = await process.communicate(stdin)
        except BaseException:
            if process.returncode is None:
                process.kill()
            await asyncio.shield(process.wait())
            raise
    if process.returncode != 0:
        last = tail(log, TAIL_LINES)
        # The log may be on that disk: then nothing of it is in there.
        if any(word in last for word in FULL) or shutil.disk_usage(log.parent).free < LEAST_FREE:
            raise DiskFull(step=step, tail=last, log=str(log))
        raise StepFailed(step=step, status=process.returncode, tail=last, log=str(log))
    return out
