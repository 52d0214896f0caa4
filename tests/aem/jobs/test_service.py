# SPDX-License-Identifier: BSD-3-Clause
"""The Job Manager with nodes in memory: the road of a job, and what may go wrong on it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from support.jobs import FakeGrid, acting, cut_off, machine, order
from xos.aem.api import ORDER_PURPOSE, Needs, Placement, State, Unit
from xos.aem.errors import JobRefused, NotYourJob, OrderTooLarge, TooManyJobs, UnitRefused, UnknownJob
from xos.common.errors import StorageFull, XosError
from xos.common.signing import sign
from xos.common.tls import Credential
from xos.dixi.errors import NotAllowed


async def test_a_job_of_two_units_runs_once_on_two_nodes(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=2)
    done = await grid.wait(alice, job_id)
    assert (done.state, done.exit_code, done.reason) == (State.DONE, 0, "")
    assert {unit.node for unit in done.units} == {"node1", "node2"}
    assert [unit.state for unit in done.units] == [State.DONE, State.DONE]
    assert sum(grid.nodes["node1"].runs.values()) == sum(grid.nodes["node2"].runs.values()) == 1
    assert await grid.info(alice, job_id) == done


async def test_many_jobs_all_end_and_none_runs_twice(grid: FakeGrid, alice: Credential) -> None:
    ids = await asyncio.gather(*(grid.submit(alice, units=1 + n % 2) for n in range(60)))
    ended = await asyncio.gather(*(grid.wait(alice, job_id) for job_id in ids))
    assert {info.state for info in ended} == {State.DONE}
    runs = grid.nodes["node1"].runs + grid.nodes["node2"].runs
    assert len(runs) == 90
    assert set(runs.values()) == {1}


async def test_watching_shows_each_state_in_order(grid: FakeGrid, alice: Credential) -> None:
    assert grid.manager is not None
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice)
    seen = []
    with acting(alice.identity):
        async for info in grid.manager.watch_job(job_id):
            seen.append(info.state)
            if info.state is State.RUNNING:
                for node in grid.nodes.values():
                    node.gate.set()
    assert seen[-2:] == [State.RUNNING, State.DONE]
    assert seen == sorted(seen, key=list(State).index)


async def test_the_same_order_again_is_the_same_job(grid: FakeGrid, alice: Credential) -> None:
    signed = order(alice)
    first = await asyncio.gather(*(grid.create(alice, signed) for _ in range(3)))
    await grid.wait(alice, first[0])
    again = await grid.create(alice, signed)
    assert {*first, again} == {first[0]}
    assert sum((grid.nodes["node1"].runs + grid.nodes["node2"].runs).values()) == 1


async def test_a_request_id_cannot_be_used_for_another_order(grid: FakeGrid, alice: Credential) -> None:
    await grid.submit(alice, request="request-x")
    with pytest.raises(JobRefused, match="another order"):
        await grid.submit(alice, request="request-x", units=2)


async def test_two_orders_at_once_under_one_request_id_are_not_mixed_up(grid: FakeGrid, alice: Credential) -> None:
    assert grid.manager is not None
    first, second = order(alice, request="request-x"), order(alice, request="request-x", units=2)
    job_id, refused = await asyncio.gather(
        grid.create(alice, first), grid.create(alice, second), return_exceptions=True
    )
    assert isinstance(refused, JobRefused)
    assert await grid.manager._orders.get(str(job_id)) == first
    assert len((await grid.wait(alice, str(job_id))).units) == 1


async def test_two_users_may_choose_the_same_request_id(grid: FakeGrid, alice: Credential, bob: Credential) -> None:
    assert await grid.submit(alice, request="request-x") != await grid.submit(bob, request="request-x")


async def test_a_waiting_job_says_what_each_node_lacks(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    info = await grid.info(alice, job_id)
    assert info.state is State.PENDING
    assert info.reason.startswith("needs 3 nodes with 1 core; ")
    grid.nodes["node1"].gate.clear()
    grid.nodes["node2"].gate.clear()
    ids = [await grid.submit(alice) for _ in range(5)]
    for running in ids[:4]:
        await grid.until(alice, running, State.RUNNING)
    info = await grid.info(alice, ids[4])
    assert info.reason == (
        "needs 1 node with 1 core; 2 nodes are known: node1 full (2/2 slots used), node2 full (2/2 slots used)"
        "; 1 other job waits too"
    )


async def test_a_waiting_job_starts_when_a_node_comes(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    grid.add("node3")
    assert (await grid.wait(alice, job_id)).state is State.DONE


async def test_a_failed_unit_ends_the_others_and_gives_its_exit_code(grid: FakeGrid, alice: Credential) -> None:
    grid.nodes["node1"].exit_code = 3
    grid.nodes["node2"].gate.clear()
    job_id = await grid.submit(alice, units=2)
    info = await grid.wait(alice, job_id)
    assert (info.state, info.exit_code) == (State.FAILED, 3)
    assert info.reason.endswith("on node1: exit code 3")
    assert {unit.node: unit.state for unit in info.units} == {"node1": State.FAILED, "node2": State.CANCELLED}


async def test_cancelling_a_running_job_kills_its_units(grid: FakeGrid, alice: Credential) -> None:
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice, units=2)
    await grid.until(alice, job_id, State.RUNNING)
    asked = await grid.cancel(alice, job_id)
    assert not asked.state.ended
    assert asked.reason == "cancelled by alice@demo; its units are being killed"
    info = await grid.wait(alice, job_id)
    assert (info.state, info.reason) == (State.CANCELLED, "cancelled by alice@demo")
    assert not grid.nodes["node1"].running() + grid.nodes["node2"].running()


async def test_cancelling_a_waiting_job_ends_it_at_once(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    assert (await grid.cancel(alice, job_id)).state is State.CANCELLED
    assert (await grid.wait(alice, job_id)).state is State.CANCELLED


async def test_cancelling_an_ended_job_changes_nothing(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice)
    done = await grid.wait(alice, job_id)
    assert await grid.cancel(alice, job_id) == done


async def test_a_job_is_its_owners_and_the_vo_admins(
    grid: FakeGrid, alice: Credential, bob: Credential, admin: Credential
) -> None:
    assert grid.manager is not None
    job_id = await grid.submit(alice, units=3)
    for act in (grid.info, grid.cancel, grid.wait):
        with pytest.raises(NotYourJob):
            await act(bob, job_id)
    with acting(machine("node1")), pytest.raises(NotYourJob):
        await grid.manager.job_info(job_id)
    assert (await grid.info(admin, job_id)).owner == "alice@demo"
    assert (await grid.cancel(admin, job_id)).reason == "cancelled by root@demo"


async def test_an_admin_of_another_vo_sees_nothing(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    stranger = grid.people.user("root", vo="other", roles=("VOAdmin",))
    with pytest.raises(NotYourJob):
        await grid.info(stranger, job_id)


async def test_listing_gives_ones_own_jobs_newest_first(grid: FakeGrid, alice: Credential, bob: Credential) -> None:
    assert grid.manager is not None
    first = await grid.submit(alice)
    await grid.wait(alice, first)
    waiting = await grid.submit(alice, units=3)
    await grid.submit(bob)
    with acting(alice.identity):
        assert [info.job_id for info in await grid.manager.list_jobs()] == [waiting, first]
        assert [info.job_id for info in await grid.manager.list_jobs(limit=1)] == [waiting]
        assert [info.job_id for info in await grid.manager.list_jobs(ended=False)] == [waiting]
        assert await grid.manager.list_jobs(limit=-1) == []


async def test_an_administrator_lists_the_jobs_of_their_vo_and_nobody_else_does(
    grid: FakeGrid, alice: Credential, bob: Credential
) -> None:
    assert grid.manager is not None
    first = await grid.submit(alice)
    await grid.wait(alice, first)
    second = await grid.submit(bob, units=3)
    admin = msgspec.structs.replace(alice.identity, name="vera", roles=("VOManager",))
    with acting(admin):
        assert [info.job_id for info in await grid.manager.list_jobs(vo=admin.vo)] == [second, first]
        assert [info.job_id for info in await grid.manager.list_jobs(vo=admin.vo, ended=False)] == [second]
        assert [info.job_id for info in await grid.manager.list_jobs(vo=admin.vo, limit=1)] == [second]
    for nobody in (alice.identity, msgspec.structs.replace(admin, vo="other")):
        with acting(nobody), pytest.raises(NotYourJob):
            await grid.manager.list_jobs(vo=admin.vo)


async def test_an_unknown_job_is_an_error(grid: FakeGrid, alice: Credential) -> None:
    with pytest.raises(UnknownJob):
        await grid.info(alice, "demo-none")


# --- bad orders ------------------------------------------------------------------------------------------------------


async def test_an_order_must_be_submitted_by_who_signed_it(grid: FakeGrid, alice: Credential, bob: Credential) -> None:
    with pytest.raises(JobRefused, match="signed by bob@demo, submitted by alice@demo"):
        await grid.create(alice, order(bob))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"vo": "other"}, "aem.job-refused"),
        ({"request_id": "short"}, "aem.job-refused"),
        ({"request_id": "a\nb-------"}, "aem.job-refused"),
        ({"jsdl": b"<nonsense"}, "aem.jsdl-malformed"),
        ({"jsdl": b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>"}, "aem.jsdl-forbidden"),
    ],
)
async def test_a_bad_order_is_refused_with_a_code(
    grid: FakeGrid, alice: Credential, change: dict[str, object], code: str
) -> None:
    with pytest.raises(XosError) as caught:
        await grid.submit(alice, **change)
    assert caught.value.code == code


async def test_garbage_that_is_properly_signed_is_refused(grid: FakeGrid, alice: Credential) -> None:
    with pytest.raises(JobRefused, match="not a job order"):
        await grid.create(alice, sign(b"\xc1garbage", alice, purpose=ORDER_PURPOSE))


async def test_a_signature_for_another_purpose_is_refused(grid: FakeGrid, alice: Credential) -> None:
    with pytest.raises(XosError) as caught:
        await grid.create(alice, sign(order(alice).payload, alice, purpose="login"))
    assert caught.value.code == "cert.wrong-purpose"


async def test_orders_and_numbers_of_jobs_are_bounded(grid: FakeGrid, alice: Credential) -> None:
    assert grid.manager is not None
    intake = grid.manager._intake
    intake._settings = msgspec.structs.replace(intake._settings, order_bytes=50)
    with pytest.raises(OrderTooLarge):
        await grid.submit(alice)
    intake._settings = msgspec.structs.replace(intake._settings, order_bytes=10**6, jobs_per_user=2, units_per_job=5)
    with pytest.raises(JobRefused, match="6 units"):
        await grid.submit(alice, units=6)
    results = await asyncio.gather(*(grid.submit(alice, units=3) for _ in range(4)), return_exceptions=True)
    assert [isinstance(result, TooManyJobs) for result in results] == [False, False, True, True]


# --- nodes that do not do as asked -----------------------------------------------------------------------------------


async def test_an_order_whose_answer_is_lost_runs_once(grid: FakeGrid, alice: Credential) -> None:
    grid.nodes["node1"].losing = {"start_unit"}
    grid.nodes["node2"].losing = {"start_unit"}
    job_id = await grid.submit(alice, units=2)
    assert (await grid.wait(alice, job_id)).state is State.DONE
    assert set((grid.nodes["node1"].runs + grid.nodes["node2"].runs).values()) == {1}


async def test_a_node_that_refuses_a_unit_fails_the_job_with_its_words(grid: FakeGrid, alice: Credential) -> None:
    for node in grid.nodes.values():
        node.errors["start_unit"] = UnitRefused(node=node.name, unit_id="x", detail="not signed")
    info = await grid.wait(alice, await grid.submit(alice))
    assert info.state is State.FAILED
    assert "refuses x: not signed" in info.reason
    assert info.exit_code is None


async def test_a_job_waits_elsewhere_when_a_node_refuses_reservations(grid: FakeGrid, alice: Credential) -> None:
    grid.add("node3")
    grid.nodes["node1"].errors["reserve"] = UnitRefused(node="node1", unit_id="", detail="closed on Sundays")
    ids = [await grid.submit(alice, units=2) for _ in range(4)]
    for job_id in ids:
        assert {unit.node for unit in (await grid.wait(alice, job_id)).units} == {"node2", "node3"}


async def test_a_node_that_hears_nobody_holds_its_unit_until_it_does(grid: FakeGrid, alice: Credential) -> None:
    grid.go("node2")
    node = grid.nodes["node1"]
    node.errors["start_unit"] = NotAllowed(caller="core", method="start_unit", allowed="nobody")
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.SCHEDULED, "node1 takes no work (core may not call")
    node.errors.clear()
    assert (await grid.wait(alice, job_id)).state is State.DONE


async def test_a_node_that_others_use_too_is_asked_to_hold_a_slot_first(grid: FakeGrid, alice: Credential) -> None:
    grid.go("node2")
    node = grid.nodes["node1"]
    await grid.wait(alice, await grid.submit(alice))
    assert node.calls["reserve"] == 0
    for other in ("other.0", "other.1"):
        await node.reserve(other, Needs(), 60.0)
    first = await grid.submit(alice)
    await grid.until(alice, first, State.SCHEDULED, "node1 full")
    second = await grid.submit(alice)
    await grid.until(alice, second, State.PENDING, "node1 full")
    await node.release("other.0")
    await node.release("other.1")
    assert (await grid.wait(alice, first)).state is (await grid.wait(alice, second)).state is State.DONE
    assert node.calls["reserve"] > 0


async def test_a_unit_is_sent_again_to_the_same_node_when_it_comes_back(grid: FakeGrid, alice: Credential) -> None:
    node = grid.nodes["node2"]
    grid.go("node1")
    node.errors["start_unit"] = cut_off()
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.SCHEDULED)
    grid.go("node2")
    grid.come("node1")
    del node.errors["start_unit"]
    grid.come("node2")
    info = await grid.wait(alice, job_id)
    assert (info.state, info.units[0].node) == (State.DONE, "node2")
    assert not grid.nodes["node1"].runs


async def test_what_ended_while_the_node_was_away_is_learnt_when_it_comes_back(
    grid: FakeGrid, alice: Credential
) -> None:
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice, units=2)
    await grid.until(alice, job_id, State.RUNNING)
    grid.go("node1")
    grid.nodes["node1"].gate.set()
    grid.nodes["node2"].gate.set()
    grid.come("node1")
    assert (await grid.wait(alice, job_id)).state is State.DONE


async def test_a_running_unit_that_its_node_has_forgotten_fails_and_is_not_run_again(
    grid: FakeGrid, alice: Credential
) -> None:
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice)
    running = await grid.until(alice, job_id, State.RUNNING)
    name = running.units[0].node
    grid.go(name)
    grid.nodes[name].lose_disk()
    grid.come(name)
    info = await grid.wait(alice, job_id)
    assert (info.state, info.reason) == (State.FAILED, f"on {name}: {name} has lost its records of the unit")
    assert sum((grid.nodes["node1"].runs + grid.nodes["node2"].runs).values()) == 1


async def test_cancelling_a_unit_that_never_reached_its_node_ends_it(grid: FakeGrid, alice: Credential) -> None:
    for node in grid.nodes.values():
        node.errors["start_unit"] = cut_off()
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.SCHEDULED)
    await grid.cancel(alice, job_id)
    info = await grid.wait(alice, job_id)
    assert info.state is State.CANCELLED
    assert not grid.nodes["node1"].runs + grid.nodes["node2"].runs


async def test_reports_of_other_nodes_jobs_and_nonsense_change_nothing(grid: FakeGrid, alice: Credential) -> None:
    assert grid.manager is not None
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice)
    running = await grid.until(alice, job_id, State.RUNNING)
    unit = running.units[0]
    other = "node2" if unit.node == "node1" else "node1"
    with acting(machine(other)):
        await grid.manager.report([Unit(unit.unit_id, unit.node, State.DONE, 0)])
        await grid.manager.report([Unit(f"{job_id}.7", other, State.DONE, 0), Unit("x", "", State.DONE)])
        await grid.manager.report([Unit("demo-none.0", other, State.RUNNING)])
    assert (await grid.info(alice, job_id)).state is State.RUNNING


async def test_a_full_disk_refuses_jobs_and_forgets_nothing_it_has_acknowledged(
    grid: FakeGrid, alice: Credential
) -> None:
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice)
    await grid.until(alice, job_id, State.RUNNING)
    grid.store.error = StorageFull(path="jobs.sqlite")
    with pytest.raises(StorageFull):
        await grid.submit(alice)
    for node in grid.nodes.values():
        node.gate.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(grid.wait(alice, job_id), 0.3)
    grid.store.error = None
    assert (await grid.wait(alice, job_id)).state is State.DONE


async def test_nothing_is_acknowledged_that_is_not_on_disk(grid: FakeGrid, alice: Credential) -> None:
    assert grid.manager is not None
    for node in grid.nodes.values():
        node.gate.clear()
    job_id = await grid.submit(alice)
    running = await grid.until(alice, job_id, State.RUNNING)
    unit = running.units[0]
    grid.store.error = StorageFull(path="jobs.sqlite")
    with acting(machine(unit.node)), pytest.raises(StorageFull):
        await grid.manager.report([Unit(unit.unit_id, unit.node, State.FAILED, 9)])
    with acting(machine(unit.node)), pytest.raises(StorageFull):  # said again, it is news no longer, but still not kept
        await grid.manager.report([Unit(unit.unit_id, unit.node, State.FAILED, 9)])
    waiting = await grid.info(alice, job_id)
    assert waiting.state is State.FAILED
    grid.store.error = None
    assert (await grid.wait(alice, job_id)).exit_code == 9


async def test_a_cancellation_is_acknowledged_when_it_is_on_disk(grid: FakeGrid, alice: Credential) -> None:
    job_id = await grid.submit(alice, units=3)
    grid.store.error = StorageFull(path="jobs.sqlite")
    with pytest.raises(StorageFull):
        await grid.cancel(alice, job_id)
    grid.store.error = None
    assert (await grid.wait(alice, job_id)).state is State.CANCELLED


async def test_no_unit_is_sent_before_its_node_is_on_disk_even_when_nodes_are_asked_anew(
    grid: FakeGrid, alice: Credential
) -> None:
    assert grid.manager is not None
    grid.go("node1")
    grid.go("node2")
    job_id = await grid.submit(alice)
    grid.store.error = StorageFull(path="jobs.sqlite")
    grid.come("node1")
    await grid.until(alice, job_id, State.SCHEDULED)
    grid.manager._tracker.trouble("node1", cut_off())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(grid.wait(alice, job_id), 0.3)
    assert grid.nodes["node1"].calls["start_unit"] == 0
    grid.store.error = None
    assert (await grid.wait(alice, job_id)).state is State.DONE


async def test_the_job_directory_hears_of_jobs_even_when_it_was_away(grid: FakeGrid, alice: Credential) -> None:
    grid.job_directory_error = cut_off()
    job_id = await grid.submit(alice)
    await grid.wait(alice, job_id)
    grid.job_directory_error = None
    assert await grid.until_recorded(job_id) == Placement(job_id, "alice@demo", "demo", "core", State.DONE)
