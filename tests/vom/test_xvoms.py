# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: VOs and their members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from xos.common.identity import Identity, Kind
from xos.vom.api import User, UserState
from xos.vom.errors import (
    BadCredentials,
    BadName,
    BadRequest,
    Forbidden,
    TooManyAttempts,
    UnknownUser,
    UnknownVO,
    UserExists,
    VOExists,
    WeakPassword,
)

from .conftest import PASSWORD, CoreMachine, acting


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """All of this on each kind of database."""
    return either_machine


async def test_a_vo_is_made_once_and_asked_for_again_is_the_same(machine: CoreMachine) -> None:
    with acting(machine.identity):
        first = await machine.xvoms.create_vo("demo", "for trying out")
        assert await machine.xvoms.create_vo("demo", "for trying out") == first
        with pytest.raises(VOExists):
            await machine.xvoms.create_vo("demo", "something else")
        assert await machine.xvoms.list_vos() == [first]


async def test_only_a_core_machine_creates_vos(machine: CoreMachine) -> None:
    await machine.add("carol", roles=("VOAdmin",))
    carol = (await machine.get("carol")).identity
    for caller in (carol, Identity(Kind.MACHINE, "node1", roles=("resource",))):
        with acting(caller), pytest.raises(Forbidden):
            await machine.xvoms.create_vo("mine")


async def test_users_see_their_own_vo_and_machines_all(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob", vo="other")
    with acting((await machine.get("alice")).identity):
        assert [(vo.name, vo.users) for vo in await machine.xvoms.list_vos()] == [("demo", 1)]
    with acting(Identity(Kind.MACHINE, "node1", roles=("resource",))):
        assert [vo.name for vo in await machine.xvoms.list_vos()] == ["demo", "other"]


async def test_a_user_comes_back_with_groups_and_roles_each_once(machine: CoreMachine) -> None:
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        added = await machine.xvoms.add_user(
            "demo", "alice", PASSWORD, "users", ("cms", "atlas", "cms", "users"), ("VOAdmin",)
        )
        assert (added.group, added.groups, added.roles) == ("users", ("atlas", "cms"), ("VOAdmin",))
        assert await machine.xvoms.user_info("demo", "alice") == added
        assert await machine.xvoms.list_users("demo") == [added]


async def test_adding_the_same_user_again_changes_nothing(machine: CoreMachine) -> None:
    await machine.add("alice", groups=("atlas",), roles=("VOAdmin",))
    with acting(machine.identity):
        before = await machine.xvoms.list_users("demo")
    await machine.add("alice", groups=("atlas",), roles=("VOAdmin",))
    with acting(machine.identity):
        assert await machine.xvoms.list_users("demo") == before


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"password": "another password"}, "password"),
        ({"group": "others"}, "set of groups"),
        ({"groups": ("cms",)}, "set of groups"),
        ({"roles": ("VOAdmin",)}, "set of roles"),
    ],
)
async def test_adding_another_user_of_the_same_name_says_what_differs(
    machine: CoreMachine, change: dict[str, Any], differs: str
) -> None:
    await machine.add("alice", groups=("atlas",))
    wanted = {"vo": "demo", "name": "alice", "password": PASSWORD, "groups": ("atlas",), **change}
    with acting(machine.identity), pytest.raises(UserExists) as caught:
        await machine.xvoms.add_user(**wanted)
    assert caught.value.data["differs"] == differs
    assert (await machine.get("alice")).identity.roles == ()


async def test_two_vos_may_have_a_user_of_the_same_name(machine: CoreMachine) -> None:
    await machine.add("alice", vo="demo", roles=("VOAdmin",))
    await machine.add("alice", vo="other")
    assert (await machine.get("alice", vo="other")).identity.roles == ()


async def test_the_same_user_added_many_times_at_once_is_one(machine: CoreMachine) -> None:
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        added = await asyncio.gather(*(machine.xvoms.add_user("demo", "alice", PASSWORD) for _ in range(20)))
        assert len(set(added)) == 1
        assert await machine.xvoms.list_users("demo") == [added[0]]


