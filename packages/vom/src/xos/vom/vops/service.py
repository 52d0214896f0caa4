# SPDX-License-Identifier: BSD-3-Clause
"""VOPS as a service: who may change policies, and what follows from them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from xos.common.errors import CertificateError, PolicyError, PolicyInvalid
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.policy import (
    Action,
    AdministrationContext,
    Decision,
    JobContext,
    NodeAttributes,
    PolicySet,
    Request,
    Time,
    VoAttributes,
    schema_text,
)
from xos.dixi.hosting import Hosted
from xos.vom.api import (
    VOPS,
    Denial,
    DryRun,
    JobAnswer,
    JobQuestion,
    PastRequest,
    Policy,
    PolicyCheck,
    Problem,
    Ruling,
    Verdict,
)
from xos.vom.callers import authorise
from xos.vom.core import VomCore
from xos.vom.errors import (
    BadRequest,
    CertificateRefused,
    PolicyConflict,
    PolicyForbids,
    PolicyLocksOut,
    TooManyPolicies,
    UnknownPolicy,
)
from xos.vom.policy import ADMIN_ROLE, Act
from xos.vom.records.trail import Note, acting
from xos.vom.sharing import VomSettings, release, share, to_the_end
from xos.vom.vops import documents, information, past
from xos.vom.vops.sets import InEffect, Sets
from xos.vom.vops.signer import Signer

MOST_NODES = 1000
"""In one question."""
_PAUSE_AFTER = 16
"""Decisions before other calls have their turn."""
MOST_LISTED = 1000
MOST_TRIED = 20_000
LONGEST_NOTE = 500

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.VOPS.settings]``."""

    ruling_seconds: Annotated[float, Meta(ge=10, le=3600)] = 600.0
    """How long a ruling is good: within that time the node must have accepted the unit."""
    keep_days: Annotated[float, Meta(gt=0)] = 30.0
    """How long past requests are kept to try drafts on."""


