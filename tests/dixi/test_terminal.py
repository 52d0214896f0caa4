# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that clients hand over: written without ever blocking, whatever they are."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from xos.dixi.terminal import DirectOutput, Input, SharedOutput, columns

MUCH = b"x" * 1_000_000


class Ends:
    """A reading and a writing end."""

    def __init__(self, kind: str) -> None:
        if kind == "pipe":
            self.reading, self.writing = os.pipe()
        elif kind == "pty":
            self.reading, self.writing = pty.openpty()
            tty.setraw(self.writing)
        else:
            ours, theirs = socket.socketpair()
            self.reading, self.writing = ours.detach(), theirs.detach()
        self._open = {self.reading, self.writing}

    def close(self, *fds: int) -> None:
        """Close one, or what is still open."""
        for fd in fds or tuple(self._open):
            self._open.remove(fd)
            os.close(fd)


@pytest.fixture(params=["pipe", "pty", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = Ends(request.param)
    yield made
    made.close()


@pytest.fixture(params=["own", "foreign"])
def foreign(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With *foreign*, descriptors cannot be opened anew, as it is with another user's terminal."""
    if request.param == "foreign":

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr("xos.dixi.terminal.os.open", refuse)


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def read(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await asyncio.to_thread(os.read, fd, 65536)
    return bytes(data)


@pytest.mark.usefixtures("foreign")
async def test_what_the_reader_does_not_take_is_kept_and_comes_in_order(ends: Ends) -> None:
    output = SharedOutput(ends.writing)
    output.write(MUCH)
    output.write(b"end")
    draining = asyncio.ensure_future(output.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    assert await read(ends.reading, len(MUCH) + 3) == MUCH + b"end"
    await draining
    output.close()


async def test_the_users_descriptor_stays_blocking(ends: Ends) -> None:
    output = SharedOutput(ends.writing)
    output.write(b"x")
    assert os.get_blocking(ends.writing)
    output.close()


async def test_a_reader_that_has_gone_is_an_error_at_once_and_later(ends: Ends) -> None:
    output = SharedOutput(ends.writing)
    ends.close(ends.reading)
    with pytest.raises(BrokenPipeError):
        output.write(MUCH)
    with pytest.raises(BrokenPipeError):
        output.write(b"x")
    with pytest.raises(BrokenPipeError):
        await output.drain()
    output.close()


async def test_a_reader_that_goes_while_we_wait_wakes_us(ends: Ends) -> None:
    output = SharedOutput(ends.writing)
    output.write(MUCH)
    draining = asyncio.ensure_future(output.drain())
    await asyncio.sleep(0)
    ends.close(ends.reading)
    with pytest.raises(BrokenPipeError):
        await draining
    output.close()


async def test_closing_gives_up_what_is_kept(ends: Ends) -> None:
    output = SharedOutput(ends.writing)
    output.write(MUCH)
    output.close()
    output.close()
    await output.drain()


async def test_descriptors_are_not_leaked(ends: Ends) -> None:
    before = descriptors()
    for _ in range(10):
        output = SharedOutput(ends.writing)
        output.write(b"x")
        output.close()
    assert descriptors() == before


async def test_files_keep_their_offset(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        file.write(b"before ")
        file.flush()
        output = SharedOutput(file.fileno())
        output.write(b"between ")
        output.close()
        os.write(file.fileno(), b"after")
    assert (tmp_path / "out").read_bytes() == b"before between after"


def test_a_process_of_its_own_waits_when_somebody_made_its_output_non_blocking() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    child = os.fork()
    if child == 0:
        os.close(reading)
        DirectOutput(writing).write(MUCH)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as reader:
        assert reader.read() == MUCH
    assert os.waitpid(child, 0)[1] == 0


async def test_reading_takes_what_is_there(ends: Ends) -> None:
    source = Input(ends.reading)
    os.write(ends.writing, b"one\ntwo")
    assert await source.read(3) == b"one"
    assert await source.read_line() == b"\n"
    assert await source.read(100) == b"two"


async def test_waiting_for_input_can_be_cancelled(ends: Ends) -> None:
    source = Input(ends.reading)
    waiting = asyncio.ensure_future(source.read(1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(ends.writing, b"x")
    assert await source.read(1) == b"x"


@pytest.mark.parametrize(("env", "wanted"), [("132", 132), ("0", 80), ("x", 80), (None, 80)])
def test_the_width_of_what_is_no_terminal_is_that_of_the_environment(env: str | None, wanted: int) -> None:
    reading, writing = os.pipe()
    assert columns(writing, env) == wanted
    os.close(reading)
    os.close(writing)
