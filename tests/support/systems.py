# SPDX-License-Identifier: BSD-3-Clause
"""The grid of real systems for tests: machines that commands are run on, files put on, and states waited for.

`tests/system/README.md` shows how to use it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xos.image.errors import ImageError
from xos.image.grid.plan import layout
from xos.image.grid.systems import CommandFailed, Systems

TOP = Path(__file__).parents[2]
POLL_SECONDS = 0.1
UP_SECONDS = 1200.0
"""With the root of its containers, which is made once for a list of packages."""
ALSO = ("acl", "attr", "autofs", "fio", "gcc", "git", "libc6-dev", "make", "rsync", "sqlite3")
"""Packages of Debian that tests run on the machines."""


class NotInTime(AssertionError):
    """Raised when something that was waited for did not come."""


class Machine:
    """A machine of the grid: a container that systemd runs."""

    def __init__(self, systems: Systems, name: str, address: str, role: str) -> None:
        self.name, self.address = name, address
        self.daemon = f"dixid@{role}.service"
        self.target = f"xos-{role}.target"
        self._systems = systems

    def run(
        self,
        command: str | Sequence[str],
        *,
        as_user: str = "root",
        stdin: str = "",
        seconds: float = 60.0,
        check: bool = True,
    ) -> str:
        """What a command prints on standard output; a string is a shell's, a list is run as it is.

        As another user than root it runs in that user's home directory, through PAM's ``runuser``. Raises
        `CommandFailed` (its status, and what it said on standard error) unless *check* is false.
        """
        words = ["bash", "-c", f"set -euo pipefail; {command}"] if isinstance(command, str) else list(command)
        if as_user != "root":
            home = self._systems.run(self.name, ["getent", "passwd", as_user]).split(":")[5]
            words = ["runuser", "-u", as_user, "--", "env", f"--chdir={home}", f"HOME={home}", *words]
        return self._systems.run(self.name, words, stdin=stdin, seconds=seconds, check=check)

    def fails(
        self, command: str | Sequence[str], *, as_user: str = "root", stdin: str = "", seconds: float = 60.0
    ) -> CommandFailed:
        """The failure of a command that has to fail: its ``data`` holds ``status`` and ``detail``."""
        try:
            said = self.run(command, as_user=as_user, stdin=stdin, seconds=seconds)
        except CommandFailed as error:
            return error
        raise AssertionError(f"{self.name}: {command!r} did not fail, it said: {said}")

    def put(self, path: str, content: str, *, owner: str = "root", mode: int = 0o644) -> None:
        """Write a file; its directory is made if it is not there."""
        script = 'mkdir -p "$(dirname "$1")"; cat >"$1"; chown "$2" "$1"; chmod "$3" "$1"'
        self.run(["sh", "-euc", script, "put", path, owner, f"{mode:o}"], stdin=content)

    def get(self, path: str) -> str:
        """Read a file."""
        return self.run(["cat", path])

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as ``systemctl show`` tells them."""
        told = self.run(["systemctl", "show", f"--property={','.join(properties)}", name])
        return dict(line.split("=", 1) for line in told.splitlines())

    def state(self, unit: str) -> str:
        """``active``, ``inactive``, ``failed``, …"""
        return self.unit(unit, "ActiveState")["ActiveState"]

    def pid(self, unit: str) -> int:
        """The main process of a service; 0 if it does not run."""
        return int(self.unit(unit, "MainPID")["MainPID"])

    def kill(self, unit: str, signal: str) -> int:
        """Send a signal, such as ``KILL``, to the main process of a service that runs; its number."""
        pid = self.pid(unit)
        assert pid, f"{self.name}: {unit} does not run\n{self.journal(unit)}"
        self.run(["kill", f"-{signal}", str(pid)])
        return pid

    def wait_for_another(self, unit: str, pid: int, seconds: float = 30.0) -> None:
        """Wait until a service is ready in another process than *pid*."""
        self.wait_for(f"{unit} runs again", lambda: self.pid(unit) not in (0, pid), seconds)
        self.wait_for(f"{unit} is ready", lambda: self.state(unit) == "active", seconds)

    def altered(self) -> str:
        """Files of our packages that are not as they were packaged, but for configuration, as ``rpm -V`` tells."""
        told = self.run(["rpm", "-Va", "xos*", "python3-xos*"], check=False)
        return "".join(line for line in told.splitlines(keepends=True) if line[9:12] != "  c")

    def journal(self, unit: str = "", lines: int = 30) -> str:
        """The end of the journal, or of a unit's part of it."""
        chosen = ["--unit", unit] if unit else []
        return self.run(["journalctl", "--no-pager", "--quiet", f"--lines={lines}", *chosen], check=False)

    def wait_for(self, what: str, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Ask *ready* again and again until it says yes. Raises `NotInTime` with *what* and the journal's end."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise NotInTime(f"{self.name}: not within {seconds:.0f} s: {what}\n{self.journal()}")
            time.sleep(POLL_SECONDS)


class Grid:
    """A core and two resource nodes; alice, a member of VO demo, has a certificate and an account on the core."""

    def __init__(self, state: Path, repo: Path) -> None:
        self.state, self.repo = state, repo
        """Where the containers are, and the repository that they see as ``/repo``."""
        self.sample = ""
        """What the sample job printed."""
        self.systems = Systems(state)
        self.machines = tuple(Machine(self.systems, node.name, node.address, node.role) for node in layout())
        self.core, self.node1, self.node2 = self.machines

    def up(self) -> None:
        """Boot it from the packages of the repository. Raises AssertionError with what the builder said."""
        command = [sys.executable, "-m", "xos.image.cli", "grid", "up", "--state", str(self.state)]
        command += ["--repo", str(self.repo), "--job", str(TOP / "docs/examples/hello.jsdl")]
        command += ["--also", ",".join(ALSO)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=UP_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        self.sample = done.stdout

    def alice(self, command: str | Sequence[str], *, seconds: float = 120.0) -> str:
        """What a command that alice gives on the core prints."""
        return self.core.run(command, as_user="alice", seconds=seconds)

    def submit(self, script: str, *, units: int = 1) -> str:
        """Submit a shell script as a job of alice's; its id."""
        return self.alice(["xsub", "--units", str(units), "--", "sh", "-c", script]).split()[0]

    def report(self) -> str:
        """What the machines have in their journals: for a test that failed."""
        parts = []
        for machine in self.machines:
            try:
                parts.append(f"--- {machine.name}\n{machine.journal()}")
            except ImageError as error:
                parts.append(f"--- {machine.name}\n{error.message}")
        return "\n".join(parts)

    def remove(self) -> None:
        """End it and remove everything."""
        self.systems.destroy()
        shutil.rmtree(self.repo, ignore_errors=True)
