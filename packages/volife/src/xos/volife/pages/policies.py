# SPDX-License-Identifier: BSD-3-Clause
"""Policies: the documents in effect, an editor that checks and tries drafts, their history, past decisions."""

from __future__ import annotations

from aiohttp import web

from xos.common.policy.request import JobContext, NodeAttributes
from xos.volife.errors import NoSuchPage
from xos.volife.visit import Page, Visit
from xos.vom.api import DryRun, Policy, PolicyCheck, Verdict

ON_A_PAGE = 50
DAYS = 30.0
MIB = 1 << 20
EXAMPLE = """// Nobody of the group "students" runs jobs of more than 8 GiB, except at night.
@id("small-by-day")
forbid (principal in Group::"VO/students", action == Action::"runJob", resource)
when { context.memory > 8589934592 && context.time.hour >= 6 && context.time.hour < 22 };
"""


async def policies(visit: Visit) -> web.StreamResponse:
    """What is in effect, and a question that may be asked."""
    found = await visit.grid.vops.policies(visit.vo)
    return visit.show("policies.html", policies=found, verdict=await _asked(visit))


async def _asked(visit: Visit) -> Verdict | None:
    """The answer to "may this user run that job there?", if it was asked."""
    fields = visit.fields
    if fields["action"] != "explain" or visit.error is not None:
        return None
    node = NodeAttributes(fields.line("node"), cores=int(fields.number("cores", least=0, most=1e6, default=0)))
    job = JobContext(
        memory=int(fields.number("memory", least=0, most=1e9, default=0) * MIB),
        wall_time=fields.number("wall_time", least=0, most=1e9, default=0) * 60,
    )
    return await visit.grid.vops.explain(visit.vo, fields.line("user"), node, job)


async def explain(visit: Visit) -> web.StreamResponse:
    """Ask, and show the answer above the list."""
    visit.fields.choice("action", ("explain",))
    return await policies(visit)


async def _present(visit: Visit, name: str) -> Policy | None:
    return next((policy for policy in await visit.grid.vops.policies(visit.vo) if policy.name == name), None)


async def edit(visit: Visit) -> web.StreamResponse:
    """The editor, for a document that is there."""
    present = await _present(visit, visit.part("policy"))
    if present is None:
        raise NoSuchPage(path=visit.request.path)
    return await _editor(visit, present)


async def new(visit: Visit) -> web.StreamResponse:
    """The editor, for one that is not."""
    return await _editor(visit, None)


async def _editor(
    visit: Visit, present: Policy | None, check: PolicyCheck | None = None, tried: DryRun | None = None
) -> web.StreamResponse:
    if visit.error is not None and check is None and visit.fields["text"]:
        check = await visit.grid.vops.check_policy(visit.vo, _name(visit), visit.fields["text"])
    example = EXAMPLE.replace("VO/", f"{visit.vo}/")
    return visit.show(
        "policy.html",
        present=present,
        text=visit.fields["text"] or (present.text if present else example),
        expected=visit.fields["expected"] or str(present.version if present else 0),
        check=check,
        tried=tried,
        days=DAYS,
    )


def _name(visit: Visit) -> str:
    return visit.request.match_info.get("policy") or visit.fields.line("policy")


async def save(visit: Visit) -> web.StreamResponse:
    """Check a draft, try it on past requests, put it into effect, or take the document out of it."""
    fields, vops, vo, name = visit.fields, visit.grid.vops, visit.vo, _name(visit)
    action = fields.choice("action", ("check", "try", "put", "remove"))
    expected, note = int(fields.number("expected", least=0, most=2**53)), fields.line("note", needed=False)
    if action == "remove":
        await vops.remove_policy(vo, name, expected, note)
        visit.tell("Policy {name} is no longer in effect. Its history stays.", name=name)
        return visit.go(f"/vo/{vo}/policies")
    text = fields.text("text")
    if action == "put":
        policy = await vops.put_policy(vo, name, text, expected, note)
        visit.tell("Policy {name} is in effect, version {version}.", name=name, version=policy.version)
        return visit.go(f"/vo/{vo}/policies/{name}")
    check = await vops.check_policy(vo, name, text)
    tried = await vops.dry_run(vo, name, text, DAYS) if action == "try" and not check.problems else None
    return await _editor(visit, await _present(visit, name), check, tried)


async def history(visit: Visit) -> web.StreamResponse:
    """All versions of a document."""
    name = visit.part("policy")
    return visit.show("policy_history.html", name=name, versions=await visit.grid.vops.history(visit.vo, name))


async def decisions(visit: Visit) -> web.StreamResponse:
    """Past requests, the newest first."""
    before = visit.number("before")
    found = await visit.grid.vops.requests(visit.vo, before, ON_A_PAGE)
    return visit.show("decisions.html", requests=found, before=before, more=len(found) == ON_A_PAGE)


PAGES = (
    Page(path="/vo/{vo}/policies", get=policies, post=explain),
    Page(path="/vo/{vo}/policies-new", get=new, post=save),
    Page(path="/vo/{vo}/policies-decisions", get=decisions),
    Page(path="/vo/{vo}/policies/{policy}", get=edit, post=save),
    Page(path="/vo/{vo}/policies/{policy}/history", get=history),
)
