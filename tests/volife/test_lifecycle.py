# SPDX-License-Identifier: BSD-3-Clause
"""The life of a VO on the page: created, joined, changed, dissolved; with the real services behind it."""

from __future__ import annotations

import html
import re

import pytest

from xos.vom.api import UserState
from xos.vom.word import read

from .conftest import PASSWORD, Browser, World

CSV = "name,group,full_name\nann,physics,Ann Example\nben,physics,Ben Example\n"


@pytest.fixture
async def manager(world: World) -> Browser:
    """The browser of somebody who manages the VO."""
    await world.user("mia", "VOManager")
    return await world.signed_in("mia")


async def _form(browser: Browser, path: str, **fields: str) -> str:
    """Look at the page, send its form, and read what comes."""
    await browser.get(path)
    return (await browser.post(path, None, **fields)).words


async def test_a_creator_makes_a_vo_signs_in_to_it_and_sets_it_up(world: World) -> None:
    await world.user("cora", "VOCreator")
    browser = await world.signed_in("cora")
    assert "Create a VO" in (await browser.get("/")).words
    await browser.get("/vo-new")
    answer = await browser.post("/vo-new", None, name="physics", description="Particles")
    assert answer.url == "/vo/physics/settings?new=1"
    assert "you are its manager" in answer.words
    assert "Signed in as cora@physics" in html.unescape(answer.text)
    words = await _form(
        browser, "/vo/physics/settings?new=1", action="change", description="Waves", registration="yes",
        attributes="orcid", capabilities="gpu", version="1",
    )  # fmt: skip
    assert "physics is changed." in words
    vo = await world.xvoms.vo_info("physics")
    assert (vo.description, vo.attributes, vo.capabilities, vo.registration) == ("Waves", ("orcid",), ("gpu",), True)
    assert "What to do next" in (await browser.get("/vo/physics")).words


async def test_who_is_no_creator_sees_no_button_and_is_told_who_is(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    assert "Create a VO" not in (await browser.get("/")).words
    assert "VOCreator" in await _form(browser, "/vo-new", name="mine", description="")


async def test_somebody_asks_is_approved_and_signs_in(world: World, manager: Browser) -> None:
    visitor = world.browser()
    fields = {"vo": "demo", "user": "nora", "full_name": "Nora <b>", "email": "nora@example.org", "reason": "I & you"}
    await visitor.get("/join")
    answer = await visitor.post("/join", None, password=PASSWORD, again=PASSWORD, **fields)
    assert "has not decided yet" in answer.words
    status = answer.url
    shown = await manager.get("/vo/demo/requests")
    assert "Nora <b>" in shown.words
    request = re.search(r'name="request" value="([^"]+)"', shown.text)
    assert request is not None
    answer = await manager.post(
        "/vo/demo/requests", None, action="approve", request=request[1], group="physics", roles="Operator", answer=""
    )
    assert "nora is a member now." in answer.words
    assert "You are a member now." in (await visitor.get(status)).words
    assert (await visitor.sign_in("nora")).url == "/"
    user = await world.xvoms.user_info("demo", "nora")
    assert (user.group, user.roles, user.full_name) == ("physics", ("Operator",), "Nora <b>")


async def test_a_refused_request_tells_why_to_who_asked_and_to_nobody_else(world: World, manager: Browser) -> None:
    visitor = world.browser()
    await visitor.get("/join")
    asked = {"vo": "demo", "user": "otto", "password": PASSWORD, "again": PASSWORD}
    status = (await visitor.post("/join", None, **asked)).url
    request = re.search(r'name="request" value="([^"]+)"', (await manager.get("/vo/demo/requests")).text)
    assert request is not None
    await manager.post("/vo/demo/requests", None, action="refuse", request=request[1], answer="Not <i>this</i> year")
    answer = await visitor.get(status)
    assert "Not <i>this</i> year" in answer.words
    assert "<i>this</i>" not in answer.text
    assert (await world.browser().get("/join/guessed")).status == 404


async def test_asking_too_often_from_one_address_is_slowed_down(world: World) -> None:
    visitor = world.browser()
    await visitor.get("/join")
    statuses = []
    for i in range(6):
        fields = {"vo": "demo", "user": f"user{i}", "password": PASSWORD, "again": PASSWORD}
        answer = await visitor.post("/join", None, **fields)
        statuses.append(answer.status)
        await visitor.get("/join")
    assert statuses == [200] * 5 + [429]


async def test_a_member_is_changed_and_of_two_who_change_at_once_the_second_is_told(
    world: World, manager: Browser
) -> None:
    await world.user("bob")
    path = "/vo/demo/members/bob"
    await manager.get(path)
    version = str((await world.xvoms.user_info("demo", "bob")).version)
    change = {"action": "change", "group": "physics", "groups": "atlas", "roles": "Operator", "version": version}
    more = {"capabilities": "", "expires": "2099-12-31", "full_name": "Bob", "email": "bob@example.org"}
    assert "bob is changed." in (await manager.post(path, None, **change, **more)).words
    user = await world.xvoms.user_info("demo", "bob")
    assert (user.group, user.groups, user.roles, user.full_name) == ("physics", ("atlas",), ("Operator",), "Bob")
    assert user.expires > 4e9
    answer = await manager.post(path, None, **{**change, "groups": "cms"}, **more)
    assert answer.status == 409
    assert 'value="cms"' in answer.text, "what was typed is still there"


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "9999-12-31", "2026-02-30"])
async def test_a_day_that_there_is_not_is_refused(world: World, manager: Browser, day: str) -> None:
    await world.user("bob")
    words = await _form(manager, "/vo/demo/members/bob", action="change", group="users", expires=day, version="1")
    assert "Last day: a day as 2027-01-31" in words


