# SPDX-License-Identifier: BSD-3-Clause
"""Requests for membership and invitations, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from xos.common.identity import ANONYMOUS
from xos.vom.api import RequestState, VOChange
from xos.vom.errors import (
    BadCredentials,
    BadInvitation,
    BadName,
    BadRequest,
    Forbidden,
    NameTaken,
    RequestDecided,
    TooManyRequests,
    UnknownRequest,
    UnknownVO,
    WeakPassword,
)

from .conftest import PASSWORD, CoreMachine, acting


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """Every test here runs on SQLite and on PostgreSQL."""
    return either_machine


async def test_somebody_without_a_certificate_asks_is_approved_and_gets_one(machine: CoreMachine) -> None:
    await machine.add("adam", roles=("VOAdmin",))
    with acting(ANONYMOUS):
        assert [vo.name for vo in await machine.registration.open_vos()] == ["demo"]
        asked = await machine.registration.ask("demo", "bob", PASSWORD, "Bob Builder", "bob@example.org", "to build")
        assert await machine.registration.ask("demo", "bob", PASSWORD) == asked
    with pytest.raises(BadCredentials):
        await machine.get("bob")
    with acting((await machine.get("adam")).identity):
        (waiting,) = await machine.registration.list_requests("demo")
        assert waiting == asked
        assert (await machine.xvoms.vo_info("demo")).requests == 1
        bob = await machine.registration.approve("demo", asked.id, "builders", roles=("Operator",))
        assert await machine.registration.approve("demo", asked.id) == bob  # a repetition
        assert await machine.registration.list_requests("demo") == []
        (act,) = await machine.audit.trail("demo", act="membership-approved")
        assert (act.target, act.who, act.detail["request"]) == ("bob", "adam@demo", asked.id)
    assert (bob.full_name, bob.email, bob.group) == ("Bob Builder", "bob@example.org", "builders")
    with acting(ANONYMOUS):
        assert (await machine.registration.status(asked.id)).state is RequestState.APPROVED
    assert (await machine.get("bob")).identity.roles == ("Operator",)


async def test_who_is_refused_is_told_why_and_may_ask_again(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(ANONYMOUS):
        asked = await machine.registration.ask("demo", "bob", PASSWORD)
    with acting(machine.identity):
        await machine.registration.refuse("demo", asked.id, "who are you?")
        with pytest.raises(RequestDecided):
            await machine.registration.approve("demo", asked.id)
    with acting(ANONYMOUS):
        told = await machine.registration.status(asked.id)
        assert (told.state, told.answer) == (RequestState.REFUSED, "who are you?")
        assert (await machine.registration.ask("demo", "bob", PASSWORD)).id != asked.id


async def test_a_request_that_nobody_decides_is_over(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(ANONYMOUS):
        asked = await machine.registration.ask("demo", "bob", PASSWORD)
    machine.core.now = lambda: asked.expires + 1
    with acting(ANONYMOUS):
        assert (await machine.registration.status(asked.id)).state is RequestState.EXPIRED
    with acting(machine.identity):
        with pytest.raises(RequestDecided):
            await machine.registration.approve("demo", asked.id)
        assert await machine.registration.list_requests("demo") == []
        assert [one.state for one in await machine.registration.list_requests("demo", None)] == [RequestState.EXPIRED]


async def test_a_member_of_another_vo_keeps_the_password_and_is_one_person(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("olga", vo="other", roles=("VOAdmin",))
    alice = await machine.get("alice")
    with acting(alice.identity):
        asked = await machine.registration.ask("other", "alice2", "", reason="to help")
    assert asked.by == "alice@demo"
    with acting((await machine.get("olga", vo="other")).identity):
        await machine.registration.approve("other", asked.id)
        with pytest.raises(Forbidden):  # else olga could become alice@demo
            await machine.registration.invite("other", "alice2")
    assert (await machine.get("alice2", vo="other")).identity.name == "alice2"
    assert (await machine.get("alice", vos=("other",))).identity.vos == ("other",)
    with acting(alice.identity), pytest.raises(NameTaken):
        await machine.registration.ask("other", "alice3", "")


async def test_a_name_is_asked_for_by_one_and_not_by_who_does_not_know_the_password(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(ANONYMOUS):
        with pytest.raises(NameTaken):
            await machine.registration.ask("demo", "alice", PASSWORD)
        await machine.registration.ask("demo", "bob", PASSWORD)
        with pytest.raises(NameTaken):
            await machine.registration.ask("demo", "bob", "another password")
        many = await asyncio.gather(
            *(machine.registration.ask("demo", "carol", PASSWORD) for _ in range(8)), return_exceptions=True
        )
    assert len({one.id for one in many if not isinstance(one, BaseException)}) == 1


async def test_a_closed_vo_is_not_known_at_the_front_door(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(machine.identity):
        await machine.xvoms.change_vo("demo", VOChange(registration=False))
    with acting(ANONYMOUS):
        assert await machine.registration.open_vos() == []
        for vo in ("demo", "missing"):
            with pytest.raises(UnknownVO):
                await machine.registration.ask(vo, "bob", PASSWORD)


async def test_requests_from_one_address_are_limited(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(ANONYMOUS, address="203.0.113.5"):
        for i in range(machine.registration.settings.per_address):
            await machine.registration.ask("demo", f"user{i}", PASSWORD)
        with pytest.raises(TooManyRequests) as caught:
            await machine.registration.ask("demo", "onemore", PASSWORD)
    assert caught.value.retry_after_ms
    with acting(ANONYMOUS, address="203.0.113.6"):
        await machine.registration.ask("demo", "onemore", PASSWORD)


async def test_requests_are_listed_in_pages_oldest_first(machine: CoreMachine) -> None:
    await machine.add("alice")
    for i in range(7):
        with acting(ANONYMOUS, address=f"203.0.113.{i}"):
            await machine.registration.ask("demo", f"user{i}", PASSWORD)
    with acting(machine.identity):
        seen = await machine.registration.list_requests("demo", limit=3)
        while page := await machine.registration.list_requests("demo", after=seen[-1].id, limit=3):
            seen += page
    assert [one.name for one in seen] == [f"user{i}" for i in range(7)]


async def test_an_administrator_decides_in_their_own_vo_only(machine: CoreMachine) -> None:
    await machine.add("adam", roles=("VOAdmin",))
    await machine.add("olga", vo="other", roles=("VOAdmin",))
    with acting(ANONYMOUS):
        asked = await machine.registration.ask("other", "bob", PASSWORD)
    with acting((await machine.get("adam")).identity):
        with pytest.raises(Forbidden):
            await machine.registration.approve("other", asked.id)
        with pytest.raises(UnknownRequest):
            await machine.registration.approve("demo", asked.id)
        with pytest.raises(Forbidden):
            await machine.registration.list_requests("other")


async def test_an_invitation_sets_the_password_once(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(machine.identity):
        void = await machine.registration.invite("demo", "alice")
        invitation = await machine.registration.invite("demo", "alice", hours=1)
    with acting(ANONYMOUS):
        for code in (void.code, "", "x" * 10_000):
            with pytest.raises(BadInvitation):
                await machine.registration.accept("demo", "alice", code, "my own password")
        for _ in range(2):  # the second time is a repetition after a lost answer
            await machine.registration.accept("demo", "alice", invitation.code, "my own password")
        with pytest.raises(BadInvitation):
            await machine.registration.accept("demo", "alice", invitation.code, "yet another one")
    assert (await machine.get("alice", password="my own password")).identity.name == "alice"


async def test_an_invitation_ends(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting(machine.identity):
        invitation = await machine.registration.invite("demo", "alice", hours=1)
    machine.core.now = lambda: invitation.expires + 1.0
    with acting(ANONYMOUS), pytest.raises(BadInvitation):
        await machine.registration.accept("demo", "alice", invitation.code, "my own password")


async def test_guessing_invitations_is_slowed_down(machine: CoreMachine) -> None:
    await machine.add("alice")
    guesses = machine.registration.settings.per_address
    with acting(ANONYMOUS):
        for i in range(guesses):
            with pytest.raises(BadInvitation):
                await machine.registration.accept("demo", f"nobody{i}", "guess", "my own password")
        with pytest.raises(TooManyRequests):
            await machine.registration.accept("demo", "alice", "guess", "my own password")


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "HTML in the name": ({"name": "<b>bob</b>"}, BadName),
    "10 kB name": ({"name": "b" * 10_000}, BadName),
    "a look-alike": ({"name": "b\u043eb"}, BadName),
    "short password": ({"password": "short"}, WeakPassword),
    "10 kB reason": ({"reason": "x" * 10_000}, BadRequest),
    "reason of two lines": ({"reason": "a\nb"}, BadRequest),
    "no address": ({"email": "bob"}, BadRequest),
    "SQL for a VO": ({"vo": "'; drop table vos"}, BadName),
}


@pytest.mark.parametrize(("change", "error"), BAD.values(), ids=BAD.keys())
async def test_a_bad_request_is_refused_whole(
    machine: CoreMachine, change: dict[str, Any], error: type[Exception]
) -> None:
    await machine.add("alice")
    asked = {"vo": "demo", "name": "bob", "password": PASSWORD, **change}
    with acting(ANONYMOUS), pytest.raises(error):
        await machine.registration.ask(**asked)
    with acting(machine.identity):
        assert await machine.registration.list_requests("demo", None) == []


@pytest.mark.parametrize("request_", ["", "x" * 33, "a\0", "é", "../../etc"])
async def test_ids_that_were_never_given_out_are_not_known(machine: CoreMachine, request_: str) -> None:
    with acting(ANONYMOUS), pytest.raises(UnknownRequest):
        await machine.registration.status(request_)
