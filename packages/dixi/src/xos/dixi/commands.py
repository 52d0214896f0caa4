# SPDX-License-Identifier: BSD-3-Clause
"""Commands: what one is, how it is found, and how it is run.

A command is found by the name it is called under, in the entry point group ``xos.commands``:

    [project.entry-points."xos.commands"]
    xps = "xos.aem.cli.xps:COMMAND"

It runs inside the user's `xos-agent` if there is one (see `xos.dixi.agent`), else in a process of its own (`main`).
Its code is the same: everything it needs of its surroundings it takes from the `Session`; it resolves file names
with `Session.path`, prints with `Session.out`, and never touches `sys.stdout`, `os.environ` or the working directory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import io
import os
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from xos.common.errors import InternalError, XosError
from xos.dixi.agent.client import run_in_agent
from xos.dixi.session import AgentKeys, Session, Ties, home_of, width_of
from xos.dixi.tables import Colour, Painted, clean, paint, table
from xos.dixi.terminal import DirectOutput, Input
from xos.dixi.ties import OwnTies

__all__ = [
    "AgentKeys",
    "Colour",
    "Command",
    "Painted",
    "Session",
    "Ties",
    "UnknownCommand",
    "add_json",
    "clean",
    "find",
    "home_of",
    "invoke",
    "main",
    "make_parser",
    "names",
    "own_session",
    "paint",
    "parse_with",
    "report",
    "table",
]

GROUP = "xos.commands"
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command that users call."""

    name: str
    parser: Callable[[], argparse.ArgumentParser]
    """Its command line; made once, and again used for each run inside the agent."""
    run: Callable[[argparse.Namespace, Session], Awaitable[int]]
    """Does it and returns the exit status. Raises `XosError` for what the user should be told in one line."""
    shell: Callable[[], int] | None = None
    """What it does when called without arguments, if that takes the terminal over: always in its own process."""


class NoDirectory(XosError):
    """Raised when the working directory has been removed, so that file names mean nothing."""

    code = "dixi.no-directory"
    template = "the working directory does not exist any more"
    hint = "Change to another one: cd"


class UnknownCommand(XosError):
    """Raised when no installed package offers a command of that name."""

    code = "dixi.unknown-command"
    template = "no command {name} is installed"
    exit_status = 127


def find(name: str) -> Command:
    """The command of that name, imported. Raises `UnknownCommand`."""
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        command = entry.load()
        if isinstance(command, Command):
            return command
    raise UnknownCommand(name=name)


def names() -> list[str]:
    """The names of all installed commands."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)})


def make_parser(command: Command) -> argparse.ArgumentParser:
    """The command line of *command*, which calls itself by the command's name wherever it is made."""
    with _as_program(command.name, 80):
        return command.parser()


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print results and errors as JSON")


async def invoke(
    command: Command, argv: Sequence[str], session: Session, parser: argparse.ArgumentParser | None = None
) -> int:
    """Run *command* with the arguments *argv* and return its exit status; errors are printed, not raised.

    *parser*: made before by ``command.parser()``. Cancelling cancels the command.
    """
    try:
        parsed = _captured(lambda: (parser or make_parser(command)).parse_args(argv), session)
        if isinstance(parsed, int):
            return parsed
        session.json = bool(getattr(parsed, "json", False))
        status = await command.run(parsed, session)
        await session.drain()
    except BrokenPipeError:
        return PIPE_CLOSED
    except XosError as error:
        report(error, session)
        return error.exit_status
    except EOFError:
        session.err(f"{session.name}: an answer was expected on standard input")
        return 1
    except OSError as error:
        session.err(f"{session.name}: {clean(str(error))}")
        return 1
    except Exception as error:  # noqa: BLE001 -- the last resort: a fault of ours must not end the agent
        return _our_fault(error, session)
    return status


def parse_with(parser: argparse.ArgumentParser, argv: Sequence[str], session: Session) -> argparse.Namespace | int:
    """The arguments, or the exit status if there is nothing more to do (``--help``, wrong usage).

    `argparse` prints to the process's own streams and exits; inside the agent these are not the user's.
    """
    return _captured(lambda: parser.parse_args(argv), session)


_R = TypeVar("_R")


def _captured(work: Callable[[], _R], session: Session) -> _R | int:
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            _as_program(session.name, session.columns),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            return work()
    except SystemExit as leave:
        if out.getvalue():
            session.out(out.getvalue())
        if err.getvalue():
            session.err(err.getvalue())
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)


@contextlib.contextmanager
def _as_program(name: str, columns: int) -> Iterator[None]:
    """For the time that `argparse` works (nothing else runs then): its program name and its width."""
    argv0, width = sys.argv[:1], os.environ.get("COLUMNS")
    sys.argv[:1] = [name]
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        sys.argv[:1] = argv0
        if width is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = width


def report(error: XosError, session: Session) -> None:
    """Tell the user: a line and a hint, or with ``--json`` an object, on standard error."""
    if session.json:
        session.err(
            msgspec.json.encode(
                {
                    "error": {
                        "code": error.to_fault().code,
                        "message": error.message,
                        "hint": error.next_step,
                        "data": error.data,
                        "retry_after_ms": error.retry_after_ms,
                    }
                }
            ).decode()
        )
        return
    session.err(f"{session.name}: {clean(error.message)}")
    if error.next_step:
        session.err(f"{' ' * len(session.name)}  {clean(error.next_step)}")


def _our_fault(error: Exception, session: Session) -> int:
    incident = uuid.uuid4().hex[:8]
    report(InternalError(incident=incident), session)
    trace = "".join(traceback.format_exception(error))
    if session.agent is None:
        session.err(trace)
    else:
        sys.stderr.write(f"incident {incident}, command {session.name}\n{trace}")
    return InternalError.exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the program is called as: ``xps …``, or ``python -m xos.dixi xps …``.

    The user's agent is asked first, since it may hold the key, unless ``$XOS_NO_AGENT`` is set.
    """
    name, *args = [Path(sys.argv[0]).name, *sys.argv[1:]] if argv is None else argv
    env = dict(os.environ)
    try:
        _check_directory()
        status = None if env.get("XOS_NO_AGENT") else run_in_agent(name, args, env)
        return _run_here(name, args, env) if status is None else status
    except (UnknownCommand, NoDirectory) as error:
        hint = f"\n{' ' * len(name)}  {error.next_step}" if error.next_step else ""
        sys.stderr.write(f"{name}: {error.message}{hint}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED


def _check_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise NoDirectory from error


def _run_here(name: str, args: Sequence[str], env: Mapping[str, str]) -> int:
    if name == "xos-agent":
        from xos.dixi.agent.cli import main as agent_main

        return agent_main(args, env)
    command = find(name)
    if command.shell is not None and not args:
        return command.shell()
    return asyncio.run(_alone(command, args, name, env))


async def _alone(command: Command, args: Sequence[str], name: str, env: Mapping[str, str]) -> int:
    """Run a command here; its connections are closed while their event loop still runs."""
    with contextlib.closing(OwnTies(home_of(env))) as ties:
        return await invoke(command, args, own_session(name, ties, env))


def own_session(name: str, ties: Ties, env: Mapping[str, str]) -> Session:
    """The session of a command that runs in this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    return Session(
        name,
        ties,
        Input(0),
        DirectOutput(1),
        DirectOutput(2),
        cwd=Path.cwd(),
        env=env,
        width=width_of(1, env),
        umask=umask,
    )
