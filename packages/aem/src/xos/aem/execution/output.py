# SPDX-License-Identifier: BSD-3-Clause
"""What a unit has written, while it runs and afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor

from xos.aem.errors import NoOutput
from xos.aem.execution.follow import Follower
from xos.aem.execution.staging import open_inside
from xos.aem.execution.task import ERROR, OUTPUT
from xos.aem.execution.unitdir import Accepted, UnitDirs
from xos.aem.jsdl import JobDescription
from xos.common.log import get_logger

log = get_logger("xos.aem.execution.output")

CHUNK = 64 * 1024
"""Bytes of one piece, at the most."""
_STREAMS = {"output": OUTPUT, "error": ERROR}


class Source:
    """One stream of one unit: which file it is, and how it is opened."""

    def __init__(self, dirs: UnitDirs, accepted: Accepted, description: JobDescription, stream: str) -> None:
        """Raises `NoOutput` when the unit has no such stream."""
        self._dirs, self._accepted = dirs, accepted
        self._kept, self._name = "", stream
        self.stream = stream
        self.unit_id = accepted.order.unit_id
        if stream in _STREAMS:
            named = description.output if stream == "output" else description.error
            self._kept, self._name = ("", named) if named else (_STREAMS[stream], "")
        elif stream not in {file.name for file in description.stage_out}:
            raise NoOutput(unit_id=self.unit_id, stream=stream[:200])
        self.optional = stream in _STREAMS
        """Its absence means that nothing was written."""
        self._start = dirs.home(self.unit_id) / description.working_directory

    def open(self) -> int | None:
        """A descriptor; None when there is no such file, or none that may be shown. Blocks."""
        if self._name == os.devnull:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if self._name:
            uid = os.geteuid() if self._accepted.account is None else self._accepted.account[0]
            return open_inside(self._start, self._name, uid)
        return self._dirs.open_file(self.unit_id, self._kept)


class Tail:
    """Reads a source to its end, or goes on until the unit has ended."""

    def __init__(self, source: Source, *, pool: Executor, follower: Follower) -> None:
        self._source, self._pool, self._follower = source, pool, follower
        self.changed = asyncio.Event()
        """Set by the follower when the file has grown, by the service when the unit has changed."""

    async def pieces(self, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """What is there, and what comes until *ended*, in pieces of at most `CHUNK` bytes. Raises `NoOutput`."""
        fd = await self._opened(ended)
        if fd is None:
            return
        loop = asyncio.get_running_loop()
        try:
            with contextlib.ExitStack() as watches:
                if not ended():
                    watches.enter_context(self._watching(fd))
                at = 0
                while True:
                    self.changed.clear()
                    last = ended()  # asked before reading: what it wrote up to its end is then all there
                    piece = await loop.run_in_executor(self._pool, os.pread, fd, CHUNK, at)
                    if piece:
                        at += len(piece)
                        yield piece
                    elif last:
                        return
                    else:
                        await self.changed.wait()
        finally:
            os.close(fd)

    async def _opened(self, ended: Callable[[], bool]) -> int | None:
        """The open file; one that is not there yet is looked for whenever the unit changes.

        None when there never was one. Raises `NoOutput` when that is a staged-out file.
        """
        while True:
            self.changed.clear()
            last = ended()
            fd = await self._open()
            if fd is not None:
                return fd
            if last and self._source.optional:
                return None
            if last:
                raise NoOutput(unit_id=self._source.unit_id, stream=self._source.stream)
            await self.changed.wait()

    async def _open(self) -> int | None:
        opening = asyncio.get_running_loop().run_in_executor(self._pool, self._source.open)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_result)
            raise

    @contextlib.contextmanager
    def _watching(self, fd: int) -> Iterator[None]:
        try:
            watch = self._follower.watch(fd, self.changed)
        except OSError as error:
            # The rest then comes when the unit ends.
            log.warning("output.unwatched", unit=self._source.unit_id, detail=str(error))
            yield
            return
        try:
            yield
        finally:
            self._follower.drop(watch, self.changed)


def _close_result(opening: asyncio.Future[int | None]) -> None:
    fd = None if opening.cancelled() or opening.exception() is not None else opening.result()
    if fd is not None:
        os.close(fd)
