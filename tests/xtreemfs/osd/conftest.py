# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of OSDs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.dixi import Grid, make_grid
from support.osds import SINGLE, address_of, capability, configured, connected, running
from xos.common.signing import Signed
from xos.common.tls import Credential
from xos.dixi.daemon import Daemon
from xos.xtreemfs.api import Layout
from xos.xtreemfs.xati import OSDAsync


@pytest.fixture(scope="session")
def grid() -> Grid:
    return make_grid()


@pytest.fixture(scope="session")
def mrc(grid: Grid) -> Credential:
    return grid.make_machine("mrc1", role="core")


@dataclasses.dataclass
class One:
    """One OSD, a user's connection and an MRC's to it."""

    grid: Grid
    address: str
    data: Path
    user: OSDAsync
    mrc: OSDAsync
    pen: Credential

    def capability(self, layout: Layout = SINGLE, *, holder: str = "alice@demo", **change: Any) -> Signed:
        """Signed by the MRC."""
        return capability(self.pen, holder, layout, **change)

    async def token(self, **change: Any) -> bytes:
        """Of a capability just presented by alice."""
        return (await self.user.present(self.capability(**change))).token


@pytest.fixture
async def osd(grid: Grid, mrc: Credential, tmp_path: Path) -> AsyncIterator[One]:
    async with running(configured(grid, "osd1", tmp_path)) as daemon:
        address = address_of(daemon)
        with connected(address, grid) as user, connected(address, grid, mrc) as signer:
            yield One(grid, address, tmp_path / "data" / "OSD", user, signer, mrc)


NAMES = ("osd1", "osd2", "osd3")


@dataclasses.dataclass
class Three:
    """Three OSDs in this process and a node with the Directory; any of the OSDs may be stopped."""

    grid: Grid
    pen: Credential
    place: Path
    directory: str
    stack: contextlib.AsyncExitStack
    daemons: dict[str, tuple[contextlib.AsyncExitStack, Daemon]] = dataclasses.field(default_factory=dict)

    async def start(self, name: str) -> None:
        stack = contextlib.AsyncExitStack()
        config = configured(self.grid, name, self.place / name, directory=self.directory)
        self.daemons[name] = (stack, await stack.enter_async_context(running(config)))

    async def stop(self, name: str) -> None:
        await self.daemons.pop(name)[0].aclose()

    def client(self, name: str, credential: Credential | None = None) -> OSDAsync:
        return self.stack.enter_context(connected(address_of(self.daemons[name][1]), self.grid, credential))

    async def open(self, name: str, layout: Layout, **change: Any) -> tuple[OSDAsync, bytes]:
        """A client of that OSD and its token."""
        osd = self.client(name)
        return osd, (await osd.present(capability(self.pen, "alice@demo", layout, **change), deadline=8.0)).token

    def capability(self, layout: Layout) -> Signed:
        """Alice's, signed by the MRC."""
        return capability(self.pen, "alice@demo", layout)

    def content(self, name: str) -> bytes:
        """What is on its disk."""
        found = list((self.place / name).glob("data/OSD/shares/*/*.data"))
        return found[0].read_bytes() if found else b""


@pytest.fixture
async def three(grid: Grid, mrc: Credential, tmp_path: Path) -> AsyncIterator[Three]:
    async with contextlib.AsyncExitStack() as stack:
        core = await stack.enter_async_context(running(configured(grid, "core", tmp_path / "core", osd=False)))
        made = Three(grid, mrc, tmp_path, address_of(core), stack)
        for name in NAMES:
            await made.start(name)
        yield made
        for name in list(made.daemons):
            await made.stop(name)
