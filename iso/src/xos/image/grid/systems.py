# SPDX-License-Identifier: BSD-3-Clause
"""The containers as processes of this machine: started together, entered, and ended without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.image import cgroups
from xos.image.errors import ImageError
from xos.image.grid.plan import BRIDGE, NETWORK, Node
from xos.image.processes import environment, need
from xos.image.progress import tail
from xos.image.sandbox import private

INSIDE = Path(__file__).with_name("inside")
BOOT_SECONDS = 180.0
POLL_SECONDS = 0.2


class SystemDied(ImageError):
    """Raised when a container ended while it was to run."""

    code = "image.system-died"
    template = "{name} ended\n{tail}"
    hint = "Its console is in {log}/console.log; its journal: journalctl --directory {log}/upper/var/log/journal"


class SystemSlow(ImageError):
    """Raised when a container was not up in time."""

    code = "image.system-slow"
    template = "{name} was not up after {seconds} s\n{tail}"
    hint = "Its console is in {log}/console.log; its journal: journalctl --directory {log}/upper/var/log/journal"


class CommandFailed(ImageError):
    """Raised when a command in a container failed."""

    code = "image.command-failed"
    template = "on {name}, {command} failed (status {status})\n{detail}"


class Record(msgspec.Struct, frozen=True):
    """The process that holds the containers."""

    pid: int
    started: int
    """Its start time in the kernel's ticks: a pid alone may be another process by now."""
    cgroup: str


class Systems:
    """The containers below directory *state*."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._record = state / "systems.json"

    def start(self, base: Path, repo: Path, nodes: Sequence[Node]) -> None:
        """Boot the containers, which see *repo* as ``/repo``; their overlays (``NAME/upper``) are there.

        Raises `ToolMissing`.
        """
        for program in ("systemd-nspawn", "nsenter", "ip", "unshare"):
            need(program)
        cgroup = f"xos-grid-{os.getpid()}"
        command = [*private("net"), "bash", str(INSIDE / "run-systems"), str(self.state), str(base)]
        command += [str(repo), cgroup, BRIDGE, f"{NETWORK}.1", *(node.name for node in nodes)]
        with (self.state / "systems.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        record = Record(process.pid, _started(process.pid) or 0, cgroup)
        write_atomically(self._record, msgspec.json.encode(record), 0o644)

    def running(self) -> Record | None:
        """What holds the containers, if it lives."""
        try:
            record = msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        return record if _started(record.pid) == record.started else None

    def leader(self, name: str) -> int | None:
        """Process 1 of a container, as this machine numbers it."""
        record = self.running()
        if record is None:
            return None
        scope = cgroups.mount_point() / record.cgroup / name / "payload/init.scope/cgroup.procs"
        try:
            return int(scope.read_text().split()[0])
        except (FileNotFoundError, IndexError, OSError):
            return None

    def wait_for(self, node: Node, seconds: float = BOOT_SECONDS) -> str:
        """Wait until systemd has started everything; its word: ``running`` or ``degraded``. Raises `SystemDied`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.running() is None:
                raise SystemDied(name=node.name, tail=self._tail(node.name), log=str(self.state / node.name))
            if self.leader(node.name) is not None:
                left = max(1.0, end - time.monotonic())
                done = self.run(node.name, ["systemctl", "is-system-running", "--wait"], seconds=left, check=False)
                if (word := done.strip()) in ("running", "degraded"):
                    return word
            time.sleep(POLL_SECONDS)
        log = str(self.state / node.name)
        raise SystemSlow(name=node.name, seconds=int(seconds), tail=self._tail(node.name), log=log)

    def run(
        self, name: str, command: Sequence[str], *, stdin: str = "", seconds: float = 60.0, check: bool = True
    ) -> str:
        """What a command in a container prints. Raises `CommandFailed`, `SystemDied`."""
        leader = self.leader(name)
        if leader is None:
            raise SystemDied(name=name, tail=self._tail(name), log=str(self.state / name))
        enter = [
            "nsenter",
            "--target",
            str(leader),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wdns=/",
        ]
        try:
            done = subprocess.run(
                [*enter, "--", *command],
                input=stdin,
                capture_output=True,
                text=True,
                env=environment(),
                timeout=seconds,
                start_new_session=True,  # a signal that the command sends to its process group is not for us
            )
        except subprocess.TimeoutExpired as error:
            detail = f"it did not end within {seconds:.0f} s"
            raise CommandFailed(name=name, command=command[0], status=-1, detail=detail) from error
        if check and done.returncode != 0:
            detail = (done.stderr or done.stdout).strip()
            raise CommandFailed(name=name, command=" ".join(command), status=done.returncode, detail=detail)
        return done.stdout

    def stop(self) -> None:
        """End the containers, and wait until nothing of them runs; may be repeated."""
        record = self.running()
        if record is not None:
            os.kill(record.pid, signal.SIGKILL)
        try:
            known = msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return
        cgroups.remove(cgroups.mount_point() / known.cgroup)
        self._record.unlink()

    def destroy(self) -> None:
        """`stop`, and remove everything that they kept."""
        self.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    def _tail(self, name: str) -> str:
        """The last that a container told: its console if something is there, else its journal."""
        home = self.state / name
        said = tail(home / "console.log", 10) or tail(self.state / "systems.log", 10)
        journal = home / "upper/var/log/journal"
        if said or not journal.is_dir():
            return said
        command = ["journalctl", "--directory", str(journal), "--quiet", "--no-pager", "--lines=10"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip()


def _started(pid: int) -> int | None:
    """When a process started; None if it is gone, or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
