# SPDX-License-Identifier: BSD-3-Clause
"""``xconsole`` without arguments: a shell. Each line is what would follow ``xconsole`` on a command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from xos.dixi.agent.client import run_in_agent
from xos.dixi.commands import find, invoke, own_session
from xos.dixi.session import home_of
from xos.dixi.ties import OwnTies

PROMPT = "xos> "
HISTORY = "xconsole.history"
REMEMBERED = 2000
HELP = """\
SERVICE                          list its methods
SERVICE METHOD [--ARGUMENT VALUE …]  call one
SERVICE METHOD --help            its arguments
help, exit                       this text; leave (also: end of input)
Tab completes services, methods, arguments and nodes.
"""


class Runner:
    """Runs lines in the user's agent, else here, with one connection for the whole shell."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._ties = OwnTies(home_of(env))
        self._runner = asyncio.Runner()

    def run(self, words: Sequence[str]) -> int:
        """The exit status of ``xconsole WORDS``; an interrupt ends the line, not the shell."""
        sys.stdout.flush()
        status = run_in_agent("xconsole", words, self._env, survive=True)
        if status is not None:
            return status
        try:
            return self._runner.run(invoke(find("xconsole"), words, own_session("xconsole", self._ties, self._env)))
        except KeyboardInterrupt:
            return 130

    def complete(self, words: Sequence[str]) -> list[str]:
        """What the last of *words* can become."""
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as answers, Path(os.devnull).open("r+b") as nothing:
            asked = ["--complete", *words]
            fds = (nothing.fileno(), writing, nothing.fileno())
            status = run_in_agent("xconsole", asked, self._env, fds=fds, survive=True)
            os.close(writing)
            if status is not None:
                return answers.read().splitlines()
        return self._complete_here(words)

    def _complete_here(self, words: Sequence[str]) -> list[str]:
        from xos.dixi.console.completion import complete

        try:
            return self._runner.run(complete(words, own_session("xconsole", self._ties, self._env)))
        except KeyboardInterrupt:
            return []

    def close(self) -> None:
        """Close the connection, while its event loop still runs."""
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        self._ties.close()


def shell() -> int:
    """Read lines until the end; returns the exit status of the last one."""
    with contextlib.closing(Runner(dict(os.environ))) as runner:
        interactive = sys.stdin.isatty()
        if not interactive:
            return _batch(runner)
        with _line_editing(runner, home_of(os.environ) / HISTORY):
            return _converse(runner)


def _batch(runner: Runner) -> int:
    """Lines from a file or pipe: the first that fails ends it, as with ``sh -e``."""
    for line in sys.stdin:
        status = _line(runner, line)
        if status:
            return status
    return 0


def _converse(runner: Runner) -> int:
    status = 0
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            sys.stdout.write("\n")
            return status
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            continue
        if line.strip() in ("exit", "quit"):
            return status
        status = _line(runner, line)


def _line(runner: Runner, line: str) -> int:
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        sys.stderr.write(f"xconsole: {error}\n")
        return 2
    if not words:
        return 0
    if words == ["help"]:
        sys.stdout.write(HELP)
        return 0
    return runner.run(words)


@contextlib.contextmanager
def _line_editing(runner: Runner, history: Path) -> Iterator[None]:
    import readline

    offered: list[str] = []

    def completer(text: str, state: int) -> str | None:
        nonlocal offered
        if state == 0:
            line = readline.get_line_buffer()[: readline.get_begidx()]
            try:
                offered = runner.complete([*shlex.split(line), text])
            except ValueError:  # an open quotation mark
                offered = []
        return offered[state] + " " if state < len(offered) else None

    readline.set_completer(completer)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(REMEMBERED)
    with contextlib.suppress(OSError):
        readline.read_history_file(history)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(history)
            history.chmod(0o600)
