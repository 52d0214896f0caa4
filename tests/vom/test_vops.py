# SPDX-License-Identifier: BSD-3-Clause
"""VOPS: policies are changed by those who may, one after another, and decide what users may do."""

from __future__ import annotations

import asyncio
import functools
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.common.certificate import Authority, make_csr, make_key
from xos.common.errors import CertificateExpired, PolicyInvalid, WrongKind, WrongPurpose
from xos.common.policy import Action, JobContext, NodeAttributes
from xos.common.signing import Signed, sign
from xos.common.tls import Credential, Trust
from xos.vom import rulings
from xos.vom.api import RULING_PURPOSE, VOPS_ROLE, By, JobAnswer, JobQuestion, Quota
from xos.vom.errors import (
    BadName,
    BadRequest,
    BadRuling,
    CertificateRefused,
    Forbidden,
    PolicyConflict,
    PolicyForbids,
    PolicyLocksOut,
    Suspended,
    TooManyPolicies,
    UnknownPolicy,
    UnknownVO,
)
from xos.vom.policy import ADMIN_ROLE
from xos.vom.vops import documents

from .conftest import CoreMachine, acting

NODE1, NODE2 = NodeAttributes("node1", cores=4), NodeAttributes("node2", cores=64)
DIGEST = b"\1" * 32
ONLY_BIG = '@id("big-only") forbid(principal, action == Action::"runJob", resource) when { resource.cores < 8 };'
NOBODY = '@id("nobody") forbid(principal, action, resource);'


async def ask(machine: CoreMachine, user: Credential, *nodes: NodeAttributes, **job: object) -> JobAnswer:
    context = msgspec.structs.replace(JobContext(), **job)
    with acting(machine.identity):
        return await machine.vops.decide_job(JobQuestion(user.certificate, DIGEST, context, nodes or (NODE1,)))


async def people(machine: CoreMachine) -> tuple[Credential, Credential]:
    await machine.add("boss", roles=(ADMIN_ROLE,))
    await machine.add("alice", groups=("physics",))
    return await machine.get("boss"), await machine.get("alice")


async def test_a_vo_without_policies_of_its_own_lets_its_members_run_jobs(either_machine: CoreMachine) -> None:
    machine = either_machine
    _, alice = await people(machine)
    answer = await ask(machine, alice, NODE1, NODE2)
    ruling = rulings.verify(answer.ruling, machine.trust, at=machine.core.now())
    assert (ruling.subject, ruling.vo, ruling.action, ruling.digest) == ("alice@demo", "demo", Action.RUN_JOB, DIGEST)
    assert ruling.nodes == answer.nodes == ("node1", "node2")
    assert ruling.rules == ("members/may-use",)
    assert answer.denied == ()
    with acting(alice.identity):
        shown = await machine.vops.policies("demo")
    assert [(p.name, p.version, p.rules) for p in shown] == [
        ("administrators", 0, ("administrators/may-manage",)),
        ("members", 0, ("members/may-use",)),
        ("quotas", 0, ("quotas/used-up",)),
    ]


async def test_a_policy_takes_effect_when_it_has_been_put_and_says_which_rule_denies(
    either_machine: CoreMachine,
) -> None:
    machine = either_machine
    boss, alice = await people(machine)
    with acting(boss.identity):
        put = await machine.vops.put_policy("demo", "big", ONLY_BIG, 0, "small nodes are for others")
    assert (put.version, put.changed_by, put.rules) == (1, "boss@demo", ("big/big-only",))
    answer = await ask(machine, alice, NODE1, NODE2)
    assert answer.nodes == ("node2",)
    assert [(d.node, d.reason) for d in answer.denied] == [("node1", "denied by rule big/big-only")]
    with acting(boss.identity):
        await machine.vops.remove_policy("demo", "big", 1)
        assert [(p.version, p.removed) for p in await machine.vops.history("demo", "big")] == [(2, True), (1, False)]
        trail = await machine.audit.trail("demo", target="big")
    assert [(e.act, e.who, e.origin) for e in trail] == [
        ("policy-removed", "boss@demo", "192.0.2.1"),
        ("policy-put", "boss@demo", "192.0.2.1"),
    ]
    assert (await ask(machine, alice, NODE1)).nodes == ("node1",)


async def test_what_was_put_is_there_after_a_restart(either_machine: CoreMachine) -> None:
    machine = either_machine
    boss, alice = await people(machine)
    with acting(boss.identity):
        await machine.vops.put_policy("demo", "big", ONLY_BIG, 0)
    await machine.stop()
    await machine.start()
    assert (await ask(machine, alice, NODE1)).nodes == ()


