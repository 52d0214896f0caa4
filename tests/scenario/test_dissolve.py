# SPDX-License-Identifier: BSD-3-Clause
"""The end of a VO, on a grid that is at work: within a minute nobody honours it, and what it was is in the archive."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.localgrid import VO, Grid, User
from xos.aem.xati import JobManagerAsync, ResourceManagerAsync
from xos.common.certificate import make_csr, make_key
from xos.common.errors import XosError
from xos.dixi.client import connect
from xos.dixi.hosting import Bus
from xos.vom.api import CertificateWish
from xos.vom.xati import CDAAsync

WITHIN_SECONDS = 60.0


def until(true: Callable[[], bool], what: str, seconds: float = WITHIN_SECONDS) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def refusal(user: User, call: Callable[[Bus], Awaitable[object]]) -> str:
    """The code of the error that a call with the user's certificate ends with; empty: it does not."""

    async def ask() -> str:
        async with connect(user.home) as bus:
            try:
                await call(bus)
            except XosError as error:
                return error.code
        return ""

    return asyncio.run(ask())


def states(grid: Grid) -> dict[str, tuple[str, str]]:
    """State and reason of every job, as the Job Manager has them on disk."""
    (place,) = grid.root.glob("core/**/jobs.sqlite")
    database = sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=10)
    rows = database.execute("select job_id, state, reason from jobs").fetchall()
    database.close()
    return {job: (state, reason) for job, state, reason in rows}


def alive(pids: Path) -> list[int]:
    """Which of the processes whose numbers are in files are there."""
    return [pid for file in pids.glob("pid-*") if Path(f"/proc/{(pid := int(file.read_text()))}").exists()]


@pytest.fixture(scope="module")
def alice(grid: Grid) -> User:
    return grid.user("alice", ("VOManager",))


def test_within_a_minute_its_certificates_are_refused_its_jobs_are_over_and_it_is_archived(
    grid: Grid, alice: User
) -> None:
    script = "echo $$ > {0}/new-$XOS_UNIT_ID; mv {0}/new-$XOS_UNIT_ID {0}/pid-$XOS_UNIT_ID; exec sleep 1000"
    alice.submit(script.format(grid.effects), units=2)
    until(lambda: len(alive(grid.effects)) == 2, "a job runs")
    # More than the nodes have room for.
    waiting = [alice.submit("exec sleep 1000", units=2) for _ in range(20)]
    calls: dict[str, Callable[[Bus], Awaitable[object]]] = {
        "CDA": lambda bus: CDAAsync(bus).issue(CertificateWish(VO, "alice", make_csr(make_key(), "alice"))),
        "JobManager": lambda bus: JobManagerAsync(bus).list_jobs(),
        "node1": lambda bus: ResourceManagerAsync(bus, "node1").describe_resource(),
        "node2": lambda bus: ResourceManagerAsync(bus, "node2").describe_resource(),
    }
    assert {name: refusal(alice, call) for name, call in calls.items()} == dict.fromkeys(calls, "")
    assert {states(grid)[job][0] for job in waiting} >= {"PENDING"}

    made = json.loads(alice.run("xos-vo", "dissolve", VO, "--yes", "--json").stdout)
    began = time.monotonic()
    for name, call in calls.items():
        until(lambda call=call: refusal(alice, call).startswith("cert."), f"{name} refuses the certificate")  # type: ignore[misc]
    until(lambda: alive(grid.effects) == [], "units of the VO are ended")
    until(lambda: {state for state, _ in states(grid).values()} <= {"CANCELLED", "FAILED"}, "its jobs are over")
    assert time.monotonic() - began < WITHIN_SECONDS
    # Whoever hears of it first: the Job Manager, a node, or VOPS, which is asked when a slot becomes free.
    told = f"cancelled by the end of VO {VO}", ": killed", "is revoked"
    assert [reason for _, reason in states(grid).values() if not any(part in reason for part in told)] == []
    assert (
        "wrong VO, user or password"
        in alice.run(
            "get-xos-cert", VO, "alice", "--password-file", str(alice.home / "password"), "--no-passphrase", status=None
        ).stderr
    )

    # What is left is for auditors, and believed because it is signed.
    kept = grid.place / "archive.json"
    grid.core.run("xos-vo", "archive", VO, "-o", str(kept))
    said = json.loads(grid.core.run("xos-vo", "archive", VO, "--json").stdout)
    assert "alice" in {user["name"] for user in said["users"]}
    assert kept.stat().st_size == made["size"]
    acts = json.loads(grid.core.run("xos-audit", "trail", VO, "--json").stdout)
    assert acts[0]["act"] == "vo-dissolved"
    assert "was dissolved" in grid.core.run("xos-vo", "create", VO, status=None).stderr


def test_what_was_dissolved_stays_so_when_every_daemon_is_killed(grid: Grid, alice: User) -> None:
    for node in ("core", "node1", "node2"):
        grid.kill(node)
    grid.up()
    call: Callable[[Bus], Awaitable[object]]
    for call in (
        lambda bus: JobManagerAsync(bus).list_jobs(),
        lambda bus: ResourceManagerAsync(bus, "node1").describe_resource(),
    ):
        until(lambda call=call: refusal(alice, call).startswith("cert."), "the certificate is refused")  # type: ignore[misc]
    assert VO not in {vo["name"] for vo in json.loads(grid.core.run("xos-vo", "list", "--json").stdout)}
