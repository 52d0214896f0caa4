# SPDX-License-Identifier: BSD-3-Clause
"""Real `xos-agent` processes and the C client, with the sample commands installed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import sample_commands
from support.daemons import eventually

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "packages/dixi/command/xos-command.c"
PATIENCE = 60.0
"""Seconds for what takes a moment: a busy machine may need many to start a Python program."""


def build_client(directory: Path, *more: str) -> Path:
    """Compile ``xos-command`` (with *more* flags), falling back to this Python, with a link for each command."""
    binary = directory / "xos-command"
    flags = ["-std=c17", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", f'-DXOS_PYTHON="{sys.executable}"', *more]
    subprocess.run(["cc", *flags, "-o", binary, CLIENT], check=True)
    for name in (*sample_commands.ALL, "xos-agent", "xconsole", "xt-absent", "xt-fresh"):
        (directory / name).symlink_to(binary)
    return binary


class Desk:
    """A user's place: a home, an environment, commands on the path."""

    def __init__(self, root: Path, client: Path) -> None:
        self.home = root / "home"
        self.home.mkdir(mode=0o700)
        self.cwd = root / "work place"
        self.cwd.mkdir()
        self.installed = root / "installed"
        sample_commands.install(self.installed)
        self.bin = client.parent
        self.env = {
            "PATH": f"{client.parent}:/usr/bin:/bin",
            "HOME": str(root),
            "XOS_HOME": str(self.home),
            "PYTHONPATH": f"{self.installed}:{ROOT / 'tests'}",
            "LANG": "C.UTF-8",
        }

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command through the C client."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("cwd", self.cwd)
        options.setdefault("env", self.env)
        return subprocess.Popen([self.bin / argv[0], *argv[1:]], **options)

    def run(self, *argv: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command through the C client to its end."""
        with self.start(*argv, stdin=subprocess.PIPE, **options) as process:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def show(self, *words: str, **options: Any) -> dict[str, Any]:
        """What ``xt-show`` tells."""
        shown: dict[str, Any] = json.loads(self.run("xt-show", *words, **options).stdout)
        return shown

    @property
    def agent(self) -> dict[str, Any]:
        """What ``xos-agent status`` tells."""
        status: dict[str, Any] = json.loads(self.run("xos-agent", "status", "--json").stdout)
        return status

    @contextlib.contextmanager
    def with_agent(self, *, by_python: bool = False) -> Iterator[int]:
        """With an agent in the background; its process id. *by_python*: started without the C client."""
        if by_python:
            command = [sys.executable, "-P", "-m", "xos.dixi", "xos-agent", "start"]
            subprocess.run(command, check=True, env=self.env, timeout=PATIENCE)
        else:
            started = self.run("xos-agent", "start")
            assert started.returncode == 0, started.stderr
        pid = self.agent["pid"]
        try:
            yield pid
        finally:
            kill(pid)


def kill(pid: int) -> None:
    """``kill -9`` and wait until the process is gone (it is not our child)."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for _ in eventually():
        if not alive(pid):
            return


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
