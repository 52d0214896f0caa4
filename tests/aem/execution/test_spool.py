# SPDX-License-Identifier: BSD-3-Clause
"""What a node tells of its units when Accounting asks: from their directories, signed, page by page."""

from __future__ import annotations

import time

import msgspec
import pytest

from support.jobs import acting, machine
from support.units import Node, NodeHost, shell, unit_order
from xos.aem.execution.spool import SpoolSettings, UsageSpoolService
from xos.aem.execution.task import ORDER
from xos.common.signing import verify_signed
from xos.common.tls import Credential
from xos.vom.api import USAGE_PURPOSE, UsageRecord
from xos.vom.errors import Forbidden

CORE = msgspec.structs.replace(machine("core"), roles=("core",))


def _spool(node: Node) -> UsageSpoolService:
    data = node.host.data.parent / "UsageSpool"
    host = NodeHost.__new__(NodeHost)
    host.__dict__.update({**node.host.__dict__, "data": data})
    return UsageSpoolService(host, SpoolSettings())


async def _told(node: Node, *args: object) -> list[UsageRecord]:
    with acting(CORE):
        told = await _spool(node).usage_since(*args)  # type: ignore[arg-type]
    for one in told:
        verify_signed(one, node.host.trust, purpose=USAGE_PURPOSE, at=time.time())
    return [msgspec.msgpack.decode(one.payload, type=UsageRecord) for one in told]


async def test_units_that_ended_are_told_whether_or_not_they_are_put_away(node: Node, alice: Credential) -> None:
    first, second = unit_order(alice, shell("exit 3")), unit_order(alice, shell("true"))
    for order in (first, second):
        await node.run(order)
    dirs = node.execution._dirs
    before = {one.unit_id: one for one in await _told(node)}
    dirs.put_away([first.unit_id])
    after = {one.unit_id: one for one in await _told(node)}
    assert set(before) == set(after) == {first.unit_id, second.unit_id}
    record = after[first.unit_id]
    assert (record.vo, record.user, record.node, record.status, record.exit_code) == (
        "demo",
        "alice",
        node.name,
        "failed",
        3,
    )
    same = {name: msgspec.structs.replace(one, created=0.0) for name, one in after.items()}
    assert same == {name: msgspec.structs.replace(one, created=0.0) for name, one in before.items()}


async def test_pages_follow_each_other_and_what_ended_earlier_is_left_out(node: Node, alice: Credential) -> None:
    orders = [unit_order(alice, shell("true")) for _ in range(3)]
    for order in orders:
        await node.run(order)
    names, after = [], ""
    while page := await _told(node, 0.0, after, 2):
        assert len(page) <= 2
        names += [one.unit_id for one in page]
        after = names[-1]
    assert names == sorted(order.unit_id for order in orders)
    assert await _told(node, time.time() + 60) == []


async def test_a_unit_that_runs_or_cannot_be_read_holds_up_nobody(node: Node, alice: Credential) -> None:
    running, torn, good = (unit_order(alice, shell(text)) for text in ("sleep 100", "true", "true"))
    await node.start(running)
    await node.run(torn)
    await node.run(good)
    (node.execution._dirs.live / torn.unit_id / ORDER).write_bytes(b"\x93\xff")
    (node.execution._dirs.live / "..odd").mkdir()
    assert [one.unit_id for one in await _told(node)] == [good.unit_id]
    (node.execution._dirs.live / "..odd").rmdir()
    await node.kill(running.unit_id)
    await node.manager.ended(running.unit_id)


async def test_other_machines_are_told_nothing(node: Node) -> None:
    with acting(machine("node9")), pytest.raises(Forbidden):
        await _spool(node).usage_since()