async def test_groups_count_primary_and_further_members(machine: CoreMachine) -> None:
    await machine.add("alice", group="physics", groups=("atlas",))
    await machine.add("bob", group="physics", groups=("users",))
    with acting((await machine.get("bob")).identity):
        groups = {group.name: group.members for group in await machine.xvoms.list_groups("demo")}
    assert groups == {"physics": 2, "atlas": 1, "users": 1}


async def test_members_are_listed_in_pages(machine: CoreMachine) -> None:
    names = [f"user{i:02}" for i in range(25)]
    await asyncio.gather(*(machine.add(name, groups=("atlas",)) for name in names))
    with acting(machine.identity):
        seen: list[User] = []
        while page := await machine.xvoms.list_users("demo", seen[-1].name if seen else "", 10):
            assert len(page) <= 10
            seen += page
    assert [user.name for user in seen] == names
    assert all(user.groups == ("atlas",) for user in seen)


async def test_what_is_not_there_is_said_to_who_may_know(machine: CoreMachine) -> None:
    xvoms = machine.xvoms
    with acting(machine.identity):
        for missing in (
            xvoms.list_users("demo"),
            xvoms.list_groups("demo"),
            xvoms.add_user("demo", "alice", PASSWORD),
        ):
            with pytest.raises(UnknownVO):
                await missing
        await xvoms.create_vo("demo")
        for absent in (
            xvoms.user_info("demo", "alice"),
            xvoms.set_user_state("demo", "alice", UserState.SUSPENDED),
            xvoms.set_password("demo", "alice", PASSWORD),
        ):
            with pytest.raises(UnknownUser):
                await absent