async def test_an_invited_member_chooses_a_password_once(world: World, manager: Browser) -> None:
    await world.user("bob")
    await manager.get("/vo/demo/members/bob")
    shown = await manager.post("/vo/demo/members/bob", action="invite")
    code = re.search(r"code=([A-Za-z0-9_-]+)", shown.text)
    assert code is not None
    visitor = world.browser()
    fields = {"vo": "demo", "user": "bob", "code": code[1], "password": "brand new words", "again": "brand new words"}
    assert "Your password is set." in await _form(visitor, "/invitation", **fields)
    assert (await visitor.sign_in("bob", "brand new words")).url == "/"
    assert "vom.bad-invitation" in await _form(
        world.browser(), "/invitation", **{**fields, "password": "x" * 9, "again": "x" * 9}
    )


async def test_a_removed_member_is_gone_and_cannot_sign_in(world: World, manager: Browser) -> None:
    await world.user("bob")
    assert "bob is no longer a member." in await _form(manager, "/vo/demo/members/bob", action="remove")
    assert (await world.browser().sign_in("bob")).status == 401


async def test_members_are_searched_for_and_paged(world: World, manager: Browser) -> None:
    lines = "".join(f"user{i:03},group{i % 2},Person {i}\n" for i in range(150))
    await world.xvoms.import_users("demo", "name,group,full_name\n" + lines)
    first = await manager.get("/vo/demo/members")
    more = re.search(r'href="(\?[^"]*after=[^"]+)"', first.text)
    assert more is not None
    second = await manager.get("/vo/demo/members" + more[1].replace("&amp;", "&"))
    assert "user149" in second.words
    assert "user149" not in first.words
    found = (await manager.get("/vo/demo/members?search=Person+14")).words
    assert "user014" in found
    assert "user013" not in found
    assert "user001" not in (await manager.get("/vo/demo/members?group=group0")).words


async def test_a_list_is_checked_first_then_taken_in_whole(world: World, manager: Browser) -> None:
    await manager.get("/vo/demo/members-import")
    answer = await manager.post("/vo/demo/members-import", action="check", form="csv", text=CSV)
    assert "2 new members" in answer.words
    assert [user.name for user in await world.xvoms.list_users("demo")] == ["mia"]
    answer = await manager.post("/vo/demo/members-import", action="import", form="csv", text=CSV)
    assert "2 members are added" in answer.words
    assert "Invitations" in answer.words


async def test_a_list_with_bad_lines_changes_nothing_and_each_is_named(world: World, manager: Browser) -> None:
    text = CSV + "Bad Name!,physics,\n" + "x" * 10_000 + ",physics,\n"
    words = await _form(manager, "/vo/demo/members-import", action="import", form="csv", text=text)
    assert "line 4" in words
    assert "line 5" in words
    assert [user.name for user in await world.xvoms.list_users("demo")] == ["mia"]


async def test_groups_and_roles_are_added_described_and_removed(manager: Browser) -> None:
    path = "/vo/demo/groups"
    assert "The group physics.atlas is there." in await _form(
        manager, path, action="add_group", name="physics.atlas", description="The detector"
    )
    assert "The detector" in (await manager.get(path)).words
    assert "The role Operator is there." in await _form(
        manager, path, action="add_role", name="Operator", description=""
    )
    assert "The role Operator is removed." in await _form(manager, path, action="remove_role", name="Operator")
    assert "vom.still-used" in await _form(manager, path, action="remove_group", name="users")


async def test_a_join_word_is_for_the_machine_that_it_names(manager: Browser) -> None:
    await manager.get("/vo/demo/resources")
    answer = await manager.post("/vo/demo/resources", action="token", node="node9", addresses="10.0.0.9", minutes="60")
    word = re.search(r"xos1-[A-Za-z0-9_-]+", answer.text)
    assert word is not None
    assert read(word[0]).node == "node9"
    assert read(word[0]).front_door.endswith(":6730")


async def test_a_join_word_is_not_for_every_member_to_make(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    assert "Make a join word" not in (await browser.get("/vo/demo/resources")).words
    words = await _form(browser, "/vo/demo/resources", action="token", node="node9", addresses="", minutes="60")
    assert "vom.forbidden" in words


async def test_a_vo_is_dissolved_only_by_its_name_and_everybody_is_signed_out(world: World, manager: Browser) -> None:
    await world.user("alice")
    alice = await world.signed_in("alice")
    assert "it is not the name of this VO" in await _form(manager, "/vo/demo/settings", action="dissolve", name="dem")
    assert "demo is dissolved" in await _form(manager, "/vo/demo/settings", action="dissolve", name="demo")
    for browser in (manager, alice):
        assert (await browser.get("/vo/demo")).url.startswith("/sign-in")
    assert (await world.browser().sign_in("alice")).status == 401


async def test_who_is_in_two_vos_finds_the_way_from_one_to_the_other(world: World) -> None:
    await world.user("cora", "VOCreator")
    browser = await world.signed_in("cora")
    await browser.get("/vo-new")
    await browser.post("/vo-new", None, name="physics", description="")
    answer = await browser.get("/")
    assert "Also a member of" in answer.words
    assert "/sign-in?vo=demo" in answer.text


async def test_a_suspended_members_state_is_shown(world: World, manager: Browser) -> None:
    await world.user("bob")
    await world.xvoms.set_user_state("demo", "bob", UserState.SUSPENDED)
    assert "suspended" in (await manager.get("/vo/demo/members")).words
