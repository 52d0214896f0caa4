# SPDX-License-Identifier: BSD-3-Clause
"""Submitting jobs."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import jobs
from bench.peers import slurm

_HELD = (
    "No job runs meanwhile: Slurm's nodes are drained, our jobs want one that there is not. "
    "The queue is emptied untimed."
)
_WHILE = (
    "Jobs start at once, on the same two cores: CPU is what both sides spend while submitting, on running jobs too."
)

ROWS = [
    Row(
        name="submit-xati",
        title="jobs submitted one after another, each acknowledged after fsync",
        unit="jobs/s",
        better=Better.MORE,
        goal=5.0,
        work="job",
        ours=Side("blocking XATI", partial(jobs.submit, parallel=1, running=False)),
        peer=Side("sbatch", partial(slurm.submit, parallel=1, running=False), needs="slurm"),
        note="Ours is the library in one process, which signs each job; Slurm has only the command, a process each. "
        + _HELD,
    ),
    Row(
        name="submit-xati-busy",
        title="the same while the jobs run",
        unit="jobs/s",
        better=Better.MORE,
        goal=None,
        work="job",
        ours=Side("blocking XATI", partial(jobs.submit, parallel=1, running=True)),
        peer=Side("sbatch", partial(slurm.submit, parallel=1, running=True), needs="slurm"),
        note="Of 200 jobs ours have run about half when the last is submitted, Slurm's a few. " + _WHILE,
    ),
    Row(
        name="submit-xati-8",
        title="jobs submitted by 8 clients at once while they run",
        unit="jobs/s",
        better=Better.MORE,
        goal=5.0,
        work="job",
        ours=Side("blocking XATI", partial(jobs.submit, parallel=8, running=True)),
        peer=Side("sbatch", partial(slurm.submit, parallel=8, running=True), needs="slurm"),
        note="Ours: 8 processes. " + _WHILE,
    ),
    Row(
        name="submit-xsub",
        title="the command that submits a job, start of the process to its end",
        unit="ms",
        better=Better.LESS,
        goal=1.0,
        work="command",
        ours=Side("xsub", partial(jobs.command, argv=jobs.XSUB_HELD, count=20)),
        peer=Side("sbatch", partial(slurm.command, argv=slurm.TRIVIAL, count=20, running=False), needs="slurm"),
        note="Median of 20 in each repetition; xsub with an agent running. " + _HELD,
    ),
]
