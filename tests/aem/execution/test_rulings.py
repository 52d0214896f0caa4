# SPDX-License-Identifier: BSD-3-Clause
"""A node runs a unit only if VOPS allows just this job of this user here; and tells Accounting what it used."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.dixi import until as eventually
from support.jobs import People, acting, machine
from support.rulings import SmallVops
from support.units import Node, shell, unit_order
from xos.aem.api import JobOrder, State, UnitOrder
from xos.aem.errors import RulingNeeded, UnitRefused
from xos.aem.execution import usage
from xos.aem.execution.orders import check_order
from xos.aem.execution.unitdir import read_shim
from xos.aem.jsdl import parse
from xos.aem.policy import digest_of, job_context
from xos.common.policy import Action, JobContext, NodeAttributes
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Credential
from xos.dixi.errors import ConnectionLost
from xos.vom.api import USAGE_PURPOSE, Head, JobQuestion, Log, UsageRecord


def question(order: UnitOrder, node: str, **changes: Any) -> JobQuestion:
    job = msgspec.msgpack.decode(order.job.payload, type=JobOrder)
    context = job_context(parse(job.jsdl), job)
    fields = {"digest": digest_of(order.job), "job": context, "nodes": (NodeAttributes(node),), **changes}
    return JobQuestion(order.job.certificate, **fields)


def ruled(vops: SmallVops, order: UnitOrder, node: str, **changes: Any) -> UnitOrder:
    return msgspec.structs.replace(order, ruling=vops.answer(question(order, node, **changes)).ruling)


@pytest.fixture
def vops(people: People, node_name: str) -> SmallVops:
    return SmallVops(people, node_name)


async def test_a_unit_that_vops_allows_runs(
    people: People, place: Path, node_name: str, vops: SmallVops, alice: Credential
) -> None:
    async with Node(people, place / "data", name=node_name, rulings=True, work=str(place)) as node:
        order = ruled(vops, unit_order(alice, shell("exit 3")), node_name)
        assert (await node.run(order)).exit_code == 3


def test_policies_of_the_machine_see_what_vops_knows(
    people: People, node_name: str, vops: SmallVops, alice: Credential
) -> None:
    order = ruled(vops, unit_order(alice, shell("true")), node_name)
    checked = check_order(order, people.trust, node=node_name, at=time.time(), rulings=True)
    assert checked.context.quota_exceeded
    bare = check_order(order, people.trust, node=node_name, at=time.time(), rulings=False)
    assert not bare.context.quota_exceeded
    assert checked.context.executable == bare.context.executable == "/bin/sh"


async def test_a_unit_without_a_ruling_that_holds_is_not_run(
    people: People, place: Path, node_name: str, vops: SmallVops, alice: Credential
) -> None:
    order = unit_order(alice, shell("true"))
    stranger = SmallVops(People.make(), node_name)
    stranger.trust = people.trust
    forged = ruled(vops, order, node_name).ruling
    assert forged is not None
    late = SmallVops(people, node_name)
    late.seconds = -1
    async with Node(people, place / "data", name=node_name, rulings=True, work=str(place)) as node:
        for ruling in (
            None,
            msgspec.structs.replace(forged, payload=forged.payload[:-1] + b"\0"),
            ruled(stranger, order, node_name).ruling,
            ruled(late, order, node_name).ruling,
            Signed(b"", b"", b"", "xos-vops-ruling"),
        ):
            with pytest.raises(RulingNeeded):
                await node.start(msgspec.structs.replace(order, ruling=ruling))
        assert node.manager.batches == []


async def test_a_ruling_on_anything_else_is_no_ruling_on_this(
    people: People, place: Path, node_name: str, vops: SmallVops, alice: Credential, bob: Credential
) -> None:
    order, other = unit_order(alice, shell("true")), unit_order(alice, shell("false"))
    of_bob = ruled(vops, unit_order(bob, shell("true")), node_name).ruling
    async with Node(people, place / "data", name=node_name, rulings=True, work=str(place)) as node:
        for ruling, says in (
            (of_bob, "ruled on runJob of bob@demo"),
            (ruled(vops, order, node_name, action=Action.RESERVE).ruling, "ruled on reserve"),
            (ruled(vops, other, node_name).ruling, "another job"),
            (ruled(vops, order, node_name, job=JobContext(executable="/bin/sh", units=9)).ruling, "another job"),
            (ruled(vops, order, "elsewhere").ruling, "does not allow it here"),
        ):
            with pytest.raises(UnitRefused, match=says):
                await node.start(msgspec.structs.replace(order, ruling=ruling))


class ListeningAccounting:
    """Accounting, as far as nodes see it."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.kept: dict[str, UsageRecord] = {}
        self.ran: dict[str, UsageRecord] = {}
        self.error: Exception | None = None
        self.calls = 0

    async def record(self, records: list[Signed]) -> Head:
        self.calls += 1
        if self.error is not None:
            raise self.error
        for signed in records:
            verify_signed(signed, self.people.trust, purpose=USAGE_PURPOSE, at=time.time())
            record = msgspec.msgpack.decode(signed.payload, type=UsageRecord)
            self.kept[record.unit_id] = record
        return Head(Log.USAGE, len(self.kept), b"")

    async def running(self, units: list[UsageRecord]) -> None:
        self.ran.update({unit.unit_id: unit for unit in units})


