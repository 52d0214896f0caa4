# SPDX-License-Identifier: BSD-3-Clause
"""The main road once, with the commands that everybody uses: a VO, a user, a certificate, a job on two nodes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.setup.errors import DemoFailed
from xos.setup.local import users
from xos.setup.local.grid import LocalGrid, Say
from xos.setup.local.processes import Starting

VO, USER = "demo", "alice"
RENEW_BEFORE_SECONDS = 3600.0
STEP_SECONDS = 60.0
AGENT_SECONDS = 15.0


class Demo:
    """The demonstration in one grid; each step may be repeated."""

    def __init__(self, grid: LocalGrid, say: Say) -> None:
        self.grid, self.say = grid, say
        self.home = grid.root / "users" / USER
        self.programs = Path(sysconfig.get_path("scripts"))

    def people(self) -> None:
        """The VO, the user, her home."""
        users.make_home(self.home, self.grid.core)
        users.password(self.home)
        self._command("xos-vo", "create", VO, "--description", "for trying things out", home=self.grid.admin)
        words = ("add-user", VO, USER, "--password-file", str(self.home / "password"))
        self._command("xos-vo", *words, home=self.grid.admin)
        write_atomically(self.grid.root / "env", users.env_script(self.home, self.programs).encode(), 0o644)

    def agent(self) -> None:
        """Her agent, which holds the key; it outlives us. One that runs older code is replaced."""
        status = self._agent_status()
        if status is not None and not status.stale:
            return
        if status is not None:
            self._command("xos-agent", "stop", home=self.home)
        users.make_socket_directory(self.home)
        argv = [sys.executable, "-P", "-m", "xos.dixi", "xos-agent", "run"]
        env = self._environment(self.home)
        with Starting(f"{USER}'s agent", argv, log=self.home / "agent.log", env=env) as start:
            start.wait(AGENT_SECONDS)

    def certificate(self) -> None:
        """A certificate, unless she has one that is good for a while."""
        status = self._agent_status()
        if status is not None and (status.not_after or 0) > time.time() + RENEW_BEFORE_SECONDS:
            return
        words = (VO, USER, "--password-file", str(self.home / "password"))
        self.say(self._command("get-xos-cert", *words, home=self.home).strip())

    def _agent_status(self) -> users.AgentStatus | None:
        """What her agent says; None if there is none."""
        try:
            status = self._run("xos-agent", "status", "--json", home=self.home).stdout
            return msgspec.json.decode(status, type=users.AgentStatus)
        except msgspec.DecodeError:
            return None

    def job(self, description: Path) -> str:
        """Submit, and show the states as they change; the job's id."""
        with subprocess.Popen(
            self._argv("xsub", "--watch", "--file", str(description)),
            env=self._environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as submitted:
            lines = []
            for line in submitted.stdout or ():
                lines.append(line.strip())
                self.say(f"  {line.rstrip()}")
        if submitted.returncode != 0 or not lines:
            raise DemoFailed(step="the sample job", status=submitted.returncode, detail="see above")
        return lines[0]

    def output(self, job: str) -> str:
        """What the job's units have written, each line after its node's name."""
        return self._command("xout", job, home=self.home)

    def _command(self, name: str, *words: str, home: Path) -> str:
        """Run one of our commands; its output. Raises `DemoFailed`."""
        done = self._run(name, *words, home=home)
        if done.returncode != 0:
            raise DemoFailed(step=f"{name} {words[0]}", status=done.returncode, detail=done.stderr.strip())
        return done.stdout

    def _run(self, name: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._argv(name, *words),
            env=self._environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )

    def _argv(self, name: str, *words: str) -> list[str]:
        quick = self.programs / name
        return [str(quick), *words] if quick.exists() else [sys.executable, "-P", "-m", "xos.dixi", name, *words]

    def _environment(self, home: Path) -> Mapping[str, str]:
        return {**os.environ, **users.environment(home)}


def run_demo(grid: LocalGrid, say: Say, description: Path) -> None:
    """Run the job in *description* as alice, print what it wrote, and say how to go on. Raises `DemoFailed`."""
    demo = Demo(grid, say)
    say(f"VO {VO}, user {USER}")
    demo.people()
    demo.agent()
    demo.certificate()
    say(f"submitting {description.name}")
    job = demo.job(description)
    say("")
    sys.stdout.write(demo.output(job))
    sys.stdout.flush()
    shown = min(os.path.relpath(grid.root), str(grid.root), key=len)
    say("")
    for page in (node.page for node in grid.nodes if node.page):
        say(f"The web page:                 {page}/")
        say(f"                              VO {VO}, user {USER}, password in {shown}/users/{USER}/password")
    say(f"The grid is up. To use it:    . {shown}/env    then xsub, xps, xwait, xout, xkill")
    say(f"To stop it:                   {stop_command(shown)}")


def stop_command(shown: str) -> str:
    """How to stop the grid in *shown*, as its user would say it."""
    return "make stop" if shown == "build/grid" else f"xos-setup local down --root {shown}"
