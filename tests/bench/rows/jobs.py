# SPDX-License-Identifier: BSD-3-Clause
"""Running jobs, waiting for them, listing them."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import jobs
from bench.peers import slurm
from bench.peers.slurm import Flavour

_SRUN = Side("srun true", partial(slurm.command, argv=["srun", "true"], count=20), needs="slurm")


def _thousand(name: str, peer: str, flavour: Flavour, *, array: bool, repetitions: int, note: str) -> Row:
    return Row(
        name=name,
        title="1,000 trivial jobs, from the first submission to the end of the last, on 2 nodes of 8 CPUs",
        unit="jobs/s",
        better=Better.MORE,
        goal=3.0,
        repetitions=repetitions,
        work="job",
        ours=Side("XATI, separate jobs", jobs.thousand),
        peer=Side(peer, partial(slurm.thousand, flavour=flavour, array=array), needs="slurm"),
        note=note,
    )


ROWS = [
    Row(
        name="run-start",
        title="a job's submission until its user hears that it runs",
        unit="ms",
        better=Better.LESS,
        goal=1.0,
        work="job",
        ours=Side("XATI, pushed", partial(jobs.follow, until="running")),
        peer=_SRUN,
        note="srun says nothing before it ends, so its whole time stands here. Median of 20 in each repetition.",
    ),
    Row(
        name="run-latency",
        title="a job's submission until its user hears that it is done",
        unit="ms",
        better=Better.LESS,
        goal=1.0,
        work="job",
        ours=Side("XATI, pushed", partial(jobs.follow, until="done")),
        peer=_SRUN,
        note="Ours is the library in a running process; srun's time has the start of its process in it.",
    ),
    Row(
        name="wait-returns",
        title="a job's end until the command that waits for it returns",
        unit="ms",
        better=Better.LESS,
        bound=20.0,
        work="job",
        ours=Side("xwait", jobs.wait_returns),
        peer=Side("sbatch --wait", slurm.wait_returns, needs="slurm"),
        note="From the last thing the job does (it writes the time). sbatch looks after 2 s, then ever more seldom; "
        "the jobs' lengths are spread over those 2 s.",
    ),
    _thousand(
        "jobs-1000",
        "tuned, sbatch x8",
        Flavour.TUNED,
        array=False,
        repetitions=3,
        note="Slurm tuned; 8 sbatch at once submit separate jobs, which is what ours are.",
    ),
    _thousand(
        "jobs-1000-array",
        "tuned, one array",
        Flavour.TUNED,
        array=True,
        repetitions=2,
        note="Slurm tuned; one array, submitted at once: what its manual recommends. Ours stay separate jobs.",
    ),
    _thousand(
        "jobs-1000-stock",
        "stock, one array",
        Flavour.STOCK,
        array=True,
        repetitions=1,
        note="Slurm as Debian sets it up; one repetition, as it takes minutes.",
    ),
    Row(
        name="xps",
        title="the command that lists 20 jobs",
        unit="ms",
        better=Better.LESS,
        goal=1.0,
        work="command",
        ours=Side("xps", partial(jobs.listing, jobs=20)),
        peer=Side("squeue", partial(slurm.queue, jobs=20), needs="slurm"),
        note="Ours: the 20 newest, which have ended; Slurm's are held. Both sides still know the jobs of earlier rows. "
        "Median of 20 in each repetition; xps with an agent running.",
    ),
]
