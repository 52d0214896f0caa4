# SPDX-License-Identifier: BSD-3-Clause
"""Names that look like others, lists with broken lines, edits of the same moment, rights that end in mid-session."""

from __future__ import annotations

import asyncio

import pytest

from xos.vom.api import UserState
from xos.vom.xati import RegistrationAsync

from .conftest import PASSWORD, Browser, World

LOOKALIKES = {
    "cyrillic a": "\u0430lice",
    "fullwidth": "\uff41lice",
    "zero width joiner": "ali\u200dce",
    "right to left override": "\u202ealice",
    "combining accent": "a\u0301lice",
    "capital": "Alice",
    "blank inside": "al ice",
    "no-break space": "al\u00a0ice",
    "ten kilobytes": "a" * 10_240,
    "dot first": ".alice",
    "path": "../alice",
    "option": "-alice",
}
LINES = 10_000
BROKEN = {
    7: "\u0430lice,users,",
    5_000: "user1,users,twice\nuser1,users,twice",
    9_999: "user9999,users,a,b,c,d,e,f,g,h,i,j,k",
}


@pytest.fixture
async def manager(world: World) -> Browser:
    await world.user("mia", "VOManager", "VOCreator")
    return await world.signed_in("mia")


@pytest.mark.parametrize("name", LOOKALIKES.values(), ids=LOOKALIKES.keys())
async def test_a_name_that_looks_like_another_is_refused_on_every_form_and_nothing_is_made(
    world: World, manager: Browser, name: str
) -> None:
    await world.user("alice")
    visitor = world.browser()
    for who, path, fields in (
        (manager, "/vo/demo/members-add", {"user": name, "password": PASSWORD, "again": PASSWORD, "group": "users"}),
        (manager, "/vo-new", {"name": name, "description": ""}),
        (manager, "/vo/demo/policies-new", {"policy": name, "text": "// nothing", "expected": "0", "action": "put"}),
        (manager, "/vo/demo/resources", {"node": name, "action": "token", "minutes": "60", "addresses": ""}),
        (visitor, "/join", {"vo": "demo", "user": name, "password": PASSWORD, "again": PASSWORD}),
        (visitor, "/join", {"vo": name, "user": "bob", "password": PASSWORD, "again": PASSWORD}),
        (visitor, "/sign-in", {"vo": "demo", "user": name, "password": PASSWORD, "action": "password"}),
    ):
        await who.get(path)
        answer = await who.post(path, None, **fields)
        assert 400 <= answer.status < 500, f"{path}: {answer.status} {answer.words[:200]}"
        assert 'class="notice bad"' in answer.text or 'role="alert"' in answer.text, path
    assert {user.name for user in await world.xvoms.list_users("demo")} == {"alice", "mia"}
    assert [vo.name for vo in await world.xvoms.list_vos()] == ["demo"]
    assert await RegistrationAsync(world.daemon.bus).list_requests("demo") == []


@pytest.mark.timeout(120)
async def test_of_ten_thousand_lines_with_three_broken_none_is_taken_in_and_those_three_are_named(
    world: World, manager: Browser
) -> None:
    lines = {number: f"user{number},users,Person {number}" for number in range(2, LINES + 2)} | BROKEN
    text = "name,group,full_name\n" + "\n".join(lines[number] for number in sorted(lines)) + "\n"
    for action in ("check", "import"):
        await manager.get("/vo/demo/members-import")
        answer = await manager.post("/vo/demo/members-import", None, action=action, form="csv", text=text)
        said = answer.words.lower()
        assert "line 7" in said
        assert "line 5001" in said  # the line before it has two
        assert "line 10000" in said
        assert [user.name for user in await world.xvoms.list_users("demo")] == ["mia"]


async def test_of_ten_who_change_the_vo_at_once_one_does_and_the_others_keep_what_they_typed(
    world: World, manager: Browser
) -> None:
    await world.user("max", "VOManager")
    both = [manager, await world.signed_in("max")]
    for each in both:
        await each.get("/vo/demo/settings")
    change = {"action": "change", "registration": "yes", "attributes": "", "capabilities": "", "version": "1"}
    answers = await asyncio.gather(
        *(both[i % 2].post("/vo/demo/settings", None, description=f"text {i}", **change) for i in range(10))
    )
    assert sorted(answer.status for answer in answers) == [200, *[409] * 9]
    told = (await world.xvoms.vo_info("demo")).description
    for i, answer in enumerate(answers):
        assert f"text {i}" in answer.text or answer.status == 200
    assert told in {f"text {i}" for i in range(10)}


async def test_a_form_of_somebody_suspended_meanwhile_changes_nothing_and_says_so(world: World) -> None:
    await world.user("max", "VOManager")
    max_ = await world.signed_in("max")
    await max_.get("/vo/demo/groups")
    await world.xvoms.set_user_state("demo", "max", UserState.SUSPENDED)
    answer = await max_.post("/vo/demo/groups", None, action="add_group", name="mine", description="")
    assert answer.status in (401, 403)
    assert "mine" not in {group.name for group in await world.xvoms.list_groups("demo")}
    assert (await max_.get("/vo/demo")).url.startswith("/sign-in")
    assert (await max_.sign_in("max")).status == 403


async def test_a_role_taken_away_in_mid_session_is_gone_from_the_page_too(world: World, manager: Browser) -> None:
    await world.user("max", "VOAdmin")
    max_ = await world.signed_in("max")
    path = "/vo/demo/members/max"
    await manager.get(path)
    version = str((await world.xvoms.user_info("demo", "max")).version)
    change = {"action": "change", "group": "users", "groups": "", "roles": "", "capabilities": "", "version": version}
    assert "max is changed." in (await manager.post(path, None, **change, expires="", full_name="", email="")).words
    assert (await max_.get("/vo/demo/members")).url.startswith("/sign-in")
    await max_.sign_in("max")
    assert (await max_.get("/vo/demo/members")).status == 403


async def test_a_vo_dissolved_by_another_signs_everybody_in_it_out(world: World, manager: Browser) -> None:
    await world.user("max", "VOManager")
    max_ = await world.signed_in("max")
    await manager.get("/vo/demo/settings")
    assert "is dissolved" in (await manager.post("/vo/demo/settings", None, action="dissolve", name="demo")).words
    answer = await max_.get("/vo/demo/members")
    assert answer.url.startswith("/sign-in")
    assert "session has ended" in answer.words
    assert (await max_.sign_in("max")).status == 401
