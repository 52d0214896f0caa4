# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of OSDs."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.dixi import Grid, make_grid
from support.osds import SINGLE, address_of, capability, configured, connected, running
from xos.common.signing import Signed
from xos.common.tls import Credential
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
