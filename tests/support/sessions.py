# SPDX-License-Identifier: BSD-3-Clause
"""A `Session` whose terminal is memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xos.dixi.client import NoCredential
from xos.dixi.commands import Session
from xos.dixi.stubs import HasCallers
from xos.dixi.terminal import Input

if TYPE_CHECKING:
    from xos.common.tls import Credential


class Recorder:
    """Satisfies `xos.dixi.terminal.Output`."""

    def __init__(self, *, is_tty: bool = False) -> None:
        self.is_tty = is_tty
        self.data = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError
        self.data += data

    async def drain(self) -> None:
        if self.closed:
            raise BrokenPipeError

    @property
    def text(self) -> str:
        return self.data.decode()


class FixedTies:
    """Satisfies `xos.dixi.session.Ties`."""

    def __init__(self, bus: HasCallers | None, credential: Credential | None = None) -> None:
        self._bus, self._credential = bus, credential

    @property
    def bus(self) -> HasCallers:
        if self._bus is None:
            raise NoCredential(home="/nowhere")
        return self._bus

    @property
    def credential(self) -> Credential:
        if self._credential is None:
            raise NoCredential(home="/nowhere")
        return self._credential


class Terminal:
    """What a session prints to and reads from."""

    def __init__(self, *, is_tty: bool = False, stdin: bytes = b"") -> None:
        self.stdout, self.stderr = Recorder(is_tty=is_tty), Recorder(is_tty=is_tty)
        reading, writing = os.pipe()
        os.write(writing, stdin)
        os.close(writing)
        self._stdin = reading

    def session(
        self,
        name: str = "xt",
        bus: HasCallers | None = None,
        *,
        cwd: Path = Path("/"),
        env: Mapping[str, str] | None = None,
        width: int = 80,
    ) -> Session:
        ties = FixedTies(bus)
        return Session(name, ties, Input(self._stdin), self.stdout, self.stderr, cwd=cwd, env=env or {}, width=width)

    def close(self) -> None:
        os.close(self._stdin)


def terminals() -> Iterator[Terminal]:
    """For a fixture."""
    terminal = Terminal()
    yield terminal
    terminal.close()
