# SPDX-License-Identifier: BSD-3-Clause
"""Runs units as plain processes, each under a shim forked by the starter, in a cgroup of its own where one can be made.

For development, for one machine, and for nodes without systemd.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from xos.aem.execution import group, hierarchy, kernel
from xos.aem.execution.launcher import Launcher, Spawn, Watcher
from xos.aem.execution.starter import LENGTH
from xos.aem.execution.task import NOTICES, Task
from xos.aem.execution.unitdir import read_shim
from xos.common.log import get_logger

log = get_logger("xos.aem.execution.process")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds before a starter that died, or a fork that failed, is tried again."""
_CLOSE_SECONDS = 2.0
_SOURCE = str(Path(__file__).resolve().parents[4])
_PROGRAM = """
import sys
sys.path.append(sys.argv[4])
from xos.aem.execution import starter
starter.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
"""


class Answer(msgspec.Struct, frozen=True):
    """The starter's answer to a task."""

    unit_id: str
    error: str


_answer = msgspec.json.Decoder(Answer)


class ProcessLauncher(Launcher, name="process"):
    """See the module."""

    def __init__(self, *, node: str, directory: Path, watcher: Watcher, spawn: Spawn) -> None:
        super().__init__(node=node, directory=directory, watcher=watcher, spawn=spawn)
        self._wanted: dict[str, tuple[bytes, asyncio.Future[None]]] = {}
        self._watched: dict[str, int] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._notices: socket.socket | None = None
        self._group = ""

    # --- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `Launcher.open`."""
        self._group = hierarchy.make_parent(f"xos-{self.node}")
        if self._group:
            hierarchy.sweep(self._group)
        self._notices = self._listen()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.spawn(self._keep_starter(ready), name="starter")
        await ready

    def _listen(self) -> socket.socket:
        """The socket to which shims tell that their program runs; also those of a daemon before us find it."""
        path = self.directory / NOTICES
        path.unlink(missing_ok=True)
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        directory = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            notices.bind(f"/proc/self/fd/{directory}/{NOTICES}")  # the path itself may be too long for a socket
        finally:
            os.close(directory)
        path.chmod(0o600)
        asyncio.get_running_loop().add_reader(notices.fileno(), self._hear)
        return notices

    def _hear(self) -> None:
        assert self._notices is not None  # noqa: S101  # readers are removed before it is closed
        while True:
            try:
                notice = self._notices.recv(512)
            except BlockingIOError:
                return
            unit_id, _, started = notice.decode(errors="replace").partition(" ")
            try:
                self.watcher.running(unit_id, float(started))
            except ValueError:
                log.warning("notice.unreadable", notice=repr(notice[:100]))

    async def close(self) -> None:
        """See `Launcher.close`."""
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await loop.run_in_executor(None, _end, self._process)
        for fd in self._watched.values():
            loop.remove_reader(fd)
            os.close(fd)
        self._watched.clear()
        if self._notices is not None:
            loop.remove_reader(self._notices.fileno())
            self._notices.close()
        if self._group:
            group.remove(self._group)  # stays while units are in it

    # --- starter ------------------------------------------------------------------------------------------------------

    async def _keep_starter(self, ready: asyncio.Future[None]) -> None:
        """Keep one starter alive; units that were on their way when one died are given to the next."""
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            answers = await self._new_starter()
            if not ready.done():
                ready.set_result(None)
            with answers:
                await self._hear_starter(answers)
            assert self._process is not None  # noqa: S101  # set by _new_starter
            await loop.run_in_executor(None, _end, self._process)
            log.warning("starter.died", status=self._process.returncode, waiting=len(self._wanted))
            pause = FIRST_PAUSE if loop.time() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _new_starter(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        answers, their_answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        answers.setblocking(False)
        with theirs, their_answers:
            self._process = _start(theirs.fileno(), their_answers.fileno(), self.directory)
        _, self._writer = await asyncio.open_unix_connection(sock=ours)
        for message, _ in self._wanted.values():
            self._writer.write(message)
        return answers

    async def _hear_starter(self, answers: socket.socket) -> None:
        """Take answers until the starter is gone."""
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        loop.add_reader(answers.fileno(), self._hear_answers, answers, gone)
        try:
            await gone
        finally:
            loop.remove_reader(answers.fileno())

    def _hear_answers(self, answers: socket.socket, gone: asyncio.Future[None]) -> None:
        while not gone.done():
            try:
                text, fds, _, _ = socket.recv_fds(answers, 4096, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except ConnectionError:
                text, fds = b"", []
            if text:
                self._take_answer(_answer.decode(text), fds)
            else:
                gone.set_result(None)

    def _take_answer(self, answer: Answer, fds: list[int]) -> None:
        loop = asyncio.get_running_loop()
        if answer.error:
            log.warning("fork.failed", unit=answer.unit_id, detail=answer.error)
            loop.call_later(LONGEST_PAUSE, self._send, answer.unit_id)
            return
        if fds:
            self._watch(answer.unit_id, fds[0])
        else:
            loop.call_soon(self.watcher.gone, answer.unit_id)
        wanted = self._wanted.pop(answer.unit_id, None)
        if wanted is not None and not wanted[1].done():
            wanted[1].set_result(None)

    def _send(self, unit_id: str) -> None:
        wanted = self._wanted.get(unit_id)
        if wanted is not None and self._writer is not None and not self._writer.is_closing():
            self._writer.write(wanted[0])

    # --- units --------------------------------------------------------------------------------------------------------

    async def launch(self, task: Task) -> None:
        """See `Launcher.launch`."""
        unit_id = task["unit_id"]
        if unit_id in self._watched:
            return
        wanted = self._wanted.get(unit_id)
        if wanted is None:
            task["group"] = f"{self._group}/{unit_id}" if self._group else ""
            body = msgspec.json.encode(task)
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            wanted = self._wanted[unit_id] = (LENGTH.pack(len(body)) + body, future)
            self._send(unit_id)
        await asyncio.shield(wanted[1])

    async def find(self, unit_id: str, directory: Path) -> bool:
        """See `Launcher.find`."""
        shim = read_shim(directory)
        fd = kernel.open_process(shim.pid, shim.start) if shim is not None else None
        if fd is None:
            return False
        self._watch(unit_id, fd)
        return True

    def _watch(self, unit_id: str, fd: int) -> None:
        """Hear when the shim ends whose pidfd is *fd*."""
        loop = asyncio.get_running_loop()
        before = self._watched.get(unit_id)
        if before is not None:
            loop.remove_reader(before)
            os.close(before)
        self._watched[unit_id] = fd
        loop.add_reader(fd, self._ended, unit_id)

    def _ended(self, unit_id: str) -> None:
        fd = self._watched.pop(unit_id)
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
        self.watcher.gone(unit_id)

    async def kill(self, unit_id: str, directory: Path) -> None:
        """See `Launcher.kill`."""
        # A shim signs, then looks for `killed`; it was made before we look for the signature, so one sees the other.
        # The shim that has the lock may be another one than that watched, which then waits for it.
        signed = read_shim(directory)
        fds = [self._watched[unit_id]] if unit_id in self._watched else []
        other = kernel.open_process(signed.pid, signed.start) if signed is not None else None
        try:
            for fd in [*fds, other] if other is not None else fds:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGTERM)
        finally:
            if other is not None:
                os.close(other)


def _start(tasks: int, answers: int, directory: Path) -> subprocess.Popen[bytes]:
    """Start a starter at the other ends of two sockets; takes about a millisecond (vfork)."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, str(tasks), str(answers), str(directory), _SOURCE],
        pass_fds=[tasks, answers],
        stdin=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a starter whose socket is closed; one that does not go is killed."""
    try:
        process.wait(_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
