# SPDX-License-Identifier: BSD-3-Clause
"""The conversation itself, over a socket in the kernel's place: also what no kernel says."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.memoryfs import MemoryFs
from xos.xtreemfs.errors import OldKernel
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse.abi import InitFlag, Opcode
from xos.xtreemfs.fuse.session import Session, Wishes

SILENT = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY}


class Kernel:
    """The other end."""

    def __init__(self, session: Session, link: socket.socket, served: asyncio.Task[None]) -> None:
        self.session, self.link, self.served = session, link, served

    def say(self, opcode: int, node: int, body: bytes, *, unique: int = 7, extra: bytes = b"", size: int = -1) -> None:
        whole = abi.in_header.size + len(body) + len(extra)
        head = abi.in_header.pack(whole if size < 0 else size, opcode, unique, node, 0, 0, 1, len(extra) // 8, 0)
        self.link.send(head + body + extra)

    async def hear(self) -> tuple[int, int, bytes]:
        """errno, unique and the rest of a reply."""
        async with asyncio.timeout(15):
            data = await asyncio.get_running_loop().sock_recv(self.link, 1 << 21)
        size, error, unique = abi.out_header.unpack_from(data)
        assert size == len(data)
        return -error, unique, data[abi.out_header.size :]

    async def ask(self, opcode: int, node: int, body: bytes, **more: bytes) -> tuple[int, bytes]:
        self.say(opcode, node, body, **more)  # type: ignore[arg-type]
        number, unique, rest = await self.hear()
        assert unique == 7
        return number, rest


@pytest.fixture
def fs() -> MemoryFs:
    return MemoryFs()


@pytest.fixture
async def kernel(fs: MemoryFs) -> AsyncIterator[Kernel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 21)
    session = Session(fs, theirs.detach(), Wishes(max_write=1 << 16))
    served = asyncio.create_task(session.run())
    await asyncio.sleep(0)
    yield Kernel(session, ours, served)
    served.cancel()
    await asyncio.wait([served])
    ours.close()


def hello(minor: int = 41, flags: int = 0xFFFFFFFF, high: int = 0xFFFFFFFF) -> bytes:
    return abi.init_in.pack(7, minor, 1 << 17, flags, high)


async def test_both_agree_on_what_both_can(kernel: Kernel) -> None:
    number, rest = await kernel.ask(Opcode.INIT, 0, hello(flags=InitFlag.ASYNC_READ | InitFlag.INIT_EXT))
    assert number == 0
    major, minor, readahead, flags, *_ = abi.init_out.unpack(rest)
    assert (major, minor, readahead) == (7, 41, 1 << 17)
    assert flags == kernel.session.features == InitFlag.ASYNC_READ | InitFlag.INIT_EXT


async def test_a_kernel_of_long_ago_is_told_so(kernel: Kernel) -> None:
    number, _ = await kernel.ask(Opcode.INIT, 0, hello(minor=12))
    assert number == errno.EPROTO
    with pytest.raises(OldKernel):
        await kernel.served


async def test_what_is_not_known_is_not_carried_out(kernel: Kernel) -> None:
    for opcode in (0, 19, Opcode.IOCTL, Opcode.POLL, 4242):
        assert await kernel.ask(opcode, 1, bytes(100)) == (errno.ENOSYS, b"")


async def test_a_name_that_is_none_is_refused(kernel: Kernel, fs: MemoryFs) -> None:
    for body in (b"", b"\0", b"no end", b"two\0names\0"):
        assert await kernel.ask(Opcode.LOOKUP, 1, body) == (errno.EIO, b"")
    assert not fs.calls


async def test_a_write_that_says_another_length_writes_nothing(kernel: Kernel, fs: MemoryFs) -> None:
    await kernel.ask(Opcode.MKNOD, 1, abi.mknod_in.pack(0o100644, 0, 0, 0) + b"f\0")
    body = abi.write_in.pack(0, 0, 100, 0, 0, 0, 0) + b"short"
    assert await kernel.ask(Opcode.WRITE, 2, body) == (errno.EIO, b"")
    assert fs.nodes[2].data == b""


async def test_extensions_at_the_end_are_passed_over(kernel: Kernel) -> None:
    number, _ = await kernel.ask(Opcode.MKDIR, 1, abi.mkdir_in.pack(0o755, 0) + b"d\0", extra=bytes(16))
    assert number == 0


async def test_an_inode_is_forgotten_when_nothing_of_it_is_left(kernel: Kernel, fs: MemoryFs) -> None:
    await kernel.ask(Opcode.MKDIR, 1, abi.mkdir_in.pack(0o755, 0) + b"d\0")
    await kernel.ask(Opcode.LOOKUP, 1, b"d\0")
    await kernel.ask(Opcode.LOOKUP, 1, b"d\0")
    kernel.say(Opcode.FORGET, 2, abi.forget_in.pack(2))
    await kernel.ask(Opcode.STATFS, 1, b"")
    assert fs.known == {2}
    kernel.say(Opcode.BATCH_FORGET, 0, abi.batch_forget_in.pack(1, 0) + abi.forget_one.pack(2, 1))
    await kernel.ask(Opcode.STATFS, 1, b"")
    assert fs.known == set()


async def test_rows_that_do_not_fit_are_not_counted(kernel: Kernel, fs: MemoryFs) -> None:
    for number in range(10):
        await kernel.ask(Opcode.MKNOD, 1, abi.mknod_in.pack(0o100644, 0, 0, 0) + b"file%d\0" % number)
    assert all(count == 1 for count in kernel.session._told.values())
    number, rest = await kernel.ask(Opcode.READDIRPLUS, 1, abi.read_in.pack(0, 0, 800, 0, 0, 0, 0))
    assert number == 0
    assert 0 < len(rest) <= 800
    told = {ino for ino, count in kernel.session._told.items() if count == 2}
    assert told == {2, 3, 4}  # 160 bytes a row; "." and ".." are not looked up
    assert fs.calls["readdirplus"] == 1


async def test_an_interrupt_for_nobody_is_passed_over(kernel: Kernel) -> None:
    kernel.say(Opcode.INTERRUPT, 0, abi.interrupt_in.pack(99))
    assert (await kernel.ask(Opcode.STATFS, 1, b""))[0] == 0


async def test_the_end_of_the_mount_ends_the_session(kernel: Kernel, fs: MemoryFs) -> None:
    assert not fs.destroyed
    kernel.served.cancel()
    await asyncio.wait([kernel.served])
    assert fs.destroyed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    opcode=st.sampled_from([opcode for opcode in Opcode if opcode not in SILENT | {Opcode.INIT}])
    | st.integers(60, 2**32 - 1),
    node=st.integers(0, 4) | st.integers(0, 2**64 - 1),
    body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda text: bytes(48) + text + b"\0"),
)
def test_every_question_gets_one_answer(opcode: int, node: int, body: bytes) -> None:
    async def ask() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setblocking(False)
            session = Session(MemoryFs(), theirs.detach(), Wishes(max_write=1 << 16))
            served = asyncio.create_task(session.run())
            kernel = Kernel(session, ours, served)
            if opcode != Opcode.SETATTR or len(body) < 24 or body[16:24] == bytes(8):  # not 16 EiB of memory
                number, unique, _ = await _answer(kernel, opcode, node, body)
                assert unique == 7
                assert 0 <= number < 4096
            number, rest = await kernel.ask(Opcode.STATFS, 1, b"")
            assert (number, len(rest)) == (0, abi.statfs_out.size)
            served.cancel()
            await asyncio.wait([served])

    asyncio.run(ask())


async def _answer(kernel: Kernel, opcode: int, node: int, body: bytes) -> tuple[int, int, bytes]:
    kernel.say(opcode, node, body)
    return await kernel.hear()


async def test_frames_that_lie_about_their_length_are_refused(kernel: Kernel) -> None:
    kernel.link.send(os.urandom(10))
    kernel.say(Opcode.GETATTR, 1, bytes(16), size=4000)
    assert (await kernel.hear())[0] == errno.EIO
    kernel.link.send(abi.in_header.pack(40, Opcode.GETATTR, 7, 1, 0, 0, 0, 60000, 0))
    assert (await kernel.hear())[0] == errno.EIO
    assert (await kernel.ask(Opcode.GETATTR, 1, abi.getattr_in.pack(0, 0, 0)))[0] == 0
