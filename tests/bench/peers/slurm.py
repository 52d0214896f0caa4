# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Slurm on loopback: munged, slurmctld and two slurmd of 8 CPUs each in an enclosure of their own.

Stock is the configuration with nothing set about scheduling; tuned is what brought most in our trials: every
delay at its least, a short back-fill interval, a queue depth beyond the number of jobs. Neither has accounting,
process tracking by control groups or task plug-ins, all of which cost Slurm time.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cpu import per
from bench.enclosure import HOST, Enclosure, enclosure
from bench.leftovers import short_directory
from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources
from bench.worker import Worker

NODES = 2
CPUS_PER_NODE = 8
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")


class Flavour(enum.Enum):
    """How it is configured."""

    STOCK = "stock"
    TUNED = "tuned"


TUNED = (
    "SchedulerParameters=batch_sched_delay=0,sched_min_interval=1000,sched_interval=1,"
    "default_queue_depth=5000,bf_interval=2"
)


def configuration(flavour: Flavour, state: Path, run: Path) -> str:
    """``slurm.conf``: *state* is what is kept on disk, *run* a directory with a short name for sockets."""
    nodes = "\n".join(
        f"NodeName=n{n} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={17000 + n} CPUs={CPUS_PER_NODE} State=UNKNOWN"
        for n in range(1, NODES + 1)
    )
    return f"""\
ClusterName=bench
SlurmctldHost={HOST}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={run}/munge.socket
StateSaveLocation={state}/ctld
SlurmdSpoolDir={run}/spool.%n
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.%n.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
{TUNED if flavour is Flavour.TUNED else ""}
{nodes}
PartitionName=all Nodes=n[1-{NODES}] Default=YES MaxTime=INFINITE State=UP
"""


def version() -> tuple[int, ...]:
    """Of the installed Slurm: (22, 5, 8)."""
    text = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


class Slurm:
    """The running cluster, with one driver inside that runs and times its commands."""

    def __init__(self, box: Enclosure, driver: Worker, state: Path) -> None:
        self._box = box
        self._driver = driver
        self.state = state

    def cpu(self) -> float | None:
        """CPU seconds of daemons, jobs and commands so far."""
        return self._box.meter.seconds()

    def run(self, argv: list[str], count: int = 1, parallel: int = 1, *, timeout: float = 120.0) -> dict[str, Any]:
        """Run a command *count* times; see the driver."""
        return self._driver.ask({"run": argv, "count": count, "parallel": parallel}, timeout=timeout)

    def chain(self, *commands: list[str], timeout: float = 60.0) -> dict[str, Any]:
        """Run commands that feed one another; see the driver."""
        return self._driver.ask({"chain": list(commands)}, timeout=timeout)

    def queued(self) -> int:
        """How many jobs have not ended; an array's waiting tasks count as one."""
        return len(str(self.chain(["squeue", "--noheader", "--format=%i"])["outs"][0]).split())

    def wait_until_empty(self, limit: float, *, every: float = 0.1) -> None:
        """Until every job has ended. Raises `CannotRun` when that takes longer than *limit* seconds."""
        end = time.monotonic() + limit
        while self.queued():
            if time.monotonic() > end:
                raise CannotRun(f"Slurm's jobs do not end within {limit:.0f} s (logs in {self.state})")
            time.sleep(every)

    def cancel_all(self) -> None:
        """End what is still queued, and wait until it is gone."""
        self.chain(["scancel", "--user=root"])
        self.wait_until_empty(120)


