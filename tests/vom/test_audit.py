# SPDX-License-Identifier: BSD-3-Clause
"""Audit: the trail as administrators see it, signed heads, certified heads."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from xos.common.signing import sign
from xos.common.tls import Credential
from xos.vom.api import HEAD_PURPOSE, Head, Log
from xos.vom.errors import BadRequest, Forbidden, ForeignHead
from xos.vom.policy import ADMIN_ROLE
from xos.vom.records import trail
from xos.vom.records.heads import head_file, read_head, sign_head
from xos.vom.records.store import ACTS, CHAIN

from .conftest import CoreMachine, acting


async def act(machine: CoreMachine, count: int, vo: str = "demo") -> None:
    for number in range(count):
        note = trail.noting(machine.core.now(), "tested", who="core", vo=vo, target=str(number))
        await machine.core.store.write(note)


async def boss(machine: CoreMachine, vo: str = "demo") -> Credential:
    await machine.add("boss", vo=vo, roles=(ADMIN_ROLE,))
    return await machine.get("boss", vo=vo)


async def test_the_trail_of_a_vo_is_for_its_administrators(either_machine: CoreMachine) -> None:
    machine = either_machine
    admin = (await boss(machine)).identity
    await machine.add("alice")
    await act(machine, 3)
    await act(machine, 1, vo="other")
    with acting(admin):
        assert [e.target for e in await machine.audit.trail("demo", act="tested", limit=2)] == ["2", "1"]
        for hidden in ("other", ""):
            with pytest.raises(Forbidden):
                await machine.audit.trail(hidden)
        with pytest.raises(Forbidden):
            await machine.audit.links(Log.AUDIT)
    with acting((await machine.get("alice")).identity), pytest.raises(Forbidden):
        await machine.audit.trail("demo")
    with acting(machine.identity):
        assert len(await machine.audit.trail("", act="tested")) == 4
        with pytest.raises(BadRequest):
            await machine.audit.trail("demo", limit=0)


async def test_an_administrator_certifies_the_head_and_nothing_else(either_machine: CoreMachine) -> None:
    machine = either_machine
    admin = await boss(machine)
    await act(machine, 3)
    head = await machine.audit.head(Log.AUDIT)
    with acting(admin.identity):
        for _ in range(2):
            done = await machine.audit.certify(sign_head(head, admin))
        assert (done.by, done.head) == ("boss@demo", head)
        forged = msgspec.structs.replace(head, digest=bytes(32))
        for wrong in (forged, Head(Log.AUDIT, 999, head.digest), Head(Log.USAGE, 1, head.digest)):
            with pytest.raises(ForeignHead):
                await machine.audit.certify(sign_head(wrong, admin))
        with pytest.raises(ForeignHead, match="signed for"):
            await machine.audit.certify(sign(b"x", admin, purpose="job"))
        with pytest.raises(ForeignHead):
            await machine.audit.certify(sign(b"\xff\xff", admin, purpose=HEAD_PURPOSE))
        (kept,) = await machine.audit.certifications(Log.AUDIT)
        assert (kept.by, kept.head) == (done.by, head)
    with acting(machine.identity), pytest.raises(ForeignHead, match="signed by boss"):
        await machine.audit.certify(sign_head(head, admin))


async def test_members_certify_nothing(machine: CoreMachine) -> None:
    await machine.add("alice")
    await act(machine, 1)
    alice = await machine.get("alice")
    head = await machine.audit.head(Log.AUDIT)
    with acting(alice.identity), pytest.raises(Forbidden):
        await machine.audit.certify(sign_head(head, alice))


async def test_the_signed_head_follows_the_chain_and_outlives_what_is_cut_off(machine: CoreMachine) -> None:
    await act(machine, 3)
    await machine.audit.keeper.look()
    file = head_file(machine.core.directory, Log.AUDIT)
    head = await machine.audit.head(Log.AUDIT)
    signed = read_head(file, machine.trust)
    assert signed is not None
    assert (signed.number, signed.digest) == (head.number, head.digest)
    assert file.stat().st_mode & 0o777 == 0o600

    def cut(connection: sa.Connection) -> None:
        connection.execute(CHAIN.delete().where(CHAIN.c.number == head.number))
        connection.execute(ACTS.delete().where(ACTS.c.number == head.number))

    await machine.core.store.write(cut)
    await act(machine, 2)
    await machine.audit.keeper.look()
    assert read_head(file, machine.trust) == signed, "it is evidence"
