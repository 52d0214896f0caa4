# SPDX-License-Identifier: BSD-3-Clause
"""Processes that are killed (SIGKILL) at their Nth step, for every N: a step is a system call that changes something.

``python -m support.crashing shim|node DIRECTORY`` is a small server: it imports once, then forks one victim per line on
its standard input (a number, 0 for none; arguments), and answers each with a line. A fork takes a millisecond where a
new Python takes half a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

STEPS = ("open", "mkdir", "rename", "replace", "fsync", "write", "pwrite", "chmod", "fchmod", "fork", "unlink", "chown")


def crash_at(step: int) -> None:
    """From now on, count this process's steps, and kill it with SIGKILL just before number *step* (0: never)."""
    owner = os.getpid()
    done = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def crashing(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            if os.getpid() == owner:
                done += 1
                if done == step:
                    os.kill(owner, signal.SIGKILL)
            return call(*args, **kwargs)

        return crashing

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


class Victims:
    """The test's end: ``async with Victims("shim", directory)``."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    async def __aenter__(self) -> Self:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "support.crashing", self._kind,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        return self

    async def run(self, step: int, **arguments: Any) -> list[str]:
        """Run one victim; what it said, and last ``died`` or ``ended``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([step, arguments]).encode() + b"\n")
        said = []
        while True:
            line = (await self._process.stdout.readline()).decode().strip()
            said.append(line)
            if line in ("died", "ended", ""):
                return said

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


def _serve(run: Callable[..., None]) -> None:
    for line in sys.stdin:
        step, arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(step, **arguments)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print("died" if os.WIFSIGNALED(status) else "ended", flush=True)


def _run_shim(step: int, task: dict[str, Any]) -> None:
    from xos.aem.execution import shim

    signal.pthread_sigmask(signal.SIG_SETMASK, shim.BLOCKED)
    surroundings = shim.Surroundings(str(Path(task["directory"]).parent))
    crash_at(step)
    shim.run(task, surroundings)  # type: ignore[arg-type]


def _run_node(step: int, **arguments: Any) -> None:
    from support.unit_host import live

    live(step, crash_at, **arguments)


def main() -> None:
    """Serve; the import of what victims need comes first, so that forks have it."""
    if sys.argv[1] == "shim":
        import xos.aem.execution.shim  # noqa: F401

        _serve(_run_shim)
    else:
        import support.unit_host  # noqa: F401

        _serve(_run_node)


if __name__ == "__main__":
    main()
