# SPDX-License-Identifier: BSD-3-Clause
"""The agent as a whole, for as long as it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from xos.common.log import configure, get_logger
from xos.common.tls import Credential
from xos.dixi import commands
from xos.dixi.agent.keeper import Keeper, RunTies
from xos.dixi.agent.process import Protection, Seat, protect, raise_descriptor_limit
from xos.dixi.agent.protocol import Refusal
from xos.dixi.agent.registry import Registry
from xos.dixi.agent.renewal import Captured, keep_renewed, no_input
from xos.dixi.agent.server import Server
from xos.dixi.commands import Session, invoke
from xos.dixi.notify import Notifier
from xos.dixi.terminal import Input

log = get_logger("xos.agent")

RENEW = ("get-xos-cert", "--renew")
"""The command that gets a new certificate with the old one."""
TEND_SECONDS = 5.0


class Status(msgspec.Struct, frozen=True):
    """What ``xos-agent status`` tells."""

    pid: int
    socket: str
    home: str
    started: float
    """Unix seconds."""
    running: int
    """Commands, with the one that asks."""
    served: int
    """Commands begun since the start."""
    user: str | None
    """Whom it acts as; None without a certificate."""
    not_after: int | None
    """Unix seconds: end of the certificate."""
    undumpable: bool
    locked: bool
    stale: bool
    """The code on disk has changed since it started: commands run in processes of their own until it is restarted."""


class Agent:
    """What a command finds in `Session.agent`. Satisfies `xos.dixi.session.AgentKeys`."""

    def __init__(self, keeper: Keeper, registry: Registry, seat: Seat, protection: Protection) -> None:
        self.keeper = keeper
        self._registry, self._seat, self._protection = registry, seat, protection
        self._server = Server(seat.listener, keeper, registry, self)

    def store(self, credential: Credential) -> None:
        """See `AgentKeys.store`."""
        self.keeper.store(credential)

    def forget(self) -> None:
        """See `AgentKeys.forget`."""
        self.keeper.forget()

    def status(self) -> Status:
        """What it is doing."""
        identity = self.keeper.identity
        return Status(
            pid=os.getpid(),
            socket=str(self._seat.path),
            home=str(self.keeper.home),
            started=self._server.started,
            running=self._server.running,
            served=self._server.served,
            user=str(identity) if identity else None,
            not_after=identity.not_after if identity else None,
            undumpable=self._protection.undumpable,
            locked=self._protection.locked,
            stale=self._registry.code.changed(),
        )

    def stop(self) -> None:
        """End when the command that asks for it has ended."""
        self._server.stop()

    async def run(self) -> None:
        """Until `stop` or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._server.ended.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                chores = [
                    tasks.create_task(keep_renewed(lambda: self.keeper.identity, self._renew), name="renewal"),
                    tasks.create_task(self._tend(), name="tend"),
                ]
                await self._server.ended.wait()
                for chore in chores:
                    chore.cancel()
        finally:
            await self._server.close()
            self.keeper.close()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            self.keeper.tend(asyncio.get_running_loop().time())

    async def _renew(self) -> int:
        found = self._registry.find(RENEW[0])
        if isinstance(found, Refusal) and found is not Refusal.STALE:
            return 127
        loaded = self._registry.load(RENEW[0])
        ties, said, stdin = RunTies(self.keeper), Captured(), no_input()
        home = self.keeper.home
        env = {"XOS_HOME": str(home), "HOME": str(Path.home())}
        try:
            session = Session(RENEW[0], ties, Input(stdin), said, said, cwd=home, env=env, agent=self)
            status = await invoke(loaded.command, RENEW[1:], session, loaded.parser)
        finally:
            ties.close()
            os.close(stdin)
        if status:
            log.warning("renewal.said", text=said.data.decode(errors="replace"))
        return status


def serve(seat: Seat, home: Path, env: Mapping[str, str], ready: Callable[[], None]) -> int:
    """Be the agent until told to stop; *ready* is called when commands are served."""

    async def run() -> None:
        registry = Registry()
        registry.preload(commands.names())
        agent = Agent(Keeper(home), registry, seat, protection)
        gc.collect()
        gc.freeze()  # what was loaded stays: later collections need not look at it
        ready()
        notifier.send("READY=1")
        log.info("agent.ready", socket=str(seat.path), pid=os.getpid(), at=time.time())
        await agent.run()
        notifier.send("STOPPING=1")

    configure(service="xos-agent", node=os.uname().nodename)
    notifier = Notifier(env)
    protection = protect()
    raise_descriptor_limit()
    try:
        asyncio.run(run())
    finally:
        seat.leave()
    return 0
