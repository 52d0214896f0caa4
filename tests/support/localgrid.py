# SPDX-License-Identifier: BSD-3-Clause
"""A local grid for scenario tests: real daemons, real certificates, on addresses that nobody else uses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from xos.common.certificate import key_pem, make_csr, make_key
from xos.common.files import write_atomically
from xos.common.tls import Trust
from xos.dixi.client import connect, load_client, make_bus
from xos.setup.errors import PortTaken
from xos.setup.local import processes, users
from xos.setup.local.grid import LocalGrid
from xos.setup.roles import HTTPS_PORT
from xos.vom.api import CertificateWish
from xos.vom.errors import VOExists
from xos.vom.xati import CDAAsync, XVOMSAsync

VO = "demo"
COMMAND_SECONDS = 60.0


def network() -> str:
    """Loopback addresses of one's own; taken ones are found out by `LocalGrid.up`."""
    return f"127.{random.randint(64, 250)}.{random.randint(0, 255)}"


class Grid:
    """A grid in a directory of its own below /tmp, which accounts of jobs can enter."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="xos-grid-"))
        self.place.chmod(0o711)
        self.said: list[str] = []
        self.local = LocalGrid(self.place / "grid", self.said.append)
        self.effects = self.place / "effects"
        """Where jobs leave traces."""
        self.effects.mkdir()
        self.effects.chmod(0o777)

    @property
    def root(self) -> Path:
        """The grid's own directory."""
        return self.local.root

    def up(self, **wish: int) -> None:
        """Bring it up; the first time, on addresses that are free."""
        if self.local.kept_plan() is not None:
            self.local.up(wish)
            return
        for _ in range(20):
            try:
                self.local.up({"network": network(), **wish})
            except PortTaken:
                continue
            return
        raise RuntimeError("no loopback network is free")

    def kill(self, node: str) -> None:
        """``kill -9`` its daemon."""
        process = self.local.running()[node]
        processes.send(process, signal.SIGKILL)
        processes.end({node: process}, grace_s=5.0)

    @property
    def core(self) -> User:
        """The core machine itself, by its own certificate."""
        return User(self, self.local.admin)

    def user(self, name: str, roles: tuple[str, ...] = ()) -> User:
        """A member of the VO with a certificate, its key in a file without passphrase."""
        home = self.root / "users" / name
        users.make_home(home, self.local.core)
        asyncio.run(_enrol(self.local.admin, home, name, roles))
        return User(self, home)

    def gateway(self, node: str) -> str:
        """Base URL of a node's HTTP/JSON gateway."""
        address = next(planned.address for planned in self.local.nodes if planned.name == node)
        return f"https://{address}:{HTTPS_PORT}"

    def remove(self) -> None:
        """Take it down and leave nothing."""
        if self.local.kept_plan() is not None:
            self.local.destroy()
        shutil.rmtree(self.place)


class User:
    """Somebody who calls commands."""

    def __init__(self, grid: Grid, home: Path) -> None:
        self.grid, self.home = grid, home

    @property
    def environment(self) -> Mapping[str, str]:
        """Of a shell of theirs."""
        return {**os.environ, **users.environment(self.home), "COLUMNS": "200"}

    def argv(self, name: str, *words: str) -> list[str]:
        """How a command is called."""
        return [str(Path(sys.executable).parent / name), *words]

    def run(self, name: str, *words: str, typed: str = "", status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit status (None: any)."""
        done = subprocess.run(
            self.argv(name, *words),
            env=self.environment,
            cwd=self.home,
            input=typed,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert status is None or done.returncode == status, f"{name} {words}: {done.returncode}\n{done.stderr}"
        return done

    @contextlib.contextmanager
    def start(self, name: str, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command and go on; it is waited for at the end, and killed if something goes wrong before."""
        with subprocess.Popen(
            self.argv(name, *words),
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            try:
                yield command
            except BaseException:
                command.kill()
                raise

    def submit(self, *words: str, units: int = 1) -> str:
        """Submit a shell script as a job; its id."""
        return self.run("xsub", "--units", str(units), "--", "sh", "-c", *words).stdout.strip()


async def _enrol(admin: Path, home: Path, name: str, roles: tuple[str, ...]) -> None:
    secret = users.password(home)
    async with connect(admin) as bus:
        vos = XVOMSAsync(bus)
        try:
            await vos.create_vo(VO, "for tests")
        except VOExists:
            assert VO in [vo.name for vo in await vos.list_vos()]
        await vos.add_user(VO, name, secret, roles=roles)
    key = make_key()
    front_door = make_bus(*load_client(home), None)
    issued = await CDAAsync(front_door).issue(CertificateWish(VO, name, make_csr(key, name), secret))
    front_door.close()
    write_atomically(home / "user.key", key_pem(key), 0o600)
    write_atomically(home / "user.pem", Trust([issued.certificate]).ca_pem(), 0o644)
