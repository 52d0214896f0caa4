# SPDX-License-Identifier: BSD-3-Clause
"""A large VO, put into the databases of a core that does not run: 10,000 members, 1,000 machines, 200 policies, and
what they have done. What the services would have written, written at once."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import msgspec
import sqlalchemy as sa

from xos.aem.api import Needs, State, Unit
from xos.aem.jobs import store as jobs
from xos.aem.jobs.lifecycle import Job
from xos.common.identity import Identity, Kind
from xos.common.policy import Action, Decision, JobContext, NodeAttributes
from xos.common.signing import Signed
from xos.common.storage import Store
from xos.vom import members, requests, resources, vos
from xos.vom.api import (
    By,
    Entry,
    Log,
    MembershipRequest,
    Period,
    Policy,
    Quota,
    Resource,
    ResourceAttributes,
    UsageRecord,
    User,
)
from xos.vom.core import VomCore
from xos.vom.records import chain, quotas, trail, usage
from xos.vom.records.store import ACTS, USAGE
from xos.vom.records.store import REQUESTS as ASKED
from xos.vom.requests import Kept
from xos.vom.resources import Machine
from xos.vom.vops import documents, past

GROUPS, ROLES = 50, 7
"""In how many groups members are, and which of them is an Operator: each seventh."""
DAY = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How much of what."""

    members: int = 10_000
    machines: int = 1_000
    policies: int = 200
    """Documents with a rule each; those that every VO has are among them."""
    requests: int = 500
    acts: int = 10_000
    records: int = 30_000
    decisions: int = 10_000
    jobs: int = 10_000
    quotas: int = 200


FULL = Size()


def member(number: int) -> str:
    """The name of a member."""
    return f"user{number:05}"


def machine(number: int) -> str:
    """The name of a machine."""
    return f"node{number:04}"


async def fill(directory: Path, vo: str, size: Size = FULL) -> None:
    """Put members, machines and the rest into the VO *vo* of the core in *directory*; nobody may have it open."""
    core = await VomCore.open(directory)
    try:
        await core.store.write(lambda connection: _people(connection, vo, size))
        await core.store.write(lambda connection: _machines(connection, vo, size))
        await core.store.write(lambda connection: _rules(connection, vo, size))
        await core.store.write(lambda connection: _past(connection, vo, size))
    finally:
        await core.close()


def _people(connection: sa.Connection, vo: str, size: Size) -> None:
    now = time.time()
    for i in range(size.members):
        user = User(
            vo,
            member(i),
            group=f"team{i % GROUPS}",
            roles=("Operator",) if i % ROLES == 0 else (),
            created=now,
            full_name=f"Person Number {i}",
            email=f"{member(i)}@institute{i % 9}.example",
        )
        members.insert_member(connection, user, "")
    number = vos.vo_id(connection, vo)
    assert number is not None
    for i in range(size.requests):
        asks = MembershipRequest(
            f"{i:032x}", vo, f"new{i:04}", f"New Person {i}", reason="I work here", created=now + i
        )
        requests.insert(connection, number, Kept(msgspec.structs.replace(asks, expires=now + 30 * DAY), "", None))


def _machines(connection: sa.Connection, vo: str, size: Size) -> None:
    number = vos.vo_id(connection, vo)
    assert number is not None
    for i in range(size.machines):
        attributes = ResourceAttributes(8, 1 << 34, "x86_64", f"site{i % 12}", "resource")
        resource = Resource(machine(i), roles=("resource",), attributes=attributes, joined=time.time())
        resources.keep(connection, Machine(resource, scoped=True))
        resources.add_to_vo(connection, machine(i), number)


def _rules(connection: sa.Connection, vo: str, size: Size) -> None:
    for i in range(size.policies - len(documents.built_in(vo))):
        text = (
            f'@id("rule-{i}") forbid (principal in Group::"{vo}/team{i % GROUPS}", action == Action::"runJob", '
            f"resource)\nwhen {{ context.cores > {1 + i % 8} && resource.memory < {1 << 40} }};\n"
        )
        documents.insert(connection, Policy(vo, f"rule-{i:03}", text, 1, note="of many", changed=time.time()))
    for i in range(size.quotas):
        quotas.write(connection, Quota(vo, By.USER, member(i), Period.MONTH, cpu_seconds=3.6e6, version=1))


