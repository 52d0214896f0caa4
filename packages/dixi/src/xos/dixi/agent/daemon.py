# SPDX-License-Identifier: BSD-3-Clause
"""The agent as a whole, for as long as it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import uvloop

from xos.common.log import configure, get_logger
from xos.common.tls import Credential
from xos.dixi import commands
from xos.dixi.agent.keeper import Keeper, RunTies
from xos.dixi.agent.process import Protection, Seat, protect, raise_descriptor_limit
from xos.dixi.agent.protocol import Refusal
from xos.dixi.agent.registry import Registry
from xos.dixi.agent.renewal import Captured, keep_renewed, no_input
from xos.dixi.agent.server import Server
from xos.dixi.agent.ssh import SshServer
from xos.dixi.commands import Session, invoke
from xos.dixi.notify import Notifier
from xos.dixi.terminal import Input

log = get_logger("xos.agent")

RENEW = ("get-xos-cert", "--renew")
"""The command that gets a new certificate with the old one."""
TEND_SECONDS = 5.0
TRIAL_SECONDS = 10.0
AGENT = (sys.executable, "-P", "-m", "xos.dixi.agent", "run")


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
    """The code on disk has changed since it started; it starts anew, with all it has in memory, once nothing runs."""


class Agent:
    """What a command finds in `Session.agent`. Satisfies `xos.dixi.session.AgentKeys`."""

    def __init__(
        self, keeper: Keeper, registry: Registry, seat: Seat, protection: Protection, notifier: Notifier
    ) -> None:
        self.keeper = keeper
        self._notifier = notifier
        self._registry, self._seat, self._protection = registry, seat, protection
        self._server = Server(seat.listener, keeper, registry, self)
        self._ssh = SshServer(seat.path.with_name("ssh.sock"), lambda: keeper.credential)

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

    async def run(self) -> bytes | None:
        """Until `stop` or a signal: None. Until there is newer code to go on with: what is in memory."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._server.end)
        try:
            await self._ssh.start()
            async with asyncio.TaskGroup() as tasks:
                chores = [
                    tasks.create_task(keep_renewed(lambda: self.keeper.identity, self._renew), name="renewal"),
                    tasks.create_task(self._tend(), name="tend"),
                ]
                state = await self._until_over()
                for chore in chores:
                    chore.cancel()
        finally:
            await self._ssh.close()
            await self._server.close()
            self.keeper.close()
        return state

    async def _until_over(self) -> bytes | None:
        while True:
            await self._server.woken.wait()
            self._server.woken.clear()
            if self._server.over:
                return None
            if await _new_code_works():
                return self.keeper.freeze()
            log.warning("code.broken", detail="going on with the code in memory")
            self._registry.code.accept()
            self._server.resume()

    async def _tend(self) -> None:
        watched = self._notifier.watchdog_seconds
        while True:
            await asyncio.sleep(TEND_SECONDS if watched is None else min(watched, TEND_SECONDS))
            self.keeper.tend(asyncio.get_running_loop().time())
            if watched is not None:
                self._notifier.send("WATCHDOG=1")

    async def _renew(self) -> int:
        loaded = self._registry.find(RENEW[0])
        if isinstance(loaded, Refusal):
            return 127
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


async def _new_code_works() -> bool:
    """Whether an agent of the code on disk would start; the key in memory is not risked on it otherwise."""
    trial = await asyncio.create_subprocess_exec(*AGENT, "--try", stdin=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            return await trial.wait() == 0
    except TimeoutError:
        trial.kill()
        await trial.wait()
        return False


def load() -> Registry:
    """Every installed command, loaded."""
    registry = Registry()
    registry.preload(commands.names())
    return registry


def serve(seat: Seat, home: Path, env: Mapping[str, str], ready: Callable[[], None], state: bytes = b"") -> int:
    """Be the agent until told to stop; *ready* is called when commands are served.

    *state*: what `Keeper.freeze` gave in the process that this one takes the place of.
    """
    configure(service="xos-agent", node=os.uname().nodename)
    notifier = Notifier(env)
    protection = protect()
    raise_descriptor_limit()

    async def run() -> bytes | None:
        keeper = Keeper(home)
        keeper.thaw(state)
        agent = Agent(keeper, load(), seat, protection, notifier)
        gc.collect()
        gc.freeze()  # what was loaded stays: later collections need not look at it
        ready()
        notifier.send("READY=1")
        log.info("agent.ready", socket=str(seat.path), pid=os.getpid())
        return await agent.run()

    left = uvloop.run(run())
    if left is not None:
        log.info("agent.starts-anew", reason="newer code")
        os.execv(AGENT[0], [*AGENT, "--resume", seat.hand_over(left)])  # noqa: S606 -- ourselves
    notifier.send("STOPPING=1")
    seat.leave()
    return 0
