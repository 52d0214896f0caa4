# SPDX-License-Identifier: BSD-3-Clause
"""A file system in memory, mounted for real."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from support.memoryfs import LateFs, MemoryFs
from xos.xtreemfs.fuse.mounting import MountOptions
from xos.xtreemfs.fuse.serve import mounted
from xos.xtreemfs.fuse.session import Session, Wishes

_T = TypeVar("_T")
needs_fuse = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"
)
OPTIONS = MountOptions(source="memory:test", subtype="xostest")


class Mount:
    """A mount and what serves it. Its files are touched in other threads and processes: here is who answers them."""

    def __init__(self, path: Path, fs: MemoryFs, session: Session, served: asyncio.Task[None]) -> None:
        self.path, self.fs, self.session, self.served = path, fs, session, served

    async def do(self, work: Callable[[Path], _T]) -> _T:
        """Do blocking *work* on the mount."""
        return await asyncio.to_thread(work, self.path)

    async def sh(self, script: str) -> str:
        """What a shell script in the mount writes; it must succeed."""
        shell = await asyncio.create_subprocess_exec(
            "sh", "-euc", script, cwd="/", env={**os.environ, "M": str(self.path), "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await shell.communicate()
        assert shell.returncode == 0, output.decode()
        return output.decode()


@pytest.fixture(params=[MemoryFs, LateFs], ids=["at once", "later"])
def fs(request: pytest.FixtureRequest) -> MemoryFs:
    made: MemoryFs = request.param()
    return made


@pytest.fixture
def wishes() -> Wishes:
    return Wishes()


@pytest.fixture
async def mount(tmp_path: Path, fs: MemoryFs, wishes: Wishes) -> AsyncIterator[Mount]:
    path = tmp_path / "mnt"
    path.mkdir()
    async with mounted(fs, path, OPTIONS, wishes) as (session, served):
        yield Mount(path, fs, session, served)
    assert fs.destroyed
