# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows about jobs."""

from __future__ import annotations

import itertools
import time

from bench.cpu import per
from bench.model import Measure, Sample
from bench.ours import grid
from bench.peers.slurm import JOB_LENGTHS
from bench.resources import Resources

XSUB_HELD = ["xsub", "--host", "nowhere", "--", "/bin/true"]


def submit(resources: Resources, *, parallel: int, running: bool) -> Measure:
    """Jobs a second taken through blocking XATI by *parallel* client processes, each job acknowledged after fsync.

    *running*: whether the jobs may start meanwhile.
    """
    ours, count = grid.get(resources), resources.scaled(200, 8)
    each = max(1, count // parallel)
    clients = ours.clients[:parallel]

    def measure() -> Sample:
        before, begin = ours.cpu(), time.perf_counter()
        for client in clients:
            client.tell({"do": "submit", "count": each, "held": not running})
        for client in clients:
            client.hear()
        wall, after = time.perf_counter() - begin, ours.cpu()
        if not running:
            ours.client({"do": "cancel"})
        ours.wait_until_empty()
        return Sample(each * parallel / wall, per(before, after, each * parallel))

    return measure


def command(resources: Resources, argv: list[str], *, count: int) -> Measure:
    """Milliseconds that one command takes, the median of *count*; jobs that it leaves are cancelled, untimed."""
    ours, times = grid.get(resources), resources.scaled(count, 5)

    def measure() -> Sample:
        before = ours.cpu()
        took = sorted(ours.run(argv, times)["took"])
        after = ours.cpu()
        ours.client({"do": "cancel"})
        ours.wait_until_empty()
        return Sample(took[len(took) // 2] * 1e3, per(before, after, times))

    return measure


def listing(resources: Resources, *, jobs: int) -> Measure:
    """Milliseconds that ``xps`` takes to list the *jobs* newest, which have ended."""
    ours = grid.get(resources)
    timed = command(resources, ["xps", "--all", "--limit", str(jobs)], count=20)

    def measure() -> Sample:
        ours.client({"do": "submit", "count": jobs})
        ours.wait_until_empty()
        return timed()

    return measure


def follow(resources: Resources, until: str) -> Measure:
    """Milliseconds from the submission until the client hears of *until* (``running`` or ``done``), the median."""
    ours, times = grid.get(resources), resources.scaled(20, 5)

    def measure() -> Sample:
        before = ours.cpu()
        took = sorted(ours.client({"do": "follow", "count": times})[until])
        return Sample(took[len(took) // 2] * 1e3, per(before, ours.cpu(), times))

    return measure


def wait_returns(resources: Resources) -> Measure:
    """Milliseconds from the last thing a job does to the end of the ``xwait`` that waits for it."""
    ours = grid.get(resources)
    lengths = itertools.cycle(JOB_LENGTHS)

    def measure() -> Sample:
        before = ours.cpu()
        script = f"sleep {next(lengths)}; date +%s.%N"
        waited = ours.chain(["xsub", "--", "/bin/sh", "-c", script], ["xwait", "{}"])
        ended = float(ours.chain(["xout", waited["outs"][0]])["outs"][0])
        return Sample((waited["ended"] - ended) * 1e3, per(before, ours.cpu(), 1))

    return measure


def thousand(resources: Resources) -> Measure:
    """Jobs a second from the first submission until all have ended: one client, blocking XATI."""
    ours, count = grid.get(resources), resources.scaled(1000, 20)

    def measure() -> Sample:
        before = ours.cpu()
        wall = ours.client({"do": "thousand", "count": count}, timeout=600)["wall"]
        return Sample(count / wall, per(before, ours.cpu(), count))

    return measure
