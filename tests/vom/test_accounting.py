# SPDX-License-Identifier: BSD-3-Clause
"""Accounting: records of nodes, kept once and for ever; sums; quotas."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, sign
from xos.common.tls import Credential, Trust
from xos.vom import accounting, chains
from xos.vom.api import USAGE_PURPOSE, By, Fetched, Log, Period, Quota, UsageRecord
from xos.vom.errors import BadName, BadRequest, BadUsageRecord, Forbidden, QuotaConflict, UnknownVO
from xos.vom.policy import ADMIN_ROLE
from xos.vom.records import usage
from xos.vom.records.store import USAGE

from .conftest import CoreMachine, acting

NOW = time.time()


def record(n: int = 0, *, node: str = "node1", user: str = "alice", ended: float = 0.0, **more: object) -> UsageRecord:
    ended = ended or NOW - 10
    made = UsageRecord(
        record_id=f"{node}:demo-job{n}.0",
        vo="demo",
        user=user,
        group="users",
        job_id=f"demo-job{n}",
        unit_id=f"demo-job{n}.0",
        node=node,
        status="completed",
        exit_code=0,
        submitted=ended - 20,
        started=ended - 10,
        ended=ended,
        wall_seconds=10.0,
        cpu_seconds=4.0,
        processors=2,
        memory_peak=1 << 20,
    )
    return msgspec.structs.replace(made, **more)


def signed(made: UsageRecord, by: Credential) -> Signed:
    return sign(msgspec.msgpack.encode(made), by, purpose=USAGE_PURPOSE)


async def hand_in(machine: CoreMachine, node: Credential, *made: UsageRecord) -> None:
    with acting(node.identity):
        await machine.accounting.record([signed(one, node) for one in made])


async def test_a_record_is_kept_once_however_often_it_is_handed_in(either_machine: CoreMachine) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    await asyncio.gather(*(hand_in(machine, node, record(1), record(2), record(1)) for _ in range(5)))
    with acting(machine.identity):
        kept = await machine.accounting.records("demo")
        (line,) = await machine.accounting.report("demo", By.USER)
    assert [number for number, _ in kept] == [1, 2]
    assert {one for _, one in kept} == {record(1), record(2)}
    assert (line.subject, line.units, line.cpu_seconds, line.processor_seconds) == ("alice", 2, 8.0, 40.0)
    head = await machine.audit.head(Log.USAGE)
    with acting(machine.identity):
        links = await machine.audit.links(Log.USAGE)
    assert list(chains.check(Log.USAGE, links, [head])) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"node": "node2", "record_id": "node2:demo-job0.0"}, "handed in by node1"),
        ({"record_id": "x"}, "its id"),
        ({"vo": ""}, "vo is missing"),
        ({"user": "a\nb"}, "user is missing"),
        ({"cpu_seconds": float("nan")}, "cpu_seconds"),
        ({"wall_seconds": -1.0}, "wall_seconds"),
        ({"wall_seconds": 1e9}, "contradict"),
        ({"ended": NOW + 1e6}, "future"),
        ({"processors": 0}, "processors"),
        ({"memory_peak": -1}, "memory"),
        ({"job_name": "x" * 20000}, "longer"),
    ],
)
async def test_a_record_that_makes_no_sense_is_refused_with_all_beside_it(
    machine: CoreMachine, change: dict[str, object], says: str
) -> None:
    node = await machine.join("node1")
    with pytest.raises(BadUsageRecord, match=says):
        await hand_in(machine, node, record(7), msgspec.structs.replace(record(0), **change))
    assert (await machine.audit.head(Log.USAGE)).number == 0


async def test_a_node_cannot_hand_in_what_another_signed(machine: CoreMachine) -> None:
    node1, node2 = await machine.join("node1"), await machine.join("node2")
    with acting(node2.identity), pytest.raises(BadUsageRecord, match="signed by node1"):
        await machine.accounting.record([signed(record(1), node1)])
    alice = None
    await machine.add("alice")
    alice = await machine.get("alice")
    with acting(node1.identity), pytest.raises(BadUsageRecord, match="user certificate"):
        await machine.accounting.record([signed(record(1), alice)])
    other_purpose = sign(msgspec.msgpack.encode(record(1)), node1, purpose="job")
    with acting(node1.identity), pytest.raises(BadUsageRecord, match="signed for job"):
        await machine.accounting.record([other_purpose])
    with acting(node1.identity), pytest.raises(BadRequest):
        await machine.accounting.record([other_purpose] * (usage.MOST_AT_ONCE + 1))


async def test_users_see_their_own_usage_and_administrators_all(either_machine: CoreMachine) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    await machine.add("alice")
    await machine.add("boss", roles=(ADMIN_ROLE,))
    alice, boss = (await machine.get("alice")).identity, (await machine.get("boss")).identity
    await hand_in(machine, node, record(1), record(2, user="bob", exit_code=3, memory_peak=5 << 30))
    with acting(alice):
        assert [one.user for _, one in await machine.accounting.records("demo")] == ["alice"]
        assert [line.subject for line in await machine.accounting.report("demo", By.USER)] == ["alice"]
        with pytest.raises(Forbidden):
            await machine.accounting.records("demo", user="bob")
    with acting(boss):
        lines = await machine.accounting.report("demo", By.USER)
        assert [(line.subject, line.failed) for line in lines] == [("alice", 0), ("bob", 1)]
        (vo,) = await machine.accounting.report("demo", By.VO)
        assert (vo.subject, vo.units, vo.memory_peak) == ("demo", 2, 5 << 30)
        (on,) = await machine.accounting.report("demo", By.RESOURCE, user="bob")
        assert (on.subject, on.units) == ("node1", 1)
        with pytest.raises(Forbidden):
            await machine.accounting.report("other", By.VO)


async def test_reports_are_split_by_day_and_month_and_bounded_in_time(either_machine: CoreMachine) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    days = (1_780_000_000.0, 1_780_086_400.0, 1_783_000_000.0)  # 2026-05-28, 2026-05-29, 2026-07-02
    await machine.add("alice")
    machine.core.now = lambda: days[-1] + 100 if days[-1] > NOW else time.time()
    await hand_in(machine, node, *(record(n, ended=ended) for n, ended in enumerate(days)))
    with acting(machine.identity):
        by_day = await machine.accounting.report("demo", By.VO, period=Period.DAY)
        by_month = await machine.accounting.report("demo", By.VO, period=Period.MONTH)
        early = await machine.accounting.report("demo", By.VO, until=days[1])
    assert [line.period for line in by_day] == ["2026-05-28", "2026-05-29", "2026-07-02"]
    assert [(line.period, line.units) for line in by_month] == [("2026-05", 2), ("2026-07", 1)]
    assert [line.units for line in early] == [1]


async def test_a_used_up_quota_shows_at_once_and_after_a_restart(either_machine: CoreMachine) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    await machine.add("alice")
    with acting(machine.identity):
        await machine.accounting.set_quota(Quota("demo", By.USER, "*", Period.MONTH, cpu_seconds=7.0))
        await machine.accounting.set_quota(Quota("demo", By.VO, "demo", Period.ALL, units=100))
    meter, now = machine.core.meter, machine.core.now()
    assert not meter.exceeded("demo", "alice", "users", now)
    await hand_in(machine, node, record(1), record(2))
    assert meter.exceeded("demo", "alice", "users", now)
    assert not meter.exceeded("demo", "bob", "users", now)
    with acting(machine.identity):
        each, whole = await machine.accounting.quotas("demo")
    assert (each.subject, whole.used.jobs, whole.exceeded) == ("*", 2, False)
    with acting((await machine.get("alice")).identity):
        own, _ = await machine.accounting.quotas("demo")
    assert (own.subject, own.used.cpu_seconds, own.exceeded) == ("alice", 8.0, True)
    again = await type(meter).load(machine.core.store)
    assert again.exceeded("demo", "alice", "users", now)


async def test_what_runs_counts_until_its_record_comes(machine: CoreMachine) -> None:
    node = await machine.join("node1")
    with acting(node.identity):
        await machine.accounting.running([record(1, wall_seconds=5.0, cpu_seconds=0.0)])
    used = machine.core.meter.used("demo", By.USER, "alice", NOW)
    assert (used.jobs, used.running, used.wall_seconds) == (1, 1, 5.0)
    await hand_in(machine, node, record(1))
    used = machine.core.meter.used("demo", By.USER, "alice", NOW)
    assert (used.jobs, used.running, used.wall_seconds) == (1, 0, 10.0)
    with acting(node.identity), pytest.raises(BadUsageRecord):
        await machine.accounting.running([record(1, node="node2")])


async def test_of_two_changes_of_one_quota_the_second_is_told(either_machine: CoreMachine) -> None:
    machine = either_machine
    await machine.add("alice")
    wanted = Quota("demo", By.USER, "alice", units=5)
    with acting(machine.identity):
        first = await machine.accounting.set_quota(wanted)
        assert await machine.accounting.set_quota(wanted) == first, "a repetition is the same change"
        with pytest.raises(QuotaConflict):
            await machine.accounting.set_quota(msgspec.structs.replace(wanted, units=9))
        none = Quota("demo", By.USER, "alice", version=first.version)
        await machine.accounting.set_quota(none)
        assert await machine.accounting.quotas("demo") == []
        with pytest.raises(UnknownVO):
            await machine.accounting.set_quota(msgspec.structs.replace(wanted, vo="nowhere"))
        trail = await machine.audit.trail("demo", act="quota-set")
    assert [entry.detail for entry in trail] == [{}, {"units": "5"}]


@pytest.mark.parametrize(
    "quota",
    [
        Quota("demo", By.RESOURCE, "node1", units=1),
        Quota("demo", By.VO, "other", units=1),
        Quota("demo", By.USER, "Robert'); DROP TABLE quotas;--", units=1),
        Quota("demo", By.USER, "alice", cpu_seconds=float("inf")),
        Quota("demo", By.USER, "alice", units=-1),
    ],
)
async def test_a_quota_that_cannot_be_is_refused(machine: CoreMachine, quota: Quota) -> None:
    await machine.add("alice")
    with acting(machine.identity), pytest.raises(BadRequest):
        await machine.accounting.set_quota(quota)


async def test_members_set_no_quotas(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting((await machine.get("alice")).identity), pytest.raises(Forbidden):
        await machine.accounting.set_quota(Quota("demo", By.USER, "alice"))


async def test_what_is_added_up_is_what_the_chain_says(machine: CoreMachine) -> None:
    node = await machine.join("node1")
    await hand_in(machine, node, *(record(n, cpu_seconds=n / 8) for n in range(50)))
    rows = await machine.core.store.read(lambda c: c.execute(sa.select(USAGE)).mappings().all())
    with acting(machine.identity):
        links = await machine.audit.links(Log.USAGE)
    assert [dict(row) for row in rows] == [usage.row_of(link.number, usage.record_in(link.payload)) for link in links]


@pytest.mark.fuzz
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.text(max_size=10))
def test_any_bytes_are_a_record_or_refused(payload: bytes, purpose: str) -> None:
    for one in (Signed(payload, payload, payload, USAGE_PURPOSE), Signed(payload, b"", b"", purpose)):
        with pytest.raises(BadUsageRecord):
            usage.examine(one, _TRUST, "node1", NOW)


def _some_trust() -> Trust:
    from xos.common.certificate import Authority

    return Trust([Authority.create("demo").der])


_TRUST = _some_trust()


def test_a_machine_of_certain_vos_tells_of_no_other() -> None:
    node = Identity(Kind.MACHINE, "node1", vos=("other",))
    assert usage.foreign(record(1), node) == "node1 is no resource of VO demo"
    assert usage.foreign(record(1), msgspec.structs.replace(node, vos=("other", "demo"))) == ""


async def test_a_report_comes_in_pages_by_subject_or_the_largest_first(either_machine: CoreMachine) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    many = [msgspec.structs.replace(record(i), user=f"user{i}", cpu_seconds=float(i % 3)) for i in range(5)]
    await hand_in(machine, node, *many)
    with acting(machine.identity):
        first = await machine.accounting.report("demo", By.USER, limit=3)
        rest = await machine.accounting.report("demo", By.USER, start=3, limit=3)
        largest = await machine.accounting.report("demo", By.USER, largest=True, limit=2)
        for start, limit in ((-1, 1), (0, 0), (2**40, 1)):
            with pytest.raises(BadRequest):
                await machine.accounting.report("demo", By.USER, start=start, limit=limit)
    assert [line.subject for line in first + rest] == [f"user{i}" for i in range(5)]
    assert [line.subject for line in largest] == ["user2", "user1"]


async def test_the_quotas_of_one_vo_leave_room_for_those_of_another(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xos.vom.accounting.MOST_QUOTAS", 1)
    with acting(machine.identity):
        for vo in ("demo", "other"):
            await machine.xvoms.create_vo(vo)
            await machine.accounting.set_quota(Quota(vo, By.USER, "*", Period.DAY, units=5))
        with pytest.raises(BadRequest, match="at most 1"):
            await machine.accounting.set_quota(Quota("demo", By.GROUP, "*", Period.DAY, units=5))


class Spool:
    """The `UsageSpool` of one node, with records that it signed, or what it passes off as such."""

    def __init__(self, records: list[Signed], *, endless: bool = False) -> None:
        self.records, self.endless, self.calls = records, endless, 0

    async def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> list[Signed]:
        assert (method, result, retry) == ("UsageSpool.usage_since", list[Signed], True)
        assert deadline
        self.calls += 1
        _, after, limit = args
        if self.endless:
            return self.records[:limit]
        return [one for one in self.records if not after or usage.unit_in(one) > after][:limit]


def _spooled(machine: CoreMachine, monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
    monkeypatch.setattr(machine.bus, "caller", lambda _service, _node=None: spool)


async def test_what_a_node_did_not_hand_in_is_fetched_and_what_it_did_is_not_kept_twice(
    either_machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, node = either_machine, await either_machine.join("node1")
    made = [record(n) for n in range(accounting.PAGE + 5)]
    made.sort(key=lambda one: one.unit_id)
    await hand_in(machine, node, *made[:3])
    _spooled(machine, monkeypatch, Spool([signed(one, node) for one in made]))
    with acting(machine.identity):
        assert await machine.accounting.fetch("node1") == Fetched("node1", len(made), len(made) - 3, 0)
        assert await machine.accounting.fetch("node1") == Fetched("node1", len(made), 0, 0)
        (line,) = await machine.accounting.report("demo", By.USER)
        links = await machine.audit.links(Log.USAGE)
    assert line.units == len(made)
    assert list(chains.check(Log.USAGE, links, [await machine.audit.head(Log.USAGE)])) == []


async def test_of_what_a_node_tells_only_its_own_good_records_are_believed(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, other = await machine.join("node1"), await machine.join("node2")
    good = signed(record(1), node)
    lies = [
        signed(record(2, node="node2"), node),
        signed(record(3), other),
        msgspec.structs.replace(signed(record(4), node), payload=msgspec.msgpack.encode(record(5))),
        Signed(b"\xff", node.certificate, b"", USAGE_PURPOSE),
    ]
    _spooled(machine, monkeypatch, Spool([*lies[:3], good, *lies[3:]]))
    with acting(machine.identity):
        assert await machine.accounting.fetch("node1") == Fetched("node1", 5, 1, 4)
        assert [one for _, one in await machine.accounting.records("demo")] == [record(1)]


async def test_a_node_that_tells_the_same_page_for_ever_is_heard_twice(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await machine.join("node1")
    spool = Spool([signed(record(n), node) for n in range(accounting.PAGE)], endless=True)
    _spooled(machine, monkeypatch, spool)
    with acting(machine.identity):
        assert (await machine.accounting.fetch("node1")).new == accounting.PAGE
    assert spool.calls == 2


async def test_only_the_core_has_records_fetched(machine: CoreMachine) -> None:
    await machine.add("boss", roles=(ADMIN_ROLE,))
    boss = await machine.get("boss")
    with acting(boss.identity), pytest.raises(Forbidden):
        await machine.accounting.fetch("node1")
    with acting(machine.identity), pytest.raises(BadName):
        await machine.accounting.fetch("../x")
