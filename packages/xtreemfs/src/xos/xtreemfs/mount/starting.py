# SPDX-License-Identifier: BSD-3-Clause
"""Starting the process that serves a mount, and hearing whether it came to be.

It gets what it needs on its standard input, so that a key which is in memory only lands in no file and no argument
list, and says on a pipe that the mount works, or why it does not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop

from xos.common.errors import UNDECODABLE, Fault, XosError, from_fault
from xos.common.log import configure
from xos.common.tls import Credential
from xos.xtreemfs.errors import NotMounted
from xos.xtreemfs.mount.credentials import reach
from xos.xtreemfs.mount.options import Wanted
from xos.xtreemfs.mount.serving import serve

START_SECONDS = 90.0
READY = b"+"
JOURNAL = Path("/run/systemd/journal/stdout")


class Order(msgspec.Struct, frozen=True):
    """What the process is told."""

    wanted: Wanted
    path: str
    home: str
    credential: bytes | None
    """PEM."""


async def start(order: Order, env: Mapping[str, str]) -> None:
    """Start it and return when the mount works. Raises what it raised, or `NotMounted`."""
    ours, theirs = os.pipe()
    process = await asyncio.to_thread(_spawn, env, theirs)
    try:
        async with asyncio.timeout(START_SECONDS):
            said = await asyncio.to_thread(_conversation, process, order, ours)
    except (TimeoutError, BrokenPipeError) as error:
        process.terminate()
        raise NotMounted(path=order.path, detail="the process that was to serve it did not come to be") from error
    if said.startswith(READY):
        return
    process.wait()
    try:
        raise from_fault(msgspec.msgpack.decode(said, type=Fault))
    except UNDECODABLE as error:
        detail = "the process that was to serve it ended; mount with -o foreground to see why"
        raise NotMounted(path=order.path, detail=detail) from error


def _spawn(env: Mapping[str, str], ready: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            _command(ready),
            cwd="/",
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[ready],
        )
    finally:
        os.close(ready)


def _command(ready: int) -> list[str]:
    command = [sys.executable, "-m", "xos.xtreemfs.mount", str(ready)]
    cat = shutil.which("systemd-cat")
    if JOURNAL.exists() and cat:
        return [cat, "--identifier=mount.xtreemfs", *command]
    return command


def _conversation(process: subprocess.Popen[bytes], order: Order, fd: int) -> bytes:
    try:
        if process.stdin is not None:
            process.stdin.write(msgspec.msgpack.encode(order))
            process.stdin.close()
        return _read_all(fd)
    finally:
        os.close(fd)


def become(order: Order) -> NoReturn:
    """Be that process, in the place of this one: to mount in the foreground."""
    fd = os.memfd_create("order", 0)
    os.write(fd, msgspec.msgpack.encode(order))
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, "-m", "xos.xtreemfs.mount"])  # noqa: S606 -- ourselves


def _read_all(fd: int) -> bytes:
    """What comes until READY, or the end."""
    said = bytearray()
    while not said.startswith(READY) and (more := os.read(fd, 65536)):
        said += more
    return bytes(said)


class _Starter:
    """Who waits for the mount.

    The process is in their process group until it is mounted: who mounts because somebody has looked (autofs, systemd's
    automount units) lets none but their own group through to the directory until then. Afterwards it is on its own, so
    that neither ^C nor the end of a terminal ends it.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def mounted(self) -> None:
        """Go on alone."""
        if self._fd is not None:
            os.setsid()
        self.tell()

    def tell(self, said: bytes = READY) -> bool:
        """Tell once; whether anybody was still waiting."""
        fd, self._fd = self._fd, None
        if fd is None:
            return False
        try:
            os.write(fd, said)
        except BrokenPipeError:
            return False
        finally:
            os.close(fd)
        return True


def child(ready: int | None) -> int:
    """The process: reads its order, serves, tells *ready* (None: nobody waits)."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    configure(service="mount.xtreemfs", node=os.uname().nodename)
    starter = _Starter(ready)
    try:
        _serve(order, starter)
    except XosError as error:
        return _failed(starter, error)
    except OSError as error:
        return _failed(starter, NotMounted(path=order.path, detail=error.strerror or str(error)))
    return 0


def _serve(order: Order, starter: _Starter) -> None:
    given = None if order.credential is None else Credential.from_pem(order.credential)

    async def run() -> None:
        access = reach(order.wanted, Path(order.home), given)
        await serve(access, order.wanted, Path(order.path), starter.mounted)

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run())


def _failed(starter: _Starter, error: XosError) -> int:
    if not starter.tell(msgspec.msgpack.encode(error.to_fault())):
        sys.stderr.write(f"mount.xtreemfs: {error.message} [{error.code}]\n")
    return error.exit_status
