# SPDX-License-Identifier: BSD-3-Clause
"""Policies, usage, quotas and the audit trail on the page, with the real services behind it."""

from __future__ import annotations

import pytest

from xos.volife.pages.usage import DAY, per_day
from xos.vom.api import Usage
from xos.vom.xati import AccountingAsync, VOPSAsync

from .conftest import Browser, World

RULE = """@id("no-giants")
forbid (principal, action == Action::"runJob", resource) when { context.memory > 1073741824 };
"""


@pytest.fixture
async def admin(world: World) -> Browser:
    """The browser of an administrator of the VO, who looks at a form for a new policy."""
    await world.user("root1", "VOAdmin")
    browser = await world.signed_in("root1")
    await browser.get("/vo/demo/policies-new")
    return browser


async def _put(admin: Browser, name: str, text: str, expected: int = 0, path: str = "/vo/demo/policies-new") -> str:
    answer = await admin.post(path, action="put", policy=name, text=text, expected=str(expected), note="because")
    return answer.words


async def test_the_policies_in_effect_are_listed_with_their_rules(admin: Browser) -> None:
    words = (await admin.get("/vo/demo/policies")).words
    for name in ("members", "administrators", "quotas", "members/may-use", "built in"):
        assert name in words


async def test_a_policy_put_into_effect_denies_by_name(admin: Browser, world: World) -> None:
    assert "Policy giants is in effect, version 1." in await _put(admin, "giants", RULE)
    await world.user("bob")
    question = {"action": "explain", "user": "bob", "node": "node1"}
    await admin.get("/vo/demo/policies")
    assert "No: bob on node1: denied by rule giants/no-giants" in (
        await admin.post("/vo/demo/policies", None, memory="2048", **question)
    ).words.replace(" :", ":")
    assert "Yes" in (await admin.post("/vo/demo/policies", None, memory="512", **question)).words


async def test_a_wrong_draft_is_refused_with_line_and_column_and_nothing_is_lost(admin: Browser, world: World) -> None:
    draft = 'permit (principal, action == Action::"fly", resource);'
    answer = await admin.post("/vo/demo/policies-new", action="put", policy="wrong", text=draft, expected="0", note="")
    assert answer.status == 400
    assert "Line 1, column" in answer.words
    assert "Action::&#34;fly&#34;" in answer.text, "the draft is still in the editor"
    assert "wrong" not in {policy.name for policy in await VOPSAsync(world.daemon.bus).policies("demo")}


async def test_checking_and_trying_a_draft_change_nothing(admin: Browser, world: World) -> None:
    for action, told in (("check", "The draft is valid."), ("try", "the draft would decide 0 otherwise")):
        answer = await admin.post(
            "/vo/demo/policies-new", action=action, policy="giants", text=RULE, expected="0", note=""
        )
        assert told in answer.words
        assert "no-giants" in answer.text
    assert "giants" not in {policy.name for policy in await VOPSAsync(world.daemon.bus).policies("demo")}


async def test_of_two_who_edit_at_once_the_second_is_told_and_keeps_their_text(admin: Browser) -> None:
    await _put(admin, "giants", RULE)
    path = "/vo/demo/policies/giants"
    await admin.get(path)
    assert "version 2" in await _put(admin, "giants", RULE + "// first", 1, path)
    answer = await admin.post(path, action="put", text=RULE + "// second", expected="1", note="")
    assert answer.status == 409
    assert "root1@demo" in answer.words
    assert "// second" in answer.text


async def test_a_policy_that_locks_its_author_out_is_refused(admin: Browser) -> None:
    text = '@id("nobody")\nforbid (principal, action == Action::"managePolicies", resource);'
    assert "vom.policy-locks-out" in await _put(admin, "closed", text)


async def test_what_is_taken_out_of_effect_stays_in_the_history(admin: Browser) -> None:
    await _put(admin, "giants", RULE)
    await admin.get("/vo/demo/policies/giants")
    answer = await admin.post("/vo/demo/policies/giants", action="remove", expected="1", note="enough")
    assert "no longer in effect" in answer.words
    words = (await admin.get("/vo/demo/policies/giants/history")).words
    for told in ("Version 2", "taken out of effect", "Version 1", "because"):
        assert told in words


async def test_members_read_policies_and_cannot_change_them(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    answer = await browser.get("/vo/demo/policies/members")
    assert "may-use" in answer.words
    assert "<textarea" not in answer.text
    answer = await browser.post("/vo/demo/policies/members", action="put", text=RULE, expected="0", note="")
    assert answer.status == 403


async def test_usage_of_nothing_says_so_and_quotas_are_set_and_conflicts_told(admin: Browser, world: World) -> None:
    assert "Nothing was used in this time" in (await admin.get("/vo/demo/usage?days=7&by=group")).words
    quota = {"by": "user", "subject": "*", "period": "month", "cpu_hours": "2.5", "jobs": "", "version": "0"}
    assert "The quota of * is set." in (await admin.post("/vo/demo/usage", None, **quota)).words
    found = await AccountingAsync(world.daemon.bus).quotas("demo")
    assert (found[0].quota.cpu_seconds, found[0].quota.units) == (9000.0, None)
    answer = await admin.post("/vo/demo/usage", None, **{**quota, "cpu_hours": "3"})
    assert answer.status == 409


@pytest.mark.parametrize("query", ["days=x&by=x", "days=" + "9" * 400, "by=vo", "days[]=1"])
async def test_a_question_that_makes_no_sense_is_answered_by_the_usual_page(admin: Browser, query: str) -> None:
    assert (await admin.get(f"/vo/demo/usage?{query}")).status == 200


@pytest.mark.parametrize("query", ["before=x", "before=-1", "before=" + "9" * 400, "who=%00", "act='--"])
async def test_a_trail_that_is_asked_for_wrongly_is_answered_or_refused_in_words(admin: Browser, query: str) -> None:
    assert (await admin.get(f"/vo/demo/audit?{query}")).status in (200, 400)


async def test_what_was_done_on_the_page_stands_in_the_trail_under_who_did_it(admin: Browser) -> None:
    await _put(admin, "giants", RULE)
    words = (await admin.get("/vo/demo/audit?target=giants")).words
    assert "policy-put" in words
    assert "root1@demo" in words
    assert "Nothing found" in (await admin.get("/vo/demo/audit?target=nothing")).words


def test_a_day_without_jobs_has_its_place_in_the_chart() -> None:
    lines = [Usage("demo", "demo", "1970-01-03", units=4)]
    assert per_day(lines, DAY, 3 * DAY) == [("02 Jan", 0.0), ("03 Jan", 4.0), ("04 Jan", 0.0)]


def test_many_days_are_drawn_as_weeks_and_nothing_is_lost() -> None:
    lines = [Usage("demo", "demo", f"1970-03-{day:02}", units=1) for day in range(1, 31)]
    points = per_day(lines, 0.0, 99 * DAY)
    assert len(points) == 15
    assert sum(value for _, value in points) == 30
