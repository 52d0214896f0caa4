# SPDX-License-Identifier: BSD-3-Clause
"""A grid of real daemons and mounts, each in a network name space of its own, whose wire can be cut.

For a process that has name spaces of its own (`isolated`): the end of its first process is the end of all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.daemons import Node, eventually
from support.filegrid import CORE, OSD, FileGrid, Mount

HUB = "198.18.9.1"
END_SECONDS = 240.0
"""How long what was begun may take when nothing fails any more, on a busy machine."""


def isolated(module: str, seconds: float, *words: str) -> str:
    """What a module of `support` prints, run with *words*. Raises AssertionError with what it said if it fails."""
    own = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "--mount-proc",
        "--propagation=private",
    ]
    with tempfile.TemporaryDirectory(prefix="xos-faults-") as place:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TMPDIR": place}
        command = [*own, sys.executable, "-m", module, *words]
        limit = seconds + 2 * END_SECONDS
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=env, cwd="/", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stderr)  # what failed when, for whoever looks at a test that failed
    return done.stdout


def say(text: str) -> None:
    """For whoever looks why a run did not end well."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Wire:
    """A network of its own, and the wire from there to the hub."""

    def __init__(self, name: str, host: str) -> None:
        self.link = f"to-{name}"
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        for _ in eventually(30.0):
            if self._net.readlink() != Path("/proc/self/ns/net").readlink():
                break
        _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        _ip("link", "set", self.link, "master", "hub", "up")
        self.inside("link", "set", "lo", "up")
        self.inside("address", "add", f"{host}/24", "dev", "eth0")
        self.inside("link", "set", "eth0", "up")

    @property
    def _net(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def enter(self) -> list[str]:
        """What makes a command run there."""
        return ["nsenter", f"--net={self._net}"]

    def inside(self, *words: str) -> None:
        """``ip`` there."""
        subprocess.run([*self.enter, "ip", *words], check=True, timeout=30)

    def cut(self) -> Callable[[], None]:
        """Nothing goes through; what ends that."""
        _ip("link", "set", self.link, "down")
        return lambda: _ip("link", "set", self.link, "up")


class FarNode(Node):
    """An OSD in a network of its own."""

    def __init__(self, core: Node, grid: FileGrid, number: int, planted: str = "") -> None:
        """*planted*: a program in place of ``dixid``."""
        host, self.planted = f"198.18.9.{10 + number}", planted
        self.wire = Wire(f"osd{number}", host)
        super().__init__(grid.grid, f"osd{number}", OSD, directory=core.address, host=host)

    @property
    def command(self) -> list[str]:
        own = super().command
        program = [own[0], "-c", self.planted] if self.planted else own[:3]
        return [*self.wire.enter, *program, *own[3:]]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


class FarMount(Mount):
    """A mount from a network of its own. While nothing is mounted there, nothing can be made there either."""

    def __init__(self, grid: FileGrid, volume: str, number: int) -> None:
        super().__init__(grid, volume, "suid,dev")
        self.wire = Wire(f"mnt{number}", f"198.18.9.{100 + number}")
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "nothing", str(self.path)], check=True, timeout=30)

    @property
    def command(self) -> list[str]:
        return [*self.wire.enter, *super().command]

    @property
    def mounted(self) -> bool:
        return f" {self.path} fuse" in Path("/proc/self/mounts").read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Its programs hear that it is gone; nothing is mounted then."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        subprocess.run(["umount", "-l", str(self.path)], check=True, timeout=60)


class PlantedCore(Node):
    """A core that runs another program in place of ``dixid``."""

    planted = ""

    @property
    def command(self) -> list[str]:
        own = super().command
        return [own[0], "-c", self.planted, *own[3:]] if self.planted else own


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)


class PartedGrid(FileGrid):
    """Each OSD on an interface of its own."""

    def __init__(self, osds: int, *, planted: str = "", planted_core: str = "") -> None:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "hub", "type", "bridge")
        _ip("address", "add", f"{HUB}/24", "dev", "hub")
        _ip("link", "set", "hub", "up")
        super().__init__(0)
        self.core = PlantedCore(self.grid, "core", CORE, host=HUB)
        self.core.planted = planted_core
        self.far = [FarNode(self.core, self, number + 1, planted) for number in range(osds)]
        self.osds = [*self.far]

    def mount_far(self, volume: str) -> FarMount:
        made = FarMount(self, volume, len(self.mounts))
        self.mounts.append(made)
        made.start()
        return made

    def part(self) -> Callable[[], None]:
        """No OSD hears another, but clients and the MRC hear all."""
        self._isolate("on")
        return lambda: self._isolate("off")

    def _isolate(self, how: str) -> None:
        for node in self.far:
            subprocess.run(["bridge", "link", "set", "dev", node.wire.link, "isolated", how], check=True, timeout=30)