async def test_a_policy_that_is_not_right_is_told_by_place_and_changes_nothing(machine: CoreMachine) -> None:
    boss, alice = await people(machine)
    bad = 'permit(principal, action == Action::"runJob", resource)\n when { context.colour == 1 };'
    with acting(boss.identity):
        with pytest.raises(PolicyInvalid, match=r"^bad:2:\d+: .*colour"):
            await machine.vops.put_policy("demo", "bad", bad, 0)
        check = await machine.vops.check_policy("demo", "bad", bad)
        assert [(p.line, "colour" in p.detail) for p in check.problems] == [(2, True)]
        assert (await machine.vops.check_policy("demo", "good", ONLY_BIG)).rules == ("good/big-only",)
        with pytest.raises(BadName):
            await machine.vops.put_policy("demo", "../x'; DROP TABLE policies;--", ONLY_BIG, 0)
        with pytest.raises(BadRequest):
            await machine.vops.put_policy("demo", "x", ONLY_BIG, 0, "two\nlines")
    assert (await ask(machine, alice)).nodes == ("node1",)


@pytest.mark.parametrize("text", [NOBODY, 'forbid(principal, action == Action::"managePolicies", resource);'])
async def test_a_policy_that_locks_its_author_out_is_refused(machine: CoreMachine, text: str) -> None:
    boss, _ = await people(machine)
    with acting(boss.identity):
        with pytest.raises(PolicyLocksOut, match="boss@demo could not"):
            await machine.vops.put_policy("demo", "none", text, 0)
        with pytest.raises(PolicyLocksOut, match="no rule permits it"):
            await machine.vops.remove_policy("demo", "administrators", 0)
    with acting(machine.identity), pytest.raises(PolicyLocksOut):
        await machine.vops.put_policy("demo", "none", text, 0)


async def test_a_vo_may_take_policies_from_some_administrators_and_the_core_can_give_them_back(
    machine: CoreMachine,
) -> None:
    boss, _ = await people(machine)
    await machine.add("chief", roles=(ADMIN_ROLE,))
    chief = await machine.get("chief")
    rule = 'forbid(principal, action == Action::"managePolicies", resource) unless { principal.name == "chief" };'
    with acting(chief.identity):
        await machine.vops.put_policy("demo", "chief", rule, 0)
    with acting(boss.identity), pytest.raises(PolicyForbids, match="denied by rule chief/line 1"):
        await machine.vops.remove_policy("demo", "chief", 1)
    with acting(machine.identity):
        await machine.vops.remove_policy("demo", "chief", 1)
    with acting(boss.identity):
        await machine.vops.put_policy("demo", "chief", rule.replace("chief", "boss"), 2)


async def test_of_two_who_change_one_policy_at_once_one_is_told(either_machine: CoreMachine) -> None:
    machine = either_machine
    boss, _ = await people(machine)
    await machine.add("chief", roles=(ADMIN_ROLE,))
    chief = await machine.get("chief")

    async def put(who: Credential, text: str) -> object:
        with acting(who.identity):
            return await machine.vops.put_policy("demo", "p", text, 0)

    done = await asyncio.gather(put(boss, ONLY_BIG), put(chief, "// mine\n"), return_exceptions=True)
    assert sum(isinstance(result, PolicyConflict) for result in done) == 1
    again = await asyncio.gather(put(boss, ONLY_BIG), put(chief, "// mine\n"), return_exceptions=True)
    assert [type(a) for a in again] == [type(a) for a in done], "a repetition is told what it was told before"


async def test_members_read_policies_and_change_none(machine: CoreMachine) -> None:
    _, alice = await people(machine)
    with acting(alice.identity):
        await machine.vops.policies("demo")
        for call in (
            machine.vops.put_policy("demo", "x", ONLY_BIG, 0),
            machine.vops.dry_run("demo", "x", ONLY_BIG),
            machine.vops.requests("demo"),
            machine.vops.explain("demo", "boss", NODE1, JobContext()),
            machine.vops.policies("other"),
        ):
            with pytest.raises(Forbidden):
                await call
    with acting(machine.identity):
        with pytest.raises(UnknownVO):
            await machine.vops.policies("nowhere")
        with pytest.raises(UnknownPolicy):
            await machine.vops.remove_policy("demo", "nothing", 0)