@contextlib.contextmanager
def start(build: Path, flavour: Flavour) -> Iterator[Slurm]:
    """Start a cluster from nothing. Raises `CannotRun` when a program is missing or a node does not come up."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise CannotRun(f"not installed: {', '.join(missing)} (tests/bench/install-peers slurm)")
    state = build / "slurm" / flavour.value
    shutil.rmtree(state, ignore_errors=True)
    (state / "ctld").mkdir(parents=True)
    with (
        short_directory("slurm") as run,
        enclosure(f"slurm-{flavour.value}", state) as box,
        contextlib.ExitStack() as stack,
    ):
        settings = {"SLURM_CONF": str(state / "slurm.conf")}
        (state / "slurm.conf").write_text(configuration(flavour, state, run))
        (state / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if version() >= (23, 11) else "")
        for n in range(1, NODES + 1):
            (run / f"spool.n{n}").mkdir()
        for daemon in _daemons(state, run):
            stack.enter_context(_daemon(box, state, daemon, settings))
        driver = stack.enter_context(
            box.worker("driver", ["python3", str(Path(__file__).parents[1] / "driver.py")], env=settings)
        )
        driver.hear()
        slurm = Slurm(box, driver, state)
        _wait_for_nodes(slurm)
        yield slurm


def _daemons(state: Path, run: Path) -> list[list[str]]:
    key = run / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={run}/munge.socket"]
    munged += [f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed", f"--log-file={state}/munged.log"]
    slurmds = [["slurmd", "-D", "-N", f"n{n}"] for n in range(1, NODES + 1)]
    return [munged, ["slurmctld", "-D", "-i"], *slurmds]


@contextlib.contextmanager
def _daemon(box: Enclosure, state: Path, argv: list[str], env: dict[str, str]) -> Iterator[None]:
    with (state / f"{argv[0]}.out").open("ab") as out:
        process = subprocess.Popen(
            box.wrap(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **env},
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for_nodes(slurm: Slurm) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            idle = slurm.chain(["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"])["outs"][0]
        except CannotRun:
            idle = ""
        if len(str(idle).split()) == NODES:
            return
        if time.monotonic() > end:
            raise CannotRun(f"Slurm does not come up (logs in {slurm.state})")
        time.sleep(0.1)


JOB_LENGTHS = (1.0, 0.2, 1.4, 0.6, 1.8)
"""Seconds, spread over the 2 s after which ``sbatch --wait`` first looks, so that no phase of it is favoured."""

DRAIN = ["scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=bench"]
RESUME = ["scontrol", "update", "NodeName=ALL", "State=RESUME"]
TRIVIAL = ["sbatch", "--output=/dev/null", "--wrap=true"]


def _get(resources: Resources, flavour: Flavour) -> Slurm:
    return resources.get(("slurm", flavour), lambda: start(resources.build, flavour), what=f"Slurm, {flavour.value}")


def submit(resources: Resources, *, parallel: int, running: bool) -> Measure:
    """Jobs a second taken by ``sbatch``, *parallel* at once. The queue is emptied, untimed, after each repetition.

    *running*: whether the jobs may start meanwhile.
    """
    slurm, count = _get(resources, Flavour.TUNED), resources.scaled(200, 8)

    def measure() -> Sample:
        if not running:
            slurm.chain(DRAIN)
        before = slurm.cpu()
        wall = slurm.run(TRIVIAL, count, parallel)["wall"]
        after = slurm.cpu()
        slurm.cancel_all()
        if not running:
            slurm.chain(RESUME)
        return Sample(count / wall, per(before, after, count))

    return measure


def command(resources: Resources, argv: list[str], *, count: int, running: bool = True) -> Measure:
    """Milliseconds that one command takes, the median of *count*. *running*: whether its jobs may start meanwhile."""
    slurm, times = _get(resources, Flavour.TUNED), resources.scaled(count, 5)

    def measure() -> Sample:
        if not running:
            slurm.chain(DRAIN)
        before = slurm.cpu()
        took = sorted(slurm.run(argv, times)["took"])
        after = slurm.cpu()
        slurm.cancel_all()
        if not running:
            slurm.chain(RESUME)
        return Sample(took[len(took) // 2] * 1e3, per(before, after, times))

    return measure


def queue(resources: Resources, *, jobs: int) -> Measure:
    """Milliseconds that ``squeue`` takes with *jobs* waiting."""
    slurm = _get(resources, Flavour.TUNED)
    timed = command(resources, ["squeue"], count=20)

    def measure() -> Sample:
        slurm.run([*TRIVIAL, "--hold"], jobs)
        return timed()

    return measure


def wait_returns(resources: Resources) -> Measure:
    """Milliseconds from the last thing a job does to the end of the ``sbatch --wait`` that waits for it."""
    slurm = _get(resources, Flavour.TUNED)
    mark = slurm.state / "ended"
    lengths = itertools.cycle(JOB_LENGTHS)

    def measure() -> Sample:
        before = slurm.cpu()
        script = f"sleep {next(lengths)}; date +%s.%N >{mark}"
        waited = slurm.chain(["sbatch", "--wait", "--output=/dev/null", f"--wrap={script}"])
        return Sample((waited["ended"] - float(mark.read_text())) * 1e3, per(before, slurm.cpu(), 1))

    return measure


def thousand(resources: Resources, flavour: Flavour, *, array: bool) -> Measure:
    """Jobs a second from the first submission until all have ended: one array, or ``sbatch`` 8 at once."""
    slurm, count = _get(resources, flavour), resources.scaled(1000, 20)

    def measure() -> Sample:
        before, begin = slurm.cpu(), time.perf_counter()
        if array:
            slurm.run([*TRIVIAL, f"--array=1-{count}"])
        else:
            slurm.run(TRIVIAL, count, 8)
        slurm.wait_until_empty(600, every=0.25)
        wall = time.perf_counter() - begin
        return Sample(count / wall, per(before, slurm.cpu(), count))

    return measure