async def heard(accounting: ListeningAccounting, unit_id: str) -> UsageRecord:
    await eventually(lambda: unit_id in accounting.kept)
    return accounting.kept[unit_id]


async def put_away(node: Node, unit_id: str) -> None:
    await eventually(lambda: unit_id not in node.execution._live)


async def test_accounting_hears_what_a_unit_used(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    async with Node(people, place / "data", name=node_name, usage=True, work=str(place)) as node:
        accounting = node.bus.services["Accounting"] = ListeningAccounting(people)
        order = unit_order(alice, shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 4", name="busy"))
        unit = await node.run(order)
        record = await heard(accounting, order.unit_id)
        assert (record.vo, record.user, record.group, record.node) == ("demo", "alice", "users", node_name)
        assert (record.record_id, record.job_id) == (f"{node_name}:{order.unit_id}", order.job_id)
        assert (record.job_name, record.status, record.exit_code) == ("busy", "failed", 4)
        assert (record.started, record.ended, record.cpu_seconds) == (unit.started, unit.ended, unit.cpu_seconds)
        assert record.cpu_seconds > 0
        assert record.wall_seconds == record.ended - record.started > 0
        await put_away(node, order.unit_id)


async def test_a_record_outlives_the_daemon_until_accounting_has_it(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    order = unit_order(alice, shell("true"))
    accounting = ListeningAccounting(people)
    accounting.error = ConnectionLost(address="core:1", detail="reset")
    settings: dict[str, Any] = {"name": node_name, "usage": True, "work": str(place)}
    async with Node(people, place / "data", **settings) as node:
        node.bus.services["Accounting"] = accounting
        assert (await node.run(order)).state is State.DONE
        await eventually(lambda: accounting.calls >= 3)
        assert order.unit_id in node.execution._live
    accounting.error = None
    node = Node(people, place / "data", **settings)
    node.bus.services["Accounting"] = accounting
    async with node:
        await heard(accounting, order.unit_id)
        await put_away(node, order.unit_id)
    node = Node(people, place / "data", **settings)
    calls, node.bus.services["Accounting"] = accounting.calls, accounting
    async with node:
        await asyncio.sleep(0)
    assert accounting.calls == calls, "what is acknowledged is not told again"


async def test_accounting_hears_what_runs_and_what_it_has_used_so_far(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "RUNNING_SECONDS", 0.1)
    node = Node(people, place / "data", name=node_name, usage=True, work=str(place))
    accounting = node.bus.services["Accounting"] = ListeningAccounting(people)
    async with node:
        order = unit_order(alice, shell("while :; do :; done"))
        await node.start(order)
        await eventually(lambda: order.unit_id in accounting.ran)
        shim = read_shim(node.execution._dirs.live / order.unit_id)
        if shim is not None and shim.group:
            await eventually(lambda: accounting.ran[order.unit_id].cpu_seconds > 0.1)
        await node.kill(order.unit_id)
        assert (await heard(accounting, order.unit_id)).status == "aborted"


async def test_a_unit_that_never_began_has_used_nothing(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    node = Node(people, place / "data", name=node_name, usage=True, work=str(place))
    accounting = node.bus.services["Accounting"] = ListeningAccounting(people)
    async with node:
        order = unit_order(alice, executable="/does/not/exist")
        unit = await node.run(order)
        await put_away(node, order.unit_id)
        assert (unit.started is None) == (order.unit_id not in accounting.kept)
        with acting(machine("core")):
            assert await node.execution.units([order.unit_id]) == [unit]
