# SPDX-License-Identifier: BSD-3-Clause
"""One mount's conversation with the kernel, on an asyncio event loop.

Requests are read from /dev/fuse as they come. A method that answers at once is answered at once, without a task; a
coroutine becomes a task, which FUSE_INTERRUPT cancels. The session counts how often the kernel was told of each inode,
so that the file system hears `forget` once, when nothing is left.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

import msgspec

from xos.common.log import get_logger
from xos.xtreemfs.errors import OldKernel
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse.abi import InitFlag, Notify, Opcode
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.operations import MALFORMED, OPERATIONS, Operation, Packed, Reply, forgotten
from xos.xtreemfs.fuse.values import Caller

log = get_logger("xos.xtreemfs.fuse")

BATCH = 16
"""Requests that are read in one turn of the event loop, so that what else runs there is not starved."""
SPARE_BUFFERS = 8
_SPACE_FOR_HEADERS = 4096
_PAGE = 4096

DEFAULT_FEATURES = (
    InitFlag.ASYNC_READ
    | InitFlag.ATOMIC_O_TRUNC
    | InitFlag.BIG_WRITES
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.DO_READDIRPLUS
    | InitFlag.READDIRPLUS_AUTO
    | InitFlag.ASYNC_DIO
    | InitFlag.AUTO_INVAL_DATA
    | InitFlag.CACHE_SYMLINKS
)


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a file system wants of the kernel; it gets what the kernel can, see `Session.features`."""

    features: InitFlag = DEFAULT_FEATURES
    max_write: int = 1 << 20
    """Bytes in one WRITE; whole pages."""
    max_readahead: int = 1 << 20
    max_background: int = 64
    """Read-ahead and write-back requests under way at once."""
    time_gran_ns: int = 1
    interrupted_seconds: float = 0.0
    """For how long a request goes on whose program got a signal, before it is cancelled; waits for locks end at once.

    Programs that get signals by the dozen (timers, garbage collection) do not expect EINTR of open(2).
    """