async def test_who_may_not_know_learns_nothing_of_what_is_there(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob", vo="other")
    with acting((await machine.get("alice")).identity):
        for vo in ("other", "missing"):
            with pytest.raises(Forbidden):
                await machine.xvoms.list_groups(vo)
        for user in ("bob", "missing"):
            with pytest.raises(Forbidden):
                await machine.xvoms.user_info("demo", user)


async def test_an_administrator_suspended_or_stripped_of_the_role_loses_the_right_before_the_certificate_ends(
    machine: CoreMachine,
) -> None:
    await machine.add("carol", roles=("VOAdmin",))
    carol = (await machine.get("carol")).identity
    with acting(carol):
        await machine.xvoms.add_user("demo", "dave", PASSWORD)
    await machine.suspend("carol")
    with acting(carol), pytest.raises(Forbidden):
        await machine.xvoms.add_user("demo", "erin", PASSWORD)
    await machine.add("frank")
    pretender = Identity(Kind.USER, "frank", "demo", "users", roles=("VOAdmin",))
    with acting(pretender), pytest.raises(Forbidden):
        await machine.xvoms.list_users("demo")


async def test_a_user_changes_the_password_by_telling_the_current_one(machine: CoreMachine) -> None:
    await machine.add("alice")
    alice = (await machine.get("alice")).identity
    with acting(alice):
        with pytest.raises(BadCredentials):
            await machine.xvoms.set_password("demo", "alice", "a new password")
        with pytest.raises(BadCredentials):
            await machine.xvoms.set_password("demo", "alice", "a new password", "not my password")
        for _ in range(2):  # the second time is a repetition after a lost answer
            await machine.xvoms.set_password("demo", "alice", "a new password", PASSWORD)
    with pytest.raises(BadCredentials):
        await machine.get("alice")
    assert (await machine.get("alice", password="a new password")).identity.name == "alice"


async def test_a_stolen_certificate_is_no_way_to_guess_the_password(machine: CoreMachine) -> None:
    await machine.add("alice")
    with acting((await machine.get("alice")).identity):
        for i in range(5):
            with pytest.raises(BadCredentials):
                await machine.xvoms.set_password("demo", "alice", "a new password", f"guess {i}")
        with pytest.raises(TooManyAttempts):
            await machine.xvoms.set_password("demo", "alice", "a new password", PASSWORD)


async def test_an_administrator_sets_a_password_without_the_current_one(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("carol", roles=("VOAdmin",))
    with acting((await machine.get("carol")).identity):
        await machine.xvoms.set_password("demo", "alice", "a new password")
    assert (await machine.get("alice", password="a new password")).identity.name == "alice"


async def test_nobody_sets_the_password_of_another(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob")
    with acting((await machine.get("bob")).identity), pytest.raises(Forbidden):
        await machine.xvoms.set_password("demo", "alice", "a new password", PASSWORD)


async def test_suspending_twice_is_suspending_once(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.suspend("alice")
    with acting(machine.identity):
        again = await machine.xvoms.set_user_state("demo", "alice", UserState.SUSPENDED)
    assert again.state is UserState.SUSPENDED


Call = Callable[[CoreMachine], Awaitable[object]]
BAD: dict[str, tuple[Call, type[Exception]]] = {
    "VO name": (lambda m: m.xvoms.create_vo("Demo VO"), BadName),
    "VO name with SQL": (lambda m: m.xvoms.create_vo("demo'; drop table vos; --"), BadName),
    "empty VO name": (lambda m: m.xvoms.create_vo(""), BadName),
    "huge description": (lambda m: m.xvoms.create_vo("demo", "x" * 100_000), BadRequest),
    "NUL in the description": (lambda m: m.xvoms.create_vo("demo", "a\0b"), BadRequest),
    "escape sequence in the description": (lambda m: m.xvoms.create_vo("demo", "\x1b[2J"), BadRequest),
    "user name": (lambda m: m.xvoms.add_user("demo", "Alice", PASSWORD), BadName),
    "10 kB user name": (lambda m: m.xvoms.add_user("demo", "a" * 10_000, PASSWORD), BadName),
    "group": (lambda m: m.xvoms.add_user("demo", "alice", PASSWORD, "a,b"), BadName),
    "role": (lambda m: m.xvoms.add_user("demo", "alice", PASSWORD, "users", (), ("<script>",)), BadName),
    "10,000 groups": (
        lambda m: m.xvoms.add_user("demo", "alice", PASSWORD, "users", tuple(f"g{i}" for i in range(10_000))),
        BadName,
    ),
    "short password": (lambda m: m.xvoms.add_user("demo", "alice", "short"), WeakPassword),
    "10 MB password": (lambda m: m.xvoms.add_user("demo", "alice", "x" * 10_000_000), WeakPassword),
    "no rows wanted": (lambda m: m.xvoms.list_users("demo", "", 0), BadRequest),
    "NUL in the page mark": (lambda m: m.xvoms.list_users("demo", "a\0"), BadName),
    "VO to look up": (lambda m: m.xvoms.list_groups("a\0"), BadName),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD.keys())
async def test_what_can_never_be_right_is_refused_and_leaves_nothing(
    machine: CoreMachine, call: Call, error: type[Exception]
) -> None:
    with acting(machine.identity):
        if call is not BAD["VO name"][0]:
            await machine.xvoms.create_vo("demo")
        with pytest.raises(error) as caught:
            await call(machine)
        assert len(str(caught.value)) < 1000
        assert all(vo.users == 0 for vo in await machine.xvoms.list_vos())


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(vo=names, user=names, group=labels, groups=st.sets(labels, max_size=5), roles=st.sets(labels, max_size=5))
async def test_every_good_name_makes_it_into_database_and_certificate(
    machine: CoreMachine, vo: str, user: str, group: str, groups: set[str], roles: set[str]
) -> None:
    with acting(machine.identity):
        await machine.xvoms.create_vo(vo)
        assume(user not in {one.name for one in await machine.xvoms.list_users(vo)})
    await machine.add(user, vo=vo, group=group, groups=tuple(groups), roles=tuple(roles))
    who = machine.trust.identify((await machine.get(user, vo=vo)).certificate)
    assert (who.vo, who.name, who.group) == (vo, user, group)
    assert set(who.groups) == groups - {group}
    assert set(who.roles) == roles
