# SPDX-License-Identifier: BSD-3-Clause
"""The grid of `xos-setup local` in an enclosure of its own, with as many nodes and CPUs as the Slurm beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.enclosure import Enclosure, enclosure
from bench.leftovers import short_directory
from bench.model import CannotRun
from bench.peers.slurm import CPUS_PER_NODE, NODES
from bench.resources import Resources
from bench.worker import Worker

CLIENTS = 8
"""For what is done in parallel; as many commands run at once on the peer's side."""
VO, USER = "demo", "alice"


@dataclasses.dataclass(frozen=True, slots=True)
class Grid:
    """The running grid, and workers inside its enclosure."""

    box: Enclosure
    root: Path
    driver: Worker
    """Runs commands."""
    clients: tuple[Worker, ...]
    """Blocking XATI, one process each (`bench.ours.xati`)."""
    env: dict[str, str]

    def cpu(self) -> float | None:
        """CPU seconds of daemons, jobs, commands and clients so far."""
        return self.box.meter.seconds()

    def worker(self, name: str, argv: list[str]) -> Worker:
        """Another worker inside."""
        return self.box.worker(name, argv, env=self.env)

    def run(self, argv: list[str], count: int = 1, *, timeout: float = 120.0) -> dict[str, Any]:
        """Run a command *count* times; see the driver."""
        return self.driver.ask({"run": argv, "count": count, "parallel": 1}, timeout=timeout)

    def chain(self, *commands: list[str], timeout: float = 60.0) -> dict[str, Any]:
        """Run commands that feed one another; see the driver."""
        return self.driver.ask({"chain": list(commands)}, timeout=timeout)

    def client(self, request: dict[str, Any], *, timeout: float = 120.0) -> dict[str, Any]:
        """Ask the first client; see `bench.ours.xati`."""
        return self.clients[0].ask(request, timeout=timeout)

    def wait_until_empty(self) -> None:
        """Until every job has ended."""
        self.client({"do": "drain"}, timeout=300)


def get(resources: Resources) -> Grid:
    """The grid of this run."""
    grid: Grid = resources.get("grid", lambda: start(resources.root, resources.build), what="a grid of our own")
    return grid


@contextlib.contextmanager
def start(root: Path, build: Path, *, name: str = "grid", nodes: int = NODES) -> Iterator[Grid]:
    """Bring a new grid up. Raises `CannotRun` when it does not come up."""
    where, logs = build / name, build / f"{name}-logs"
    for old in (where, logs):
        shutil.rmtree(old, ignore_errors=True)
    logs.mkdir(parents=True)
    programs, home = Path(sys.executable).parent, where / "users" / USER
    with short_directory("agent") as agent, enclosure(name, logs) as box, contextlib.ExitStack() as stack:
        password = secrets.token_urlsafe(18)
        env = {
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(root / "tests"),
            "XOS_HOME": str(home),
            "XOS_AGENT_SOCK": str(agent / "agent.sock"),
            "BENCH_PASSWORD": password,
        }
        size = ["--nodes", str(nodes), "--slots", str(CPUS_PER_NODE), "--no-web"]
        _do(box, logs, [str(programs / "xos-setup"), "local", "up", "--root", str(where), *size], env)
        people = [sys.executable, "-m", "bench.ours.people", str(where), str(home), VO, USER]
        _do(box, logs, people, env, typed=f"{password}\n")
        _do(box, logs, [sys.executable, "-P", "-m", "xos.dixi", "xos-agent", "start"], env)
        driver = [sys.executable, str(Path(__file__).parents[1] / "driver.py")]
        client = [sys.executable, "-m", "bench.ours.xati"]
        workers = [stack.enter_context(box.worker("driver", driver, env=env))]
        workers += [stack.enter_context(box.worker(f"client-{n}", client, env=env)) for n in range(CLIENTS)]
        for worker in workers:
            worker.hear(timeout=60)
        yield Grid(box, where, workers[0], tuple(workers[1:]), env)


def _do(box: Enclosure, logs: Path, argv: list[str], env: dict[str, str], *, typed: str = "") -> None:
    log = logs / "setup.log"
    with log.open("ab") as out:
        try:
            done = subprocess.run(
                box.wrap(argv),
                input=typed.encode(),
                stdout=out,
                stderr=out,
                env={"LANG": "C.UTF-8", **env},
                timeout=120,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise CannotRun(f"{' '.join(argv)} does not end ({log})") from None
    if done.returncode != 0:
        lines = log.read_text(errors="replace").splitlines()
        said = [line for line in lines if line and not line.startswith(" ")] or ["it does not say why"]
        raise CannotRun(f"{' '.join(argv[:4])} ended with {done.returncode}: {said[-1][:300]} ({log})")