class Session:
    """Serves one file system on one descriptor of /dev/fuse, which it owns."""

    def __init__(self, fs: FileSystem, fd: int, wishes: Wishes | None = None) -> None:
        self._fs, self._fd, self._wishes = fs, fd, wishes or Wishes()
        self.features = InitFlag(0)
        """What was agreed; none before the kernel has said hello."""
        self._size = self._wishes.max_write + _SPACE_FOR_HEADERS
        self._spare: list[bytearray] = []
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._waiting: set[int] = set()
        self._told: dict[int, int] = {}
        self.ready = asyncio.Event()
        """Set once the kernel has said hello, or will say nothing."""
        self._ended = asyncio.Event()
        self._old_kernel: OldKernel | None = None

    async def run(self) -> None:
        """Serve until the mount is gone. Raises `OldKernel`; cancelled, it drops what is under way."""
        loop = asyncio.get_running_loop()
        os.set_blocking(self._fd, False)
        loop.add_reader(self._fd, self._readable)
        try:
            await self._ended.wait()
        finally:
            self.ready.set()
            loop.remove_reader(self._fd)
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            os.close(self._fd)
            self._fd = -1
            self._fs.destroy()
        if self._old_kernel is not None:
            raise self._old_kernel

    # --- telling the kernel; in a thread, since it may wait for a request that only we can answer

    async def invalidate_inode(self, ino: int, offset: int = 0, length: int = 0) -> None:
        """Drop what is cached of *ino*: attributes, and contents from *offset* on (*length* 0: to the end).

        A negative *offset*: attributes only. An inode that the kernel does not hold is no error.
        """
        if self._held(ino):
            await self._notify(Notify.INVAL_INODE, abi.notify_inval_inode_out.pack(ino, offset, length))

    async def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Drop what is cached of a name. A directory that the kernel does not hold is no error."""
        if self._held(parent):
            head = abi.notify_inval_entry_out.pack(parent, len(name), 0)
            await self._notify(Notify.INVAL_ENTRY, head + name + b"\0")

    async def deleted(self, parent: int, ino: int, name: bytes) -> None:
        """Tell that *name* was removed elsewhere; who watches it is told too."""
        head = abi.notify_delete_out.pack(parent, ino, len(name), 0)
        await self._notify(Notify.DELETE, head + name + b"\0")

    async def store(self, ino: int, offset: int, content: bytes) -> None:
        """Put *content* into the kernel's cache of *ino*."""
        await self._notify(Notify.STORE, abi.notify_store_out.pack(ino, offset, len(content), 0) + content)

    def _held(self, ino: int) -> bool:
        """Whether the kernel holds an inode: most that others change it does not, and a thread costs more than this."""
        return ino == abi.ROOT_ID or ino in self._told

    async def _notify(self, code: Notify, payload: bytes) -> None:
        message = abi.out_header.pack(abi.out_header.size + len(payload), code, 0) + payload
        try:
            await asyncio.to_thread(os.write, self._fd, message)
        except FileNotFoundError:
            return  # the kernel has nothing of it
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ENODEV, errno.ENOTCONN, errno.EBADF):
                raise

    # --- pass-through (Linux 6.9, root)

    def backing_open(self, fd: int) -> int:
        """Let the kernel read and write *fd* itself; the id for `Opened.backing_id`. Raises `OSError`."""
        return fcntl.ioctl(self._fd, abi.DEV_IOC_BACKING_OPEN, abi.backing_map.pack(fd, 0, 0))  # type: ignore[return-value]

    def backing_close(self, backing_id: int) -> None:
        """Give an id back; files that are open keep what they have. Raises `OSError`."""
        fcntl.ioctl(self._fd, abi.DEV_IOC_BACKING_CLOSE, backing_id.to_bytes(4, "little"))

    # --- requests

    def _readable(self) -> None:
        for _ in range(BATCH):
            buffer = self._spare.pop() if self._spare else bytearray(self._size)
            try:
                got = os.readv(self._fd, [buffer])
            except BlockingIOError:
                self._give_back(buffer)
                return
            except OSError as error:
                self._give_back(buffer)
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # the request was interrupted before we had it
                if error.errno != errno.ENODEV:
                    log.warning("fuse.broken", detail=str(error))
                self._ended.set()
                return
            if not self._handle(buffer, got):
                self._give_back(buffer)
            if self._ended.is_set():
                return

    def _give_back(self, buffer: bytearray) -> None:
        if len(self._spare) < SPARE_BUFFERS:
            self._spare.append(buffer)

    def _handle(self, buffer: bytearray, got: int) -> bool:
        """Carry out one request; whether a task goes on with *buffer*."""
        if got < abi.in_header.size:
            log.warning("fuse.short", size=got)
            return False
        size, opcode, unique, node, uid, gid, pid, extra, _ = abi.in_header.unpack_from(buffer)
        if size != got or abi.in_header.size + 8 * extra > got:
            log.warning("fuse.length", size=got, said=size, opcode=opcode)
            self._refuse(unique, errno.EIO)
            return False
        body = memoryview(buffer)[abi.in_header.size : got - 8 * extra]
        operation = OPERATIONS.get(opcode)
        if operation is None:
            self._unlisted(opcode, unique, node, body)
            return False
        try:
            answer = operation.ask(self._fs, Caller(uid, gid, pid), node, body)
            if type(answer) is CoroutineType:
                work = self._later(operation, unique, answer, body, buffer)
                if opcode == Opcode.SETLKW:
                    self._waiting.add(unique)
                self._tasks[unique] = asyncio.get_running_loop().create_task(work)
                return True
            self._reply(unique, operation.pack(answer, body))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the program that waits must be answered
            self._refuse(unique, _number(error, opcode))
        return False

    async def _later(
        self, operation: Operation, unique: int, answer: Coroutine[Any, Any, Any], body: memoryview, buffer: bytearray
    ) -> None:
        try:
            self._reply(unique, operation.pack(await answer, body))
        except asyncio.CancelledError:
            self._refuse(unique, errno.EINTR)
        except Exception as error:  # noqa: BLE001 -- as above
            self._refuse(unique, _number(error, abi.in_header.unpack_from(buffer)[1]))
        finally:
            del self._tasks[unique]
            self._waiting.discard(unique)
            self._give_back(buffer)

    def _unlisted(self, opcode: int, unique: int, node: int, body: memoryview) -> None:
        """What is no question to the file system."""
        try:
            if opcode in (Opcode.FORGET, Opcode.BATCH_FORGET):
                for ino, times in forgotten(opcode, node, body):
                    self._forget(ino, times)
            elif opcode == Opcode.INTERRUPT:
                self._interrupt(abi.interrupt_in.unpack_from(body)[0])
            elif opcode == Opcode.INIT:
                self._init(unique, body)
            elif opcode == Opcode.DESTROY:
                self._reply(unique, Packed(b""))
            elif opcode != Opcode.NOTIFY_REPLY:
                self._refuse(unique, errno.ENOSYS)
        except MALFORMED as error:
            log.warning("fuse.malformed", opcode=opcode, detail=str(error))
            if opcode not in (Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT):
                self._refuse(unique, errno.EIO)

    def _interrupt(self, unique: int) -> None:
        task = self._tasks.get(unique)
        if task is None:
            return
        seconds = 0.0 if unique in self._waiting else self._wishes.interrupted_seconds
        if seconds:
            asyncio.get_running_loop().call_later(seconds, task.cancel)
        else:
            task.cancel()

    def _forget(self, ino: int, times: int) -> None:
        left = self._told.get(ino, 0) - times
        if left > 0:
            self._told[ino] = left
        elif self._told.pop(ino, None) is not None:
            try:
                self._fs.forget(ino)
            except Exception:
                log.exception("fuse.forget", ino=ino)

    def _init(self, unique: int, body: memoryview) -> None:
        major, minor, readahead, low = abi.init_in_old.unpack_from(body)
        if major != abi.KERNEL_VERSION or minor < abi.LEAST_MINOR_VERSION:
            self._old_kernel = OldKernel(major=major, minor=minor, wanted=abi.LEAST_MINOR_VERSION)
            self._refuse(unique, errno.EPROTO)
            self._ended.set()
            return
        high = abi.init_in.unpack_from(body)[4] if low & InitFlag.INIT_EXT and len(body) >= abi.init_in.size else 0
        wishes = self._wishes
        wanted = wishes.features | InitFlag.INIT_EXT | InitFlag.MAX_PAGES
        self.features = wanted & InitFlag(low | high << 32)
        reply = abi.init_out.pack(
            abi.KERNEL_VERSION,
            min(minor, abi.KERNEL_MINOR_VERSION),
            min(readahead, wishes.max_readahead),
            self.features & 0xFFFFFFFF,
            wishes.max_background,
            wishes.max_background * 3 // 4,
            wishes.max_write,
            wishes.time_gran_ns,
            -(-wishes.max_write // _PAGE),
            0,
            self.features >> 32,
            1 if self.features & InitFlag.PASSTHROUGH else 0,
            0,
        )
        self._reply(unique, Packed(reply))
        self.ready.set()

    # --- replies

    def _refuse(self, unique: int, number: int) -> None:
        self._send(abi.out_header.pack(abi.out_header.size, -number, unique), b"")

    def _reply(self, unique: int, packed: Packed) -> None:
        head = abi.out_header.pack(abi.out_header.size + len(packed.data), 0, unique)
        failed = self._send(head, packed.data)
        if failed:
            if failed not in _NOBODY_WAITS:
                log.warning("fuse.reply", detail=os.strerror(failed), size=len(packed.data))
                self._refuse(unique, errno.EIO)
            return
        told = self._told
        for ino in packed.told:
            told[ino] = told.get(ino, 0) + 1

    def _send(self, head: bytes, data: Reply) -> int:
        """0 when the kernel took it, or the errno."""
        try:
            os.writev(self._fd, [head, data])
        except OSError as error:
            if error.errno == errno.ENODEV:
                self._ended.set()
            return error.errno or errno.EIO
        return 0


_NOBODY_WAITS = frozenset({errno.ENOENT, errno.ENODEV})
"""The program was killed; the mount is gone."""


def _number(error: Exception, opcode: int) -> int:
    """The errno that tells a program of *error*."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    log.error("fuse.failed", opcode=opcode, exc_info=error)
    return errno.EIO
