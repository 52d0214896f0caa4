# SPDX-License-Identifier: BSD-3-Clause
"""The command ``xos-agent``: `COMMAND` is what runs inside the agent, `main` what runs when there is none."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xos.common.errors import XosError
from xos.dixi.agent.protocol import socket_path
from xos.dixi.commands import Command, Session, add_json
from xos.dixi.session import home_of

if TYPE_CHECKING:
    from xos.dixi.agent.daemon import Status

NOT_RUNNING = 3
"""Exit status of ``status`` (LSB: program is not running)."""
LOG = "agent.log"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="xos-agent",
        description="Keeps your XOS-Certificate, its key and warm connections, so that commands are quick.",
        epilog="Without an agent every command works too, only slower, and asks for the key's passphrase each time.",
    )
    actions = p.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("start", "start it in the background and return when it is ready"),
        ("run", "be the agent in the foreground (for a service manager)"),
        ("stop", "end it: commands that run in it are cancelled, the key in its memory is forgotten"),
        ("status", "show whom it acts as, until when, and what it is doing"),
        ("unlock", "give it the passphrase of your key"),
        ("lock", "let it forget the key"),
        ("env", "print shell commands that set XOS_AGENT_SOCK"),
    ):
        action = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        add_json(action)
        if name == "run":
            action.add_argument("--try", action="store_true", dest="trial", help=argparse.SUPPRESS)
            action.add_argument("--resume", help=argparse.SUPPRESS)
    return p


async def run(args: argparse.Namespace, session: Session) -> int:
    """What is asked of an agent that runs. Raises the errors of `Keeper.unlock`."""
    from xos.dixi.agent.daemon import Agent

    agent = session.agent
    if not isinstance(agent, Agent):
        return _without_agent(args, session.env)
    match args.action:
        case "status":
            _show(agent.status(), session)
        case "stop":
            agent.stop()
        case "unlock":
            secret = await session.ask_secret(f"Passphrase of {agent.keeper.home / 'user.key'}: ")
            identity = agent.keeper.unlock(secret.encode() or None)
            session.out(f"xos-agent acts as {identity} until {_when(identity.not_after)}")
        case "lock":
            agent.forget()
        case "env":
            session.out(_environment(session.env))
        case action:
            session.err(f"xos-agent already runs (pid {agent.status().pid})")
            return 0 if action == "start" else 1
    return 0


def _show(status: Status, session: Session) -> None:
    if session.json:
        session.out(msgspec.json.encode(status).decode())
        return
    acts = f"{status.user} until {_when(status.not_after or 0)}" if status.user else "nobody: it has no certificate"
    memory = [
        "other processes cannot read it" if status.undumpable else "other processes can read it",
        "never swapped" if status.locked else "may be swapped (RLIMIT_MEMLOCK)",
    ]
    session.out(
        f"xos-agent  pid {status.pid}, since {_when(int(status.started))}\n"
        f"acts as    {acts}\n"
        f"socket     {status.socket}\n"
        f"commands   {status.running - 1} running besides this, {status.served} begun\n"
        f"memory     {', '.join(memory)}"
    )
    if status.stale:
        session.out("upgraded   newer code is installed; it starts anew with it once no command runs")


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """What is asked when no agent runs. Returns the exit status."""
    args = parser().parse_args(argv)
    return _without_agent(args, env)


def _without_agent(args: argparse.Namespace, env: Mapping[str, str]) -> int:
    action: str = args.action
    if action == "env":
        sys.stdout.write(_environment(env) + "\n")
        return 0
    if action in ("stop", "status", "lock", "unlock"):
        sys.stderr.write(f"xos-agent: no agent runs at {socket_path(env)}\n")
        return 0 if action == "stop" else NOT_RUNNING
    from xos.dixi.agent import daemon, process

    home, state = home_of(env), b""
    if action == "run" and args.trial:
        daemon.load()
        return 0
    try:
        if action == "run" and args.resume:
            seat, state = process.Seat.take_over(Path(socket_path(env)), args.resume)
            return daemon.serve(seat, home, env, lambda: None, state)
        seat = process.Seat.take(Path(socket_path(env)))
        if action == "start":
            log = home / LOG
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            return process.detach(log, lambda ready: daemon.serve(seat, home, env, ready))
        return daemon.serve(seat, home, env, lambda: None)
    except XosError as error:
        sys.stderr.write(f"xos-agent: {error.message}\n           {error.next_step}\n")
        return error.exit_status


def _environment(env: Mapping[str, str]) -> str:
    return f"XOS_AGENT_SOCK={shlex.quote(socket_path(env))}; export XOS_AGENT_SOCK;"


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


COMMAND = Command(name="xos-agent", parser=parser, run=run)
