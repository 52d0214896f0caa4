# SPDX-License-Identifier: BSD-3-Clause
"""The policy engine: decisions, their reasons, mistakes found by line and column, hostile texts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.common.errors import PolicyError, PolicyInvalid, PolicyTooLarge
from xos.common.identity import Identity, Kind
from xos.common.policy import (
    Action,
    AdministrationContext,
    JobContext,
    LoginContext,
    NodeAttributes,
    PolicySet,
    Request,
    Time,
    Used,
    VoAttributes,
    schema_text,
)
from xos.common.policy.syntax import MAX_BYTES

ALICE = Identity(Kind.USER, "alice", vo="demo", group="physics.theory", groups=("users",), roles=("VOAdmin",))
NODE = NodeAttributes("node1", "x86_64", "LINUX", "Rennes", "resource", 16, 64 << 30)
MEMBERS = '@id("members") permit(principal in VO::"demo", action in Action::"use", resource);\n'


def job(who: Identity = ALICE, node: NodeAttributes = NODE, **context: object) -> Request:
    return Request(who, Action.RUN_JOB, node, msgspec.structs.replace(JobContext(), **context))


def parse(text: str) -> PolicySet:
    return PolicySet.parse({"test": text})


def test_nothing_is_allowed_by_no_rule() -> None:
    decision = parse("").decide(job())
    assert not decision.allowed
    assert decision.explain() == "denied: no rule permits it"


def test_the_rules_that_decide_are_told_by_document_and_id() -> None:
    policies = PolicySet.parse(
        {"base": MEMBERS, "night": '// quiet\n@id("day-only")\nforbid(principal, action, resource == Node::"node1");'}
    )
    decision = policies.decide(job())
    assert decision.reasons == ("night/day-only",)
    assert decision.explain() == "denied by rule night/day-only"
    allowed = policies.decide(job(node=NodeAttributes("node2")))
    assert allowed.allowed
    assert allowed.explain() == "allowed by rule base/members"


def test_a_rule_without_an_id_is_told_by_its_line() -> None:
    policies = parse("\n\n" + MEMBERS + "\npermit(principal, action, resource);")
    assert [rule.name for rule in policies.rules] == ["test/members", "test/line 5"]
    assert [rule.line for rule in policies.rules] == [3, 5]


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ('principal in Group::"demo/physics"', True),
        ('principal in Group::"demo/chemistry"', False),
        ('principal in Role::"demo/VOAdmin"', True),
        ('principal.groups.contains("users")', True),
        ('resource.site == "Rennes" && resource.cores >= 16', True),
        ("context.units * context.cores <= 8", True),
        ("context.units > 4", False),
        ("context.time.hour < 8 || context.time.weekday > 5", False),
        ("context.used.cpuSeconds < 3600", True),
        ("context.usedByVo.jobs == 7", True),
        ("context.quotaExceeded", False),
    ],
)
def test_rules_see_user_resource_job_time_and_usage(condition: str, allowed: bool) -> None:
    monday_noon = Time.at(1_700_481_600 - 1_700_481_600 % 86400 + 12 * 3600)
    request = job(units=2, cores=4, time=monday_noon, used=Used(1, 1, 1800.5, 2.0), used_by_vo=Used(7))
    decision = parse(f'permit(principal, action == Action::"runJob", resource) when {{ {condition} }};').decide(request)
    assert decision.allowed is allowed
    assert decision.errors == ()


def test_login_and_administration_have_contexts_of_their_own() -> None:
    policies = parse(
        'permit(principal, action == Action::"login", resource) when { context.service == "sshd" };'
        'permit(principal in Role::"demo/VOAdmin", action == Action::"managePolicies", resource == VO::"demo");'
    )
    assert policies.decide(Request(ALICE, Action.LOGIN, NODE, LoginContext(service="sshd"))).allowed
    assert not policies.decide(Request(ALICE, Action.LOGIN, NODE, LoginContext(service="login"))).allowed
    context = AdministrationContext()
    assert policies.decide(Request(ALICE, Action.MANAGE_POLICIES, VoAttributes("demo"), context)).allowed
    assert not policies.decide(Request(ALICE, Action.MANAGE_POLICIES, VoAttributes("other"), context)).allowed


def test_a_forbid_that_cannot_be_worked_out_forbids() -> None:
    text = MEMBERS + (
        '@id("big") forbid(principal, action == Action::"runJob", resource)'
        " when { context.memory * 9223372036854775807 > 0 };"
    )
    decision = parse(text).decide(job(memory=2))
    assert not decision.allowed
    assert decision.reasons == ("test/big",)
    assert "overflow" in decision.errors[0]


def test_numbers_beyond_cedar_are_held_at_its_borders() -> None:
    text = 'permit(principal, action == Action::"runJob", resource) when { context.memory == 9223372036854775807 };'
    assert parse(text).decide(job(memory=2**80)).allowed


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("permit(principal, action, resource)\n when { 1 == };", 2, 14, "unexpected token `}`"),
        ("permit(principal, action, resource);\n\n  perhaps(principal, action, resource);", 3, 3, "perhaps"),
        ("permit(principal,\n action, colour);", 2, 10, "invalid variable"),
        ("permit(principal, action, resource) when { foo(1) };", 1, 44, "`foo` is not a valid function"),
        ('permit(principal, action == Action::"fly", resource);', 1, 29, "unrecognized action"),
        ('permit(principal,\n action == Action::"login",\n resource) when {\n context.cores < 2 };', 4, 10, "cores"),
        ('permit(principal in Gruppe::"x", action, resource);', 1, 21, "Gruppe"),
        ("permit(principal, action, resource", 1, 27, "end of input"),
        ("permit(principal == ?principal, action, resource);", 1, 21, "templates"),
        ('@id("a b") permit(principal, action, resource);', 1, 5, "no rule's name"),
        ('@id("a") permit(principal, action, resource);' * 2, 1, 46, "twice"),
    ],
)
def test_a_mistake_is_told_with_line_and_column(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(PolicyInvalid, match=r"^test:") as caught:
        parse(text)
    assert says in caught.value.message
    assert (caught.value.data["line"], caught.value.data["column"]) == (line, column), caught.value.message
    assert caught.value.next_step


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 5000 + "true" + ")" * 5000,
        "[" * 5000 + "]" * 5000 + " == []",
        "{a:" * 5000 + "1" + "}" * 5000 + " == {}",
        "if true then true else " * 2000 + "true",
        "!" * 20000 + "true",
        "-" * 20000 + "1 == 1",
        "true" + " && true" * 7000,
        "1" + "+1" * 30000 + " == 1",
        "context" + ".a" * 30000 + " == 1",
    ],
)
def test_a_text_nested_too_deeply_is_refused_and_harms_nothing(condition: str) -> None:
    with pytest.raises(PolicyError):
        parse(f"permit(principal, action, resource) when {{ {condition} }};")


def test_a_document_too_large_is_refused() -> None:
    with pytest.raises(PolicyTooLarge):
        parse("// " + "x" * MAX_BYTES)
    with pytest.raises(PolicyTooLarge):
        PolicySet.parse({f"d{i}": "permit(principal, action, resource);" * 500 for i in range(5)})


@pytest.mark.parametrize("text", ["\0", "\ud800", "permit\0(principal, action, resource);", "\U0001f4a9;", '"'])
def test_texts_that_are_no_text_are_refused(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        parse(text)


_WORDS = """
permit forbid ( ) { } [ ] ; , principal action resource when unless context . == in has like if then else && || ! - 1
"x" " @id @id("a") User :: "alice@demo" // ?principal \\ é \0 \ud800 is < *
"""
_PIECES = st.sampled_from([*_WORDS.split(), "\n"])


@pytest.mark.fuzz
@settings(max_examples=400, deadline=None)
@given(st.lists(_PIECES, max_size=60).map(" ".join) | st.text(max_size=200))
def test_any_text_is_parsed_or_refused_with_a_place(text: str) -> None:
    try:
        parse(text).decide(job())
        line = 1
    except PolicyInvalid as error:
        line = int(str(error.data["line"]))
        assert error.message.startswith("test:")  # noqa: PT017 -- most texts raise nothing
    assert 1 <= line <= text.count("\n") + 1


_NAMES = st.text(min_size=1, max_size=30)


@pytest.mark.fuzz
@settings(max_examples=200, deadline=None)
@given(_NAMES, _NAMES, _NAMES, st.lists(_NAMES, max_size=4), _NAMES, st.integers(), st.floats(allow_nan=False))
def test_any_request_is_decided(
    name: str, vo: str, group: str, more: list[str], node: str, n: int, used: float
) -> None:
    who = Identity(Kind.USER, name, vo=vo, group=group, groups=tuple(more), roles=tuple(more))
    request = job(who, NodeAttributes(node), memory=n, cores=-n, used=Used(n, n, used, used), name=name)
    decision = parse("permit(principal, action, resource);").decide(request)
    assert decision.allowed or decision.errors


async def test_sets_are_used_by_many_threads_at_once() -> None:
    policies = parse(MEMBERS)
    decisions = await asyncio.gather(*(asyncio.to_thread(policies.decide, job()) for _ in range(200)))
    assert all(decision.allowed for decision in decisions)


def test_the_schema_is_told_as_it_is_used() -> None:
    assert "action runJob" in schema_text()
