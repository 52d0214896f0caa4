# SPDX-License-Identifier: BSD-3-Clause
"""The Job Manager asks VOPS before it places a job: the job goes where it may, ends with the reason, or waits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from support.dixi import until as eventually
from support.jobs import FakeGrid, People, order
from support.rulings import DENIED, SmallVops
from xos.aem.api import State
from xos.aem.errors import RulingNeeded
from xos.aem.jobs import dispatcher, permits, scheduler
from xos.aem.policy import digest_of
from xos.common.tls import Credential
from xos.dixi.errors import ConnectionLost
from xos.vom import rulings
from xos.vom.errors import Suspended


@pytest.fixture
def vops(people: People) -> SmallVops:
    return SmallVops(people, "node1", "node2")


@pytest.fixture
async def asking(people: People, vops: SmallVops, tmp_path: Path, template: Path) -> AsyncIterator[FakeGrid]:
    """A grid whose Job Manager asks VOPS."""
    grid = FakeGrid(people, tmp_path, template, rulings=True)
    grid.decide = vops.decide
    grid.add("node1")
    grid.add("node2")
    await grid.begin()
    yield grid
    await grid.end()


async def test_a_node_gets_the_ruling_with_the_order(asking: FakeGrid, vops: SmallVops, alice: Credential) -> None:
    signed = order(alice, units=2)
    job_id = await asking.create(alice, signed)
    assert (await asking.wait(alice, job_id)).state is State.DONE
    (question,) = vops.asked
    assert (question.digest, question.job.units, question.job.name) == (digest_of(signed), 2, "sample")
    assert {node.cores for node in question.nodes} == {2}
    for node in asking.nodes.values():
        (sent,) = node.orders.values()
        assert sent.ruling is not None
        ruling = rulings.verify(sent.ruling, asking.people.trust, at=time.time())
        assert ruling.subject == "alice@demo"


async def test_a_job_goes_where_the_policies_allow(asking: FakeGrid, vops: SmallVops, alice: Credential) -> None:
    vops.allowed = {"node2"}
    ids = [await asking.submit(alice) for _ in range(6)]
    ended = [await asking.wait(alice, job_id) for job_id in ids]
    assert {(info.state, info.units[0].node) for info in ended} == {(State.DONE, "node2")}


async def test_a_denied_job_ends_with_the_rule_that_denied_it(
    asking: FakeGrid, vops: SmallVops, alice: Credential
) -> None:
    vops.allowed = set()
    info = await asking.wait(alice, await asking.submit(alice))
    assert (info.state, info.reason) == (State.FAILED, f"VO policy: {DENIED}")
    assert asking.nodes["node1"].calls["start_unit"] == asking.nodes["node2"].calls["start_unit"] == 0
    vops.allowed = {"node1"}
    info = await asking.wait(alice, await asking.submit(alice, units=2))
    assert info.reason == f"VO policy: {DENIED} (1 of 2 nodes allowed)"
    assert info.started is None


async def test_a_user_whom_vops_does_not_know_any_more_runs_nothing(
    asking: FakeGrid, vops: SmallVops, alice: Credential
) -> None:
    vops.error = Suspended(user="alice", vo="demo")
    info = await asking.wait(alice, await asking.submit(alice))
    assert (info.state, info.reason) == (State.FAILED, "VO policy: alice@demo is suspended")


async def test_while_vops_is_away_jobs_wait_and_none_is_lost(
    asking: FakeGrid, vops: SmallVops, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "LONGEST_PAUSE", 0.3)
    vops.error = ConnectionLost(address="core:1", detail="reset")
    ids = [await asking.submit(alice) for _ in range(5)]
    info = await asking.until(alice, ids[0], State.PENDING, "waits for VOPS")
    assert info.state is State.PENDING
    await asking.crash()
    await asking.begin()
    await asking.until(alice, ids[4], State.PENDING, "waits for VOPS")
    vops.error = None
    assert {(await asking.wait(alice, job_id)).state for job_id in ids} == {State.DONE}


async def test_an_order_that_was_not_sent_yet_gets_a_new_ruling_after_a_restart(
    asking: FakeGrid, vops: SmallVops, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "VOPS_PAUSE", 0.05)
    for node in asking.nodes.values():
        node.errors["start_unit"] = ConnectionLost(address="node", detail="reset")
    job_id = await asking.submit(alice)
    await eventually(lambda: any(node.calls["start_unit"] for node in asking.nodes.values()))
    await asking.crash()
    asked = len(vops.asked)
    vops.error = ConnectionLost(address="core:1", detail="reset")
    for node in asking.nodes.values():
        node.errors.clear()
    await asking.begin()
    await eventually(lambda: len(vops.asked) >= asked + 2)
    vops.error = None
    assert (await asking.wait(alice, job_id)).state is State.DONE
    assert sum((asking.nodes["node1"].runs + asking.nodes["node2"].runs).values()) == 1


async def test_a_node_that_wants_a_new_ruling_gets_one(asking: FakeGrid, vops: SmallVops, alice: Credential) -> None:
    for node in asking.nodes.values():
        node.errors["start_unit"] = RulingNeeded(node=node.name, unit_id="x", detail="run out")
    job_id = await asking.submit(alice)
    await eventually(lambda: len(vops.asked) >= 4)
    for node in asking.nodes.values():
        node.errors.clear()
    assert (await asking.wait(alice, job_id)).state is State.DONE


def test_reasons_that_differ_are_told_with_their_nodes() -> None:
    permit = permits.Permit(msgspec.UNSET, frozenset(), {f"n{i}": f"r{i}" for i in range(5)}, 0.0)  # type: ignore[arg-type]
    assert permit.reason() == "VO policy: n0: r0; n1: r1; n2: r2; and 2 more"
