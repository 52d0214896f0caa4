# SPDX-License-Identifier: BSD-3-Clause
"""What a job says that it reads, the file system hears once the job's nodes are chosen; nothing depends on it."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from support.dixi import until
from support.jobs import FakeGrid, order
from xos.aem.api import State
from xos.aem.jsdl import JobDescription, to_jsdl
from xos.common.errors import XosError
from xos.common.tls import Credential
from xos.dixi.errors import NotConnected
from xos.xtreemfs.api import Ask, Claim, Inode, VolumeRecord
from xos.xtreemfs.errors import Refused


class SmallFiles:
    """DIR and MRC with one volume, whose files have as numbers how long their paths are."""

    def __init__(self) -> None:
        self.told: list[tuple[int, list[str], Claim | None]] = []
        self.asked = 0
        self.error: XosError | None = None

    async def answer(self, method: str, args: tuple[Any, ...]) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if method == "DIR.volume":
            return VolumeRecord(args[0], "core", ("core",))
        if method == "MRC.resolve":
            volume, path, claim, *_ = args
            if "gone" in path:
                raise Refused.of(errno.ENOENT, path)
            assert (volume, claim.user) == ("data", "alice@demo")
            return Inode(len(path), 0o100644, 1, "alice@demo", "users@demo", 1, 0, 0, 0, 0)
        assert method == "MRC.read_soon"
        inode, nodes, ask = args
        assert isinstance(ask, Ask)
        self.told.append((inode, nodes, ask.claim))
        return None


@pytest.fixture
def files(grid: FakeGrid) -> SmallFiles:
    made = SmallFiles()
    grid.files = made.answer
    return made


def reading(user: Credential, *uris: str, units: int = 1) -> Any:
    job = JobDescription(executable="/bin/true", reads=uris, total_resource_count=units)
    return order(user, jsdl=to_jsdl(job))


async def test_the_file_system_hears_what_is_read_where(grid: FakeGrid, files: SmallFiles, alice: Credential) -> None:
    job_id = await grid.create(alice, reading(alice, "xtreemfs://data/in/x", units=2))
    assert (await grid.wait(alice, job_id)).state is State.DONE
    await until(lambda: bool(files.told))
    ((inode, nodes, claim),) = files.told
    assert (inode, sorted(nodes)) == (len("/in/x"), ["node1", "node2"])
    assert claim == Claim("alice@demo", ("users@demo",), "users@demo")


async def test_a_job_that_reads_nothing_asks_nobody(grid: FakeGrid, files: SmallFiles, alice: Credential) -> None:
    assert (await grid.wait(alice, await grid.submit(alice))).state is State.DONE
    assert not files.asked


@pytest.mark.parametrize(
    "error", [NotConnected(address="core", detail="it is down"), Refused.of(errno.EACCES, "/in/x")], ids=["away", "no"]
)
async def test_a_job_runs_without_its_hint(
    grid: FakeGrid, files: SmallFiles, alice: Credential, error: XosError
) -> None:
    files.error = error
    job_id = await grid.create(alice, reading(alice, "xtreemfs://data/in/x"))
    assert (await grid.wait(alice, job_id)).state is State.DONE
    await until(lambda: bool(files.asked))
    assert not files.told


async def test_one_file_that_is_missing_does_not_hide_the_others(
    grid: FakeGrid, files: SmallFiles, alice: Credential
) -> None:
    job_id = await grid.create(alice, reading(alice, "xtreemfs://data/gone", "xtreemfs://data/in/x"))
    assert (await grid.wait(alice, job_id)).state is State.DONE
    await until(lambda: bool(files.told))
    assert [inode for inode, _, _ in files.told] == [len("/in/x")]
