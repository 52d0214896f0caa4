# SPDX-License-Identifier: BSD-3-Clause
"""Replicas in simulated time: whatever fails, nothing acknowledged is lost, and the check that says so can fail."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from support.osdsim import FILE, Cell, Client, Run, World, Wrong, faults
from support.simdisk import SimDisk
from support.virtual import run
from xos.xtreemfs.api import PROMISE_SECONDS, Step
from xos.xtreemfs.errors import Gap, TooFewReplicas
from xos.xtreemfs.osd.checksums import Mark
from xos.xtreemfs.osd.following import Follower
from xos.xtreemfs.osd.leading import Lead
from xos.xtreemfs.osd.share import Admit, unchanged

SECONDS = float(os.environ.get("XOS_FAULT_SECONDS", "30"))
"""Simulated, for each seed; 3600 takes some minutes."""


@pytest.mark.timeout(20 if SECONDS <= 30 else 0)
@pytest.mark.parametrize("seed", range(3))
def test_every_acknowledged_write_is_read_back(seed: int) -> None:
    seen = run(faults(seed, SECONDS))
    assert seen.writes > 5 * SECONDS
    assert seen.reads > 10 * SECONDS
    assert seen.world.troubles > SECONDS / 20


def caught(seeds: range) -> bool:
    """Whether any of some seeds shows that something is wrong."""
    return any(_wrong(seed) for seed in seeds)


def _wrong(seed: int) -> bool:
    try:
        run(faults(seed, 30, pause=0.1, rest=1.0))
    except (Wrong, ExceptionGroup, TimeoutError) as error:
        return not isinstance(error, ExceptionGroup) or error.subgroup(Wrong) is not None
    return False


def test_a_primary_that_does_not_wait_for_a_majority_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: Lead, version: int) -> None:  # noqa: ARG001
        await asyncio.sleep(0)

    monkeypatch.setattr(Lead, "_acknowledged", at_once)
    assert caught(range(20))


def test_replicas_that_hear_older_primaries_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(file_id: str, term: int, file: object, mark: Mark) -> None:  # noqa: ARG001
        return

    def promising(file_id: str, term: int) -> Admit:  # noqa: ARG001
        return lambda mark: mark._replace(promised=term)

    monkeypatch.setattr(Follower, "_check", staticmethod(never))
    monkeypatch.setattr(Follower, "_promising", staticmethod(promising))
    assert caught(range(20))


def test_a_step_that_comes_late_does_not_lie_over_what_was_copied_since() -> None:
    async def scenario() -> None:
        disk = SimDisk(random.Random(0))
        follower = Follower(disk)
        _, join = await follower.follow(FILE, 1)
        await follower.adopt(FILE, 1, join, 8, 0, 0, 0)
        await follower.replicate(FILE, 1, Step(1, 0, 0, b"a" * 8))
        # Step 2 is late, step 3 fails for lack of it; so the primary copies what it has after step 4.
        _, join = await follower.follow(FILE, 1)
        await follower.patch(FILE, 1, join, 0, b"d" * 8, 0)
        with pytest.raises(Gap):
            await follower.replicate(FILE, 1, Step(2, 0, 0, b"b" * 8))
        await follower.adopt(FILE, 1, join, 8, 0, 4, 0)
        await follower.replicate(FILE, 1, Step(3, 0, 0, b"c" * 8))  # it has that
        assert bytes(disk.data) == b"d" * 8
        await follower.replicate(FILE, 1, Step(5, 0, 0, b"e" * 8))
        assert bytes(disk.data) == b"e" * 8

    run(scenario())


def test_a_primary_that_is_cut_off_tells_nothing_old() -> None:
    async def scenario() -> None:
        world = World(1)
        await asyncio.sleep(PROMISE_SECONDS)
        seen, cell = Run(world), Cell(0)
        reader = Client("other")
        await seen.write(Client("client"), cell)
        await seen.read(reader, cell)
        world.cut = {frozenset({"osd1", "osd2"}), frozenset({"osd1", "osd3"})}
        world.term, world.primary = 2, 1
        began = asyncio.get_running_loop().time()
        await seen.write(Client("client", 2, 1), cell)
        assert asyncio.get_running_loop().time() - began > PROMISE_SECONDS / 2  # as long as the old one may still read
        old = await world.nodes[0].leading(1)
        with pytest.raises(TooFewReplicas):
            await old.read(0, 8, unchanged)
        world.cut = set()
        await seen.read(reader, cell)
        for node in world.nodes:
            await node.kill()

    run(scenario())


def test_a_sync_that_leaves_the_others_out_is_caught_when_the_power_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def alone(self: Follower, file_id: str, term: int, version: int) -> None:  # noqa: ARG001
        await asyncio.sleep(0)

    monkeypatch.setattr(Follower, "harden", alone)
    assert caught(range(20))


def test_a_run_with_the_same_seed_is_the_same_run() -> None:
    one, other = (run(faults(7, 20, pause=0.1, rest=1.0)) for _ in range(2))
    assert (one.writes, one.reads, one.stall) == (other.writes, other.reads, other.stall)


def test_a_primary_that_forgot_steps_when_the_power_went_does_not_give_their_numbers_again() -> None:
    async def scenario() -> None:
        world = World(1)
        await asyncio.sleep(PROMISE_SECONDS)
        first, second, third = world.nodes
        lead = await first.leading(1)
        await lead.write(0, b"a", unchanged)
        await lead.sync()
        world.cut = {frozenset({"osd1", "osd2"})}
        for content in (b"b", b"b", b"b"):
            await lead.write(0, content, unchanged)
        await first.kill()
        first.disk.data[:] = b"a"
        first.disk.mark = first.disk.mark._replace(version=1)
        first.start()
        world.cut = {frozenset({"osd1", "osd3"})}
        lead = await first.leading(1)
        await lead.write(0, b"c", unchanged)
        await first.kill()
        assert third.disk.data == b"b"
        lead = await second.leading(2)
        assert await lead.read(0, 1, unchanged) == b"c"
        for node in (second, third):
            await node.kill()

    run(scenario())