def _past(connection: sa.Connection, vo: str, size: Size) -> None:
    """Acts, usage and decisions of the last 90 days."""
    now = time.time()
    acts = [
        Entry(0, now - 90 * DAY + i, "user-added", f"boss{i % 5}@{vo}", "192.0.2.7", vo, member(i), {"group": "users"})
        for i in range(size.acts)
    ]
    last = chain.append(connection, Log.AUDIT, [msgspec.msgpack.encode(act) for act in acts], now)
    first = last.number - size.acts + 1
    rows = [trail.row_of(msgspec.structs.replace(act, number=first + i)) for i, act in enumerate(acts)]
    _insert(connection, ACTS, rows)
    used = [_record(vo, i, now - 90 * DAY * i / size.records, size) for i in range(size.records)]
    payloads = [msgspec.msgpack.encode(Signed(msgspec.msgpack.encode(one), b"", b"", "usage")) for one in used]
    last = chain.append(connection, Log.USAGE, payloads, now)
    first = last.number - size.records + 1
    _insert(connection, USAGE, [usage.row_of(first + i, one) for i, one in enumerate(used)])
    allowed = Decision(True, ("members/may-use",))
    asked = [
        {
            "vo": vo,
            "at": now - i,
            "request": msgspec.msgpack.encode(_asked(vo, i, size)),
            "allowed": True,
            "reason": allowed.explain(),
        }
        for i in range(size.decisions)
    ]
    _insert(connection, ASKED, asked)


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _record(vo: str, number: int, ended: float, size: Size) -> UsageRecord:
    job, node, user = f"{vo}-{number:06x}", machine(number % size.machines), number % size.members
    return UsageRecord(
        f"{node}:{job}.0",
        vo,
        member(user),
        f"team{user % GROUPS}",
        job,
        f"{job}.0",
        node=node,
        started=ended - 60,
        ended=ended,
        wall_seconds=60.0,
        cpu_seconds=50.0,
    )


def _asked(vo: str, number: int, size: Size) -> past.Asked:
    user = number % size.members
    who = Identity(Kind.USER, member(user), vo=vo, group=f"team{user % GROUPS}")
    return past.Asked(who, Action.RUN_JOB, NodeAttributes(machine(number % size.machines)), JobContext())


async def fill_jobs(place: str | Path, vo: str, owner: str, size: Size = FULL) -> None:
    """Put jobs that have ended into the database of a Job Manager that does not run; each tenth is *owner*'s."""
    store = await Store.open(place, jobs.METADATA, migrations="xos.aem.jobs:migrations")
    try:
        news = [_job(vo, owner, i, size) for i in range(size.jobs)]

        def write(connection: sa.Connection) -> None:
            jobs.insert_jobs(connection, [jobs.NewJob(before, b"\x90") for before, _ in news])
            jobs.update_jobs(connection, [jobs.Change(before, after) for before, after in news])

        await store.write(write)
    finally:
        await store.close()


def _job(vo: str, owner: str, number: int, size: Size) -> tuple[Job, Job]:
    """One job as it came, and as it ended."""
    job_id, when = f"{vo}-{number:032x}", time.time() - size.jobs + number
    user = member(number % size.members) if number % 10 else owner
    before = Job(
        job_id=job_id,
        request_id=f"r{number}",
        owner=f"{user}@{vo}",
        vo=vo,
        name=f"job {number}",
        needs=Needs(),
        sequence=number + 1,
        submitted=when,
        units=(Unit(f"{job_id}.0"),),
    )
    done = Unit(f"{job_id}.0", machine(number % size.machines), State.DONE, 0, started=when, ended=when + 60)
    after = msgspec.structs.replace(before, units=(done,), state=State.DONE, exit_code=0, started=when, ended=when + 60)
    return before, after
