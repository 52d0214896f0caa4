# SPDX-License-Identifier: BSD-3-Clause
"""A whole XtreemFS of real daemons (DIR, MRC, OSDs), and real mounts of it, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.daemons import Node, clock, eventually
from support.dixi import Grid, make_grid
from xos.dixi.blocking import BlockingBus
from xos.dixi.bus import GridBus
from xos.dixi.client import ClientConfig, ClientDirectory, make_bus
from xos.xtreemfs.api import Ask, Claim, Policy
from xos.xtreemfs.xati import DIRXati, MRCXati

CORE = """
[services.Directory]
[services.DIR]
[services.MRC]
[services.MRC.settings]
superusers = ["core"]
[services.Files]
"""
OSD = '[services.OSD]\n[services.OSD.settings]\nmrcs = ["core"]\n'
ROOT = Claim("root@core", ("gid.0@core",), "gid.0@core")


class FileGrid:
    """A core with DIR and MRC, and OSDs ``osd1``, ``osd2``, …"""

    def __init__(self, osds: int = 1) -> None:
        self.grid: Grid = make_grid()
        self.core = Node(self.grid, "core", CORE)
        self.osds = [Node(self.grid, f"osd{n + 1}", OSD, directory=self.core.address) for n in range(osds)]
        self.place = Path(tempfile.mkdtemp(prefix="xos-files-"))
        self.place.chmod(0o711)  # for accounts that tests take on
        self.mounts: list[Mount] = []

    @property
    def nodes(self) -> list[Node]:
        return [self.core, *self.osds]

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        with self.bus() as bus:
            for _ in eventually(60.0):
                if len(DIRXati(bus).services("OSD")) == len(self.osds):
                    break

    def bus(self) -> BlockingBus:
        """As the core machine."""
        return BlockingBus(self._client, self.grid.trust, self.grid.make_machine("core", role="core"))

    def async_bus(self) -> GridBus:
        """As the core machine, with an event loop."""
        return make_bus(self._client, self.grid.trust, self.grid.make_machine("core", role="core"))

    @property
    def _client(self) -> ClientConfig:
        return ClientConfig(directory=ClientDirectory(address=self.core.address))

    def home_of(self, name: str) -> Path:
        """``$XOS_HOME`` of a user with a certificate."""
        home = self.place / name
        home.mkdir(exist_ok=True)
        credential = self.grid.make_user(name)
        (home / "client.toml").write_text(f'[directory]\naddress = "{self.core.address}"\n')
        (home / "ca.pem").write_bytes(self.grid.trust.ca_pem())
        (home / "user.pem").write_bytes(credential.certificate_pem())
        (home / "user.key").touch(mode=0o600)
        (home / "user.key").write_bytes(credential.key_pem(None))
        return home

    def make_volume(self, name: str = "home", policy: Policy | None = None, mode: int = 0o755) -> None:
        with self.bus() as bus:
            MRCXati(bus).make_volume(name, mode, policy or Policy(), 0, Ask(claim=ROOT))
            for _ in eventually(60.0):
                if any(volume.name == name for volume in DIRXati(bus).volumes()):
                    break

    def mount(self, volume: str = "home", options: str = "suid,dev") -> Mount:
        made = Mount(self, volume, options)
        self.mounts.append(made)
        made.start()
        return made

    def remove(self) -> None:
        for mount in self.mounts:
            mount.end()
        for node in self.nodes:
            node.remove()
        for mount in self.mounts:
            mount.path.rmdir()  # and not with what is in it: it may still be mounted
        shutil.rmtree(self.place)


class Mount:
    """A mount by the core machine, for all accounts."""

    def __init__(self, grid: FileGrid, volume: str, options: str) -> None:
        self.grid, self.volume, self.options = grid, volume, options
        self.path = grid.place / f"mnt{len(grid.mounts)}"
        self.said = grid.place / f"mnt{len(grid.mounts)}.log"
        self.ahead = 0.0
        """Seconds by which its clock is."""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        options = f"foreground,config={self.grid.core.config},{self.options}"
        return [sys.executable, "-m", "xos.dixi", "mount.xtreemfs", self.volume, str(self.path), "-o", options]

    def start(self) -> None:
        self.path.mkdir(exist_ok=True)
        with self.said.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "XOS_NO_AGENT": "1", **clock(self.ahead)}, cwd="/",
            )  # fmt: skip
        for _ in eventually(60.0):
            if self.mounted:
                return
            assert self.process.poll() is None, self.said.read_text()

    @property
    def mounted(self) -> bool:
        return f" {self.path} " in Path("/proc/self/mounts").read_text()

    @property
    def pid(self) -> int:
        """Of the process that serves it."""
        assert self.process is not None
        return self.process.pid

    def sh(self, script: str, seconds: float = 300.0, **env: str) -> str:
        """What a script whose ``$M`` is the mount writes; it must succeed."""
        done = subprocess.run(
            ["sh", "-euc", f'cd "$M"; {script}'], cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            timeout=seconds, env={**os.environ, "LC_ALL": "C", "M": str(self.path), **env},
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace") + self.said.read_text()[
            -4000:
        ]
        return (done.stdout + done.stderr).decode(errors="replace")

    def end(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.path)], check=False, timeout=60)
        if self.process is not None:
            # A container that was made meanwhile, by whomever, holds a copy of the mount: then it ends only when told.
            for wait, ask in ((5.0, signal.SIGTERM), (30.0, signal.SIGKILL), (30.0, None)):
                try:
                    self.process.wait(wait)
                    return
                except subprocess.TimeoutExpired:
                    if ask is not None:
                        self.process.send_signal(ask)
            raise AssertionError(f"{self.path} is still served by {self.pid}")


@contextlib.contextmanager
def file_grid(osds: int = 1, **volumes: Policy | None) -> Iterator[FileGrid]:
    """A grid that is up, with *volumes*."""
    made = FileGrid(osds)
    try:
        made.start()
        for name, policy in volumes.items():
            made.make_volume(name, policy)
        yield made
    finally:
        made.remove()