class VopsService(Hosted[Settings], VOPS):
    """VOPS over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)
        self.sets = Sets(self.core)
        self.past = past.Past(self.core, self.settings.keep_days)
        self._signer = Signer(self.core)
        self._memory = information.Memory(self.core)
        self.host.spawn(self.past.run(), name="requests")

    async def stop(self) -> None:
        """Write what waits, and leave the core."""
        await self.past.flush()
        await release(self.core)

    # --- administration

    async def policies(self, vo: str) -> list[Policy]:
        """See `VOPS.policies`. Raises `Forbidden`, `UnknownVO`."""
        await authorise(self.core, Act.SEE_POLICIES, vo)
        now = await self.sets.of(vo)
        return [
            msgspec.structs.replace(policy, rules=documents.rules_of(now.rules, name))
            for name, policy in sorted(now.policies.items())
            if not policy.removed
        ]

    async def history(self, vo: str, name: str = "", before: float = 0.0, limit: int = 100) -> list[Policy]:
        """See `VOPS.history`. Raises `Forbidden`, `BadName`, `BadRequest`."""
        await authorise(self.core, Act.SEE_POLICIES, vo)
        if name:
            documents.check_document_name(name)
        most = _bounded(limit, MOST_LISTED)
        return await self.core.store.read(lambda c: documents.history(c, vo, name, before, most))

    async def check_policy(self, vo: str, name: str, text: str) -> PolicyCheck:
        """See `VOPS.check_policy`. Raises `Forbidden`, `BadName`, `UnknownVO`."""
        await authorise(self.core, Act.SEE_POLICIES, vo)
        try:
            draft = await self._draft(vo, documents.check_document_name(name), text)
        except PolicyInvalid as error:
            data = error.data
            problem = Problem(_number(data["line"]), _number(data["column"]), str(data["detail"]), error.next_step)
            return PolicyCheck((problem,))
        except PolicyError as error:
            return PolicyCheck((Problem(1, 1, error.message, error.next_step),))
        return PolicyCheck((), documents.rules_of(draft, name))

    async def put_policy(self, vo: str, name: str, text: str, expected: int, note: str = "") -> Policy:
        """See `VOPS.put_policy`."""
        return await self._change(vo, name, text, expected, note, removed=False)

    async def remove_policy(self, vo: str, name: str, expected: int, note: str = "") -> Policy:
        """See `VOPS.remove_policy`."""
        return await self._change(vo, name, "", expected, note, removed=True)

    async def _change(self, vo: str, name: str, text: str, expected: int, note: str, *, removed: bool) -> Policy:
        caller = await authorise(self.core, Act.CHANGE_POLICIES, vo)
        documents.check_document_name(name)
        if len(note) > LONGEST_NOTE or not note.isprintable():
            raise BadRequest(what="note", detail=f"one line of at most {LONGEST_NOTE} characters")
        now = self.core.now()
        wanted = Policy(vo, name, text, expected + 1, now, str(caller), note, removed)
        act = "policy-removed" if removed else "policy-put"
        noted = acting(now, act, vo=vo, target=name, version=wanted.version, note=note)
        return await to_the_end(self.host, self._put(caller, wanted, noted), name="policy")

    async def _put(self, caller: Identity, wanted: Policy, noted: Note) -> Policy:
        vo, name = wanted.vo, wanted.name
        async with self.sets.lock(vo):
            before = await self.sets.load(vo)
            there = before.policies.get(name)
            if there is not None and _same_change(there, wanted):
                return there
            _check_version(there, wanted)
            self._may_manage(before.rules, caller, vo)
            after = {**before.policies, name: wanted}
            if sum(not policy.removed for policy in after.values()) > documents.MOST_DOCUMENTS:
                raise TooManyPolicies(vo=vo, count=documents.MOST_DOCUMENTS)
            rules = await asyncio.to_thread(PolicySet.parse, documents.texts(after))
            await self._check_lock_out(rules, caller, vo)

            def write(connection: sa.Connection) -> None:
                documents.insert(connection, wanted)
                noted(connection)

            await self.core.store.write(write)
            self.sets.put(vo, InEffect(after, rules))
        log.info("policy-changed", vo=vo, policy=name, version=wanted.version, removed=wanted.removed, by=str(caller))
        return msgspec.structs.replace(wanted, rules=documents.rules_of(rules, name))

    def _may_manage(self, rules: PolicySet, caller: Identity, vo: str) -> None:
        """Raise `PolicyForbids` unless the VO's own rules let *caller* change them; the core machine always may."""
        if caller.kind is Kind.USER:
            decision = self._decide_management(rules, caller, vo)
            if not decision.allowed:
                raise PolicyForbids(who=str(caller), vo=vo, reason=decision.explain())

    def _decide_management(self, rules: PolicySet, who: Identity, vo: str) -> Decision:
        context = AdministrationContext(time=Time.at(self.core.now()))
        return rules.decide(Request(who, Action.MANAGE_POLICIES, VoAttributes(vo), context))

    async def _check_lock_out(self, rules: PolicySet, caller: Identity, vo: str) -> None:
        """Raise `PolicyLocksOut` when *caller* (or, if that is the core machine, no administrator) could manage on."""
        if caller.kind is Kind.USER:
            judged = [caller]
        else:
            judged = await self.core.store.read(lambda c: information.administrators(c, vo, ADMIN_ROLE))
        decisions = [self._decide_management(rules, who, vo) for who in judged]
        if decisions and not any(decision.allowed for decision in decisions):
            who = str(judged[0]) if len(judged) == 1 else f"none of {len(judged)} administrators"
            raise PolicyLocksOut(vo=vo, who=who, reason=decisions[0].explain())

    async def _draft(self, vo: str, name: str, text: str) -> PolicySet:
        """The VO's rules with *text* in place of the document *name*; empty: without it."""
        now = await self.sets.of(vo)
        draft = {**now.policies, name: Policy(vo, name, text, 0, removed=not text)}
        return await asyncio.to_thread(PolicySet.parse, documents.texts(draft))

    async def dry_run(self, vo: str, name: str, text: str, days: float = 30.0, limit: int = 10000) -> DryRun:
        """See `VOPS.dry_run`. Raises `PolicyInvalid`, `Forbidden`, `BadName`, `UnknownVO`."""
        await authorise(self.core, Act.CHANGE_POLICIES, vo)
        draft = await self._draft(vo, documents.check_document_name(name), text)
        await self.past.flush()
        since, most = self.core.now() - days * 86400, _bounded(limit, MOST_TRIED)
        requests = await self.core.store.read(lambda c: past.read(c, vo, 0, most, since))
        return await asyncio.to_thread(past.try_on, draft, requests)

    async def requests(self, vo: str, before: int = 0, limit: int = 100) -> list[PastRequest]:
        """See `VOPS.requests`. Raises `Forbidden`, `BadRequest`."""
        await authorise(self.core, Act.CHANGE_POLICIES, vo)
        await self.past.flush()
        most = _bounded(limit, MOST_LISTED)
        return [told for told, _ in await self.core.store.read(lambda c: past.read(c, vo, before, most))]

    async def schema(self) -> str:
        """See `VOPS.schema`."""
        return schema_text()

    # --- decisions

    async def explain(self, vo: str, user: str, node: NodeAttributes, job: JobContext) -> Verdict:
        """See `VOPS.explain`. Raises `Forbidden`, `UnknownUser`, `Suspended`, `UnknownVO`."""
        await authorise(self.core, Act.EXPLAIN, vo, user)
        who = await information.member_as(self.core, vo, user)
        now = self.core.now()
        context = information.job_now(self.core, who, job, now)
        decision = (await self.sets.of(vo)).rules.decide(Request(who, Action.RUN_JOB, node, context))
        return _verdict(decision, context.time, context)

    async def decide_job(self, question: JobQuestion) -> JobAnswer:
        """See `VOPS.decide_job`. Raises `CertificateRefused`, `UnknownUser`, `Suspended`, `BadRequest`."""
        if not 0 < len(question.nodes) <= MOST_NODES or question.action not in (Action.RUN_JOB, Action.RESERVE):
            raise BadRequest(what="question", detail=f"a job or reservation on 1 to {MOST_NODES} nodes")
        now = self.core.now()
        known = await self._known(question.certificate, question.nodes, now)
        who = known.who
        rules = (await self.sets.of(who.vo)).rules
        job = information.job_now(self.core, who, question.job, now)
        allowed: list[str] = []
        reasons: dict[str, None] = {}
        denied: list[Denial] = []
        for i, node in enumerate(known.nodes, 1):
            if i % _PAUSE_AFTER == 0:
                await asyncio.sleep(0)
            if node.name in known.closed:
                denied.append(Denial(node.name, known.closed[node.name]))
                continue
            decision = rules.decide(Request(who, question.action, node, job))
            self.past.note(past.Asked(who, question.action, node, job), decision, now)
            if decision.allowed:
                allowed.append(node.name)
                reasons.update(dict.fromkeys(decision.reasons))
            else:
                denied.append(Denial(node.name, decision.explain()))
        ruling = Ruling(
            str(who),
            who.vo,
            question.action,
            question.digest,
            job,
            tuple(allowed),
            tuple(reasons),
            int(now),
            int(now + self.settings.ruling_seconds),
        )
        return JobAnswer(await self._signer.sign(ruling, now), ruling.nodes, tuple(denied))

    async def _known(self, certificate: bytes, nodes: tuple[NodeAttributes, ...], now: float) -> information.Known:
        """Holder and nodes, as the VO knows them now. Raises `CertificateRefused`, `UnknownUser`, `Suspended`."""
        try:
            shown = self.host.trust.identify(certificate, kind=Kind.USER, at=now)
        except CertificateError as error:
            raise CertificateRefused(detail=error.message) from error
        return await information.look_up(self.core, self._memory, shown, nodes)


def _verdict(decision: Decision, time: Time, job: JobContext | None = None) -> Verdict:
    used = job.used if job is not None else JobContext().used
    return Verdict(decision.allowed, decision.explain(), decision.reasons, decision.errors, used, time)


def _same_change(there: Policy, wanted: Policy) -> bool:
    """Whether *wanted* is what was written last: the call is a repetition."""
    return (there.version, there.text, there.removed, there.changed_by) == (
        wanted.version,
        wanted.text,
        wanted.removed,
        wanted.changed_by,
    )


def _check_version(there: Policy | None, wanted: Policy) -> None:
    """Raise `UnknownPolicy` or `PolicyConflict` unless *wanted* follows *there*."""
    expected, version = wanted.version - 1, there.version if there is not None else 0
    if wanted.removed and (there is None or there.removed):
        raise UnknownPolicy(vo=wanted.vo, name=wanted.name)
    if version != expected:
        by = there.changed_by if there is not None else "nobody"
        raise PolicyConflict(vo=wanted.vo, name=wanted.name, version=version, by=by, expected=expected)


def _bounded(limit: int, most: int) -> int:
    if limit < 1:
        raise BadRequest(what="limit", detail="at least 1")
    return min(limit, most)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
