# SPDX-License-Identifier: BSD-3-Clause
"""Submitting jobs."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import jobs
from bench.peers import slurm

_WHILE = "CPU is what both sides spend while submitting, on jobs that already run too; the queue is emptied untimed."

ROWS = [
    Row(
        name="submit-xati",
        title="jobs submitted one after another, each acknowledged after fsync",
        unit="jobs/s",
        better=Better.MORE,
        goal=5.0,
        work="job",
        ours=Side("blocking XATI", partial(jobs.submit, parallel=1)),
        peer=Side("sbatch", partial(slurm.submit, parallel=1), needs="slurm"),
        note="Ours is the library in one process, which signs each job; Slurm has only the command, a process each. "
        + _WHILE,
    ),
    Row(
        name="submit-xati-8",
        title="the same by 8 clients at once",
        unit="jobs/s",
        better=Better.MORE,
        goal=5.0,
        work="job",
        ours=Side("blocking XATI", partial(jobs.submit, parallel=8)),
        peer=Side("sbatch", partial(slurm.submit, parallel=8), needs="slurm"),
        note="Ours: 8 processes. " + _WHILE,
    ),
    Row(
        name="submit-xsub",
        title="the command that submits a job, start of the process to its end",
        unit="ms",
        better=Better.LESS,
        goal=1.0,
        work="command",
        ours=Side("xsub", partial(jobs.command, argv=jobs.XSUB, count=20)),
        peer=Side("sbatch", partial(slurm.command, argv=slurm.TRIVIAL, count=20), needs="slurm"),
        note="Median of 20 in each repetition; xsub with an agent running.",
    ),
]
