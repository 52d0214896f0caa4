# SPDX-License-Identifier: BSD-3-Clause
"""Commands for tests of how commands are run, and a way to install them for a test."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from xos.dixi.commands import Command, Session, add_json
from xos.dixi.errors import NotConnected

Run = Callable[[argparse.Namespace, Session], Awaitable[int]]


def plain(name: str) -> Callable[[], argparse.ArgumentParser]:
    """A command line of any words."""

    def parser() -> argparse.ArgumentParser:
        p = argparse.ArgumentParser(description="For tests.")
        p.add_argument("words", nargs="*")
        add_json(p)
        return p

    del name
    return parser


def command(name: str) -> Callable[[Run], Command]:
    return lambda run: Command(name=name, parser=plain(name), run=run)


@command("xt-true")
async def TRUE(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Does nothing."""
    return 0


@command("xt-show")
async def SHOW(args: argparse.Namespace, session: Session) -> int:  # noqa: N802
    """What a command sees of its surroundings."""
    seen = {
        "words": args.words,
        "name": session.name,
        "cwd": str(session.cwd),
        "home": str(session.home),
        "env": dict(session.env),
        "umask": session.umask,
        "columns": session.columns,
        "is_tty": session.is_tty,
        "in_agent": session.agent is not None,
    }
    session.out(msgspec.json.encode(seen).decode())
    return len(args.words)


@command("xt-cat")
async def CAT(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Standard input to standard output."""
    while data := await session.stdin.read(65536):
        await session.write(data)
    return 0


@command("xt-secret")
async def SECRET(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Asks for a secret and tells it."""
    session.out("told: " + await session.ask_secret("Secret: "))
    return 0


@command("xt-fail")
async def FAIL(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Raises an error that users understand."""
    raise NotConnected(address="node1:1", detail="\x1b[31mred")


@command("xt-crash")
async def CRASH(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Has a bug."""
    return 1 // 0


@command("xt-sleep")
async def SLEEP(args: argparse.Namespace, session: Session) -> int:  # noqa: N802
    """Says that it has begun, sleeps for ever, and leaves a mark when it is cancelled."""
    session.out("begun")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(session.path(args.words[0]).touch)
    return 0


@command("xt-flood")
async def FLOOD(args: argparse.Namespace, session: Session) -> int:  # noqa: N802
    """Prints as many kilobytes of x as asked, as fast as it can."""
    for _ in range(int(args.words[0])):
        await session.write(b"x" * 1023 + b"\n")
    return 0


@command("xt-lines")
async def LINES(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Prints lines for ever."""
    while True:
        session.out("line")
        await session.drain()
        await asyncio.sleep(0)


@command("xt-write")
async def WRITE(args: argparse.Namespace, session: Session) -> int:  # noqa: N802
    """Makes a file."""
    import os

    os.close(session.open_new(session.path(args.words[0])))
    return 0


async def _renew(args: argparse.Namespace, session: Session) -> int:
    """As ``get-xos-cert --renew``, but the new credential lies ready."""
    from xos.common.tls import Credential

    assert args.renew
    assert session.agent is not None
    session.agent.store(Credential.from_pem((session.home / "next.pem").read_bytes()))
    return 0


@command("xt-keep")
async def KEEP(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001, N802
    """Puts a credential that lies ready into the agent's memory."""
    return await _renew(argparse.Namespace(renew=True), session)


def _renewing() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser()
    p.add_argument("--renew", action="store_true")
    return p


RENEW = Command(name="get-xos-cert", parser=_renewing, run=_renew)


def _shell() -> int:
    print("a shell of my own")
    return 5


SHELL = Command(name="xt-shell", parser=plain("xt-shell"), run=TRUE.run, shell=_shell)
ALL = {c.name: c for c in (TRUE, SHOW, CAT, SECRET, FAIL, CRASH, SLEEP, FLOOD, LINES, WRITE, KEEP, SHELL)}


def install(directory: Path) -> None:
    """Make *directory*, once on the path, a place where these commands are installed."""
    info = directory / "xt_commands-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xt-commands\nVersion: 1\n")
    module = __name__
    lines = [f"{name} = {module}:{name.removeprefix('xt-').upper()}" for name in ALL]
    (info / "entry_points.txt").write_text("[xos.commands]\n" + "\n".join(lines) + "\n")
