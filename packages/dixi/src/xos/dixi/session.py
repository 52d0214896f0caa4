# SPDX-License-Identifier: BSD-3-Clause
"""What one run of a command gets; the same whether it runs inside `xos-agent` or in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xos.dixi.terminal import Input, Output, columns

if TYPE_CHECKING:  # cryptography takes longer to import than most commands take to run
    from xos.common.tls import Credential
    from xos.dixi.stubs import HasCallers


class AgentKeys(Protocol):
    """The memory of the agent that a command runs in."""

    def store(self, credential: Credential) -> None:
        """Act as this user from now on, in every later command too; open connections are made anew."""
        ...

    def forget(self) -> None:
        """Drop certificate and key, and close the connections made with them."""
        ...


class Ties(Protocol):
    """What ties a command to its user and to the grid."""

    @property
    def bus(self) -> HasCallers:
        """Calls made as the user; connections are made on first use. Raises `ConfigError`, `ConfigMissing`."""
        ...

    @property
    def credential(self) -> Credential:
        """The user's certificate and key. Raises `CredentialMissing`, `WrongPassphrase`, `BadKey`."""
        ...


class Session:
    """One run of a command: whose it is, where it was called, and what it talks to."""

    def __init__(
        self,
        name: str,
        ties: Ties,
        stdin: Input,
        stdout: Output,
        stderr: Output,
        *,
        cwd: Path,
        env: Mapping[str, str],
        width: int = 80,
        umask: int = 0o077,
        agent: AgentKeys | None = None,
    ) -> None:
        self.name = name
        """As the user called it."""
        self.cwd = cwd
        """Where the user is; the agent is somewhere else, so see `path`."""
        self.env = env
        """The user's environment: inside the agent only what commands need (``XOS_*``, ``TERM``, language, …)."""
        self.home = home_of(env)
        """``$XOS_HOME``, else ``~/.xos``: configuration and certificate."""
        self.umask = umask
        self.agent = agent
        """Not None inside the agent: may keep credentials in memory."""
        self.stdin = stdin
        self.columns = width
        self.json = False
        """Whether the user asked for ``--json``: errors are then JSON too."""
        self._ties = ties
        self._out, self._err = stdout, stderr

    @property
    def bus(self) -> HasCallers:
        """See `Ties.bus`."""
        return self._ties.bus

    @property
    def credential(self) -> Credential:
        """See `Ties.credential`."""
        return self._ties.credential

    @property
    def is_tty(self) -> bool:
        """Whether standard output is a terminal."""
        return self._out.is_tty

    @property
    def colour(self) -> bool:
        """Whether colours are welcome (no-color.org)."""
        return self._out.is_tty and not self.env.get("NO_COLOR") and self.env.get("TERM", "dumb") != "dumb"

    def path(self, name: str | Path) -> Path:
        """A file name that the user gave, made absolute where the user is; ``~`` is the user's home."""
        text = str(name)
        if text == "~" or text.startswith("~/"):
            text = self.env.get("HOME", "") + text[1:]
        return self.cwd / text

    def open_new(self, path: Path, mode: int = 0o666) -> int:
        """A descriptor to write *path*, emptied or created with *mode* less the user's umask."""
        try:
            created = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 & mode)
        except FileExistsError:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600 & mode)
        os.fchmod(created, mode & ~self.umask)  # our own umask is the agent's
        return created

    def out(self, text: str) -> None:
        """Print *text* on standard output, ended by a newline if it has none.

        Raises `BrokenPipeError` when the reader has gone: let it pass, it ends the command as SIGPIPE would.
        Before printing much in a loop, ``await session.drain()`` in it.
        """
        self._out.write(_line(text))

    def err(self, text: str) -> None:
        """Print *text* on standard error; if nobody reads that, it is lost."""
        try:
            self._err.write(_line(text))
        except (BrokenPipeError, OSError):
            return

    async def write(self, data: bytes) -> None:
        """Write *data* as it is to standard output, at the reader's pace. Raises `BrokenPipeError`."""
        self._out.write(data)
        await self._out.drain()

    async def drain(self) -> None:
        """Wait until what was printed is written. Raises `BrokenPipeError`."""
        await self._out.drain()

    async def ask_secret(self, prompt: str) -> str:
        """A line that the user types without seeing it; from a pipe, its next line. Raises `EOFError`."""
        return await self.stdin.ask_secret(prompt, self._err)


def home_of(env: Mapping[str, str]) -> Path:
    """``$XOS_HOME``, else ``~/.xos``."""
    given = env.get("XOS_HOME")
    return Path(given) if given else Path(env.get("HOME") or "/nonexistent") / ".xos"


def width_of(fd: int, env: Mapping[str, str]) -> int:
    """Columns of the terminal *fd*."""
    return columns(fd, env.get("COLUMNS"))


def _line(text: str) -> bytes:
    data = text.encode(errors="surrogateescape")
    return data if data.endswith(b"\n") else data + b"\n"