async def test_there_is_an_end_to_documents(machine: CoreMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_DOCUMENTS", 4)
    boss, _ = await people(machine)
    with acting(boss.identity):
        await machine.vops.put_policy("demo", "a", "", 0)
        with pytest.raises(TooManyPolicies):
            await machine.vops.put_policy("demo", "b", "", 0)


async def test_a_used_up_quota_denies_jobs_by_a_rule_that_the_vo_may_replace(machine: CoreMachine) -> None:
    boss, alice = await people(machine)
    with acting(boss.identity):
        await machine.accounting.set_quota(Quota("demo", By.USER, "*", units=0))
    (denial,) = (await ask(machine, alice)).denied
    assert denial.reason == "denied by rule quotas/used-up"
    with acting(boss.identity):
        await machine.vops.remove_policy("demo", "quotas", 0)
    assert (await ask(machine, alice)).denied == ()


async def test_a_draft_is_tried_on_what_was_asked_before(either_machine: CoreMachine) -> None:
    machine = either_machine
    boss, alice = await people(machine)
    await ask(machine, alice, NODE1, NODE2)
    await ask(machine, boss, NODE1)
    with acting(boss.identity):
        run = await machine.vops.dry_run("demo", "draft", ONLY_BIG)
        assert (run.tried, run.allowed, run.changed_in_all) == (3, 1, 2)
        assert [(c.request.subject, c.request.node, c.allowed, c.reason) for c in run.changed] == [
            ("boss@demo", "node1", False, "denied by rule draft/big-only"),
            ("alice@demo", "node1", False, "denied by rule draft/big-only"),
        ]
        assert (await machine.vops.dry_run("demo", "members", "")).allowed == 0
        assert (await machine.vops.dry_run("demo", "draft", ONLY_BIG, days=0.0)).tried == 0
        newest, *_ = await machine.vops.requests("demo")
        assert (newest.subject, newest.node, newest.allowed) == ("boss@demo", "node1", True)
        assert len(await machine.vops.requests("demo", before=newest.number)) == 2
        with pytest.raises(PolicyInvalid):
            await machine.vops.dry_run("demo", "draft", "no policy")


async def test_what_counts_is_what_the_user_is_now(machine: CoreMachine) -> None:
    boss, alice = await people(machine)
    rule = '@id("physicists") forbid(principal in Group::"demo/physics", action, resource);'
    with acting(boss.identity):
        await machine.vops.put_policy("demo", "g", rule, 0)
        verdict = await machine.vops.explain("demo", "alice", NODE1, JobContext())
    assert (verdict.allowed, verdict.reason) == (False, "denied by rule g/physicists")
    assert (await ask(machine, alice)).denied[0].reason == "denied by rule g/physicists"
    assert (await ask(machine, boss)).denied == ()
    await machine.suspend("alice")
    with pytest.raises((Suspended, CertificateRefused)):
        await ask(machine, alice)


async def test_a_question_that_makes_no_sense_is_refused(machine: CoreMachine) -> None:
    _, alice = await people(machine)
    node = await machine.join("node9")
    with acting(machine.identity):
        for question in (
            JobQuestion(alice.certificate, DIGEST, JobContext(), ()),
            JobQuestion(alice.certificate, DIGEST, JobContext(), (NODE1,) * 2000),
            JobQuestion(alice.certificate, DIGEST, JobContext(), (NODE1,), Action.LOGIN),
        ):
            with pytest.raises(BadRequest):
                await machine.vops.decide_job(question)
        with pytest.raises(CertificateRefused):
            await machine.vops.decide_job(JobQuestion(node.certificate, DIGEST, JobContext(), (NODE1,)))


async def test_a_ruling_holds_for_its_time_and_from_vops_alone(machine: CoreMachine) -> None:
    _, alice = await people(machine)
    ruling, now = (await ask(machine, alice)).ruling, machine.core.now()
    rulings.verify(ruling, machine.trust, at=now + 590)
    with pytest.raises(BadRuling, match="good from"):
        rulings.verify(ruling, machine.trust, at=now + 700)
    with pytest.raises(CertificateExpired):
        rulings.verify(ruling, machine.trust, at=now + 4000)
    with pytest.raises(BadRuling, match="not VOPS"):
        rulings.verify(sign(ruling.payload, await machine.join("node9"), purpose=RULING_PURPOSE), machine.trust, at=now)
    with pytest.raises(WrongKind):
        rulings.verify(sign(ruling.payload, alice, purpose=RULING_PURPOSE), machine.trust, at=now)
    with pytest.raises(WrongPurpose):
        rulings.verify(msgspec.structs.replace(ruling, purpose="job"), machine.trust, at=now)
    forged = bytes([*ruling.payload[:-1], ruling.payload[-1] ^ 1])
    with pytest.raises(Exception, match="signature"):
        rulings.verify(msgspec.structs.replace(ruling, payload=forged), machine.trust, at=now)


async def test_the_signing_key_is_renewed_in_time(machine: CoreMachine, clock: object) -> None:
    _, alice = await people(machine)
    first = (await ask(machine, alice)).ruling
    clock(1900.0)  # type: ignore[operator]
    second = (await ask(machine, alice)).ruling
    assert first.certificate != second.certificate
    rulings.verify(second, machine.trust, at=machine.core.now())


def test_a_ruling_too_long_to_be_one_is_not_read() -> None:
    trust = Trust([Authority.create("demo").der])
    with pytest.raises(BadRuling, match="longer"):
        rulings.verify(Signed(b"x" * (rulings.LONGEST + 1), b"", b"", RULING_PURPOSE), trust, at=0.0)


@functools.cache
def _signer() -> tuple[Credential, Trust]:
    """VOPS itself, so that what it has signed is read."""
    authority, key = Authority.create("demo"), make_key()
    certificate = authority.issue_machine(make_csr(key, "vops"), "vops", [VOPS_ROLE], [], 3600)
    return Credential(certificate, key), Trust([authority.der])


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_no_ruling(payload: bytes) -> None:
    credential, trust = _signer()
    signed = sign(payload, credential, purpose=RULING_PURPOSE)
    with pytest.raises(BadRuling):
        rulings.verify(signed, trust, at=time.time())
