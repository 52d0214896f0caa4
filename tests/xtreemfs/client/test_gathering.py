# SPDX-License-Identifier: BSD-3-Clause
"""Which files a program need not wait for, and what becomes of those that cannot be written."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from xos.common.signing import Signed
from xos.dixi.errors import ConnectionLost
from xos.xtreemfs.api import Access, Capability, FilePart, Health, Inode, Layout, Replica, Striping
from xos.xtreemfs.client.content import Budget, Content
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.gathering import LARGEST, ROOM, Gathering, Rooms
from xos.xtreemfs.client.grants import Grant, Osds, Right

NODE = "osd1"


class MemoryOsd(Grant, Osds):
    """An OSD that keeps what it gets; and the grant for it."""

    def __init__(self) -> None:
        self.capability = Capability("f", Access.WRITE, "me", 0, 0, Layout(Striping(), (Replica((NODE,)),)))
        self.free, self.full, self.away = 2 * ROOM, False, False
        self.calls: list[int] = []
        self.alone = 0
        self.refuses: list[int] = []

    def at(self, *_: Any, **__: Any) -> Any:
        return self if len(_) == 1 else self._alone()

    async def _alone(self) -> None:
        self.alone += 1
        if self.full:
            raise OSError(errno.ENOSPC, "the OSD has no room left")

    def right_at(self, node: str) -> Right:
        assert node == NODE
        return Right(b"", None)

    def known_at(self, node: str) -> None:
        assert node == NODE

    async def health(self, *, deadline: float) -> Health:  # noqa: ARG002
        return Health(4 * ROOM, self.free, 0, 0.0, read_only=False, full=False, damaged=0)

    async def write_files(
        self,
        files: Sequence[FilePart],
        content: bytes,
        capabilities: Sequence[Signed],  # noqa: ARG002
        *,
        deadline: float,  # noqa: ARG002
    ) -> list[int]:
        assert sum(file.length for file in files) == len(content)
        if self.away:
            raise ConnectionLost(peer=NODE)
        self.calls.append(len(files))
        return self.refuses


class Client:
    """Whose files they are."""

    def __init__(self) -> None:
        self.osd, self.budget = MemoryOsd(), Budget()
        self.tasks: list[asyncio.Task[None]] = []
        self.gathering = Gathering(self.osd, Rooms(self.osd, self.errand), self)
        self.landings = 0

    def errand(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def landed(self, handle: Handle) -> None:
        self.landings += 1
        assert handle.content.kept is None

    def file(self, size: int) -> Handle:
        content = Content(Inode(1, 0o100644, 1, "a@b", "c@b", 0, 0, 0, 0, 0), self.budget, lambda: 1)
        content.writer = self.osd
        assert content.put(0, bytes(size))
        handle = Handle.__new__(Handle)
        handle.content, handle.grant = content, self.osd
        return handle

    async def ready(self) -> None:
        """It knows how much room there is."""
        assert not self.gathering.keep(self.file(1))
        await asyncio.gather(*self.tasks)


async def test_many_files_go_in_few_calls_when_somebody_waits() -> None:
    client = Client()
    await client.ready()
    files = [client.file(100) for _ in range(100)]
    assert all(client.gathering.keep(file) for file in files)
    await files[99].content.settle()
    await files[0].content.settle()
    assert (client.osd.calls, client.osd.alone, client.landings) == ([64, 36], 0, 100)


async def test_what_an_osd_does_not_take_with_others_is_written_alone() -> None:
    client = Client()
    await client.ready()
    client.osd.refuses = [1, 99, -1]
    files = [client.file(100) for _ in range(3)]
    assert all(client.gathering.keep(file) for file in files)
    await asyncio.gather(*(file.content.settle() for file in files))
    client.osd.away = True
    last = client.file(10)
    assert client.gathering.keep(last)
    await last.content.settle()
    assert (client.osd.alone, client.landings) == (2, 4)


async def test_an_error_is_told_by_who_waits_and_else_leaves_nothing_of_the_file() -> None:
    client = Client()
    await client.ready()
    client.osd.refuses, client.osd.full = [0, 1], True
    waits, closed = client.file(10), client.file(10)
    assert client.gathering.keep(waits)
    assert client.gathering.keep(closed)
    with pytest.raises(OSError, match="no room"):
        await waits.content.settle()
    error = closed.content.lost()
    assert error is not None
    assert (error.errno, closed.content.size, closed.content.unreported) == (errno.ENOSPC, 0, False)


async def test_with_little_room_programs_wait_and_are_told() -> None:
    client = Client()
    client.osd.free = ROOM - 1
    await client.ready()
    assert not client.gathering.keep(client.file(10))


@pytest.mark.parametrize("size", [LARGEST + 1, 1 << 19])
async def test_only_small_files_are_kept(size: int) -> None:
    client = Client()
    await client.ready()
    assert not client.gathering.keep(client.file(size))
    assert client.gathering.keep(client.file(LARGEST))


async def test_what_is_written_later_keeps_its_order() -> None:
    client = Client()
    await client.ready()
    file = client.file(10)
    assert client.gathering.keep(file)
    assert file.content.put(0, b"0123456789")
    assert not client.gathering.keep(file)
    assert bytes(await file.content.read(0, 10)) == b"0123456789"
    await file.content.settle()
    assert (client.osd.calls, client.osd.alone) == ([1], 1)
    assert not file.content.dirty
