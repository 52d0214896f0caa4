# SPDX-License-Identifier: BSD-3-Clause
"""How people become members: they ask, an administrator decides; or they are invited."""

from __future__ import annotations

from aiohttp import web

from xos.volife.errors import BadField, NotHere
from xos.volife.visit import Page, Visit
from xos.vom.api import RequestState
from xos.vom.xati import RegistrationAsync

ON_A_PAGE = 100
STATES = ("pending", "approved", "refused", "expired")


def _registration(visit: Visit) -> RegistrationAsync:
    """As who is signed in; else as nobody."""
    if "Registration" not in visit.site.offers:
        raise NotHere(service="Registration")
    return RegistrationAsync(visit.site.host.bus if visit.session.person is None else visit.grid)


async def form(visit: Visit) -> web.StreamResponse:
    """Ask to join."""
    return visit.show("join.html", vos=await _registration(visit).open_vos(), asked_vo=visit.query("vo"))


async def ask(visit: Visit) -> web.StreamResponse:
    """The request is kept, and waits for a decision."""
    fields = visit.fields
    password = ""
    if visit.session.person is None:
        password = fields.secret("password")
        if password != fields["again"]:
            raise BadField(field="Password again", detail="it is not the same")
    visit.site.limits.ask(visit.request.remote or "")
    request = await _registration(visit).ask(
        fields.line("vo"),
        fields.line("user"),
        password,
        fields.line("full_name", needed=False),
        fields.line("email", needed=False),
        fields.line("reason", needed=False),
    )
    return visit.go(f"/join/{request.id}")


async def status(visit: Visit) -> web.StreamResponse:
    """What became of a request; the address is the person's own."""
    return visit.show("join_status.html", request=await _registration(visit).status(visit.part("request")))


async def invited(visit: Visit) -> web.StreamResponse:
    """Choose a password by an invitation."""
    return visit.show("invitation.html", asked={name: visit.query(name) for name in ("vo", "user", "code")})


async def accept(visit: Visit) -> web.StreamResponse:
    """The password is chosen."""
    fields = visit.fields
    password = fields.secret("password")
    if password != fields["again"]:
        raise BadField(field="Password again", detail="it is not the same")
    visit.site.limits.guess(visit.request.remote or "")
    vo, user = fields.line("vo"), fields.line("user")
    await RegistrationAsync(visit.site.host.bus).accept(vo, user, fields.secret("code"), password)
    visit.site.limits.guessed_right(visit.request.remote or "")
    visit.tell("Your password is set. Sign in with it.")
    return visit.go("/sign-in")


async def requests(visit: Visit) -> web.StreamResponse:
    """The requests of a VO."""
    state = visit.query("state") if visit.query("state") in STATES else "pending"
    after = visit.query("after")
    found = await _registration(visit).list_requests(visit.vo, RequestState(state), after, ON_A_PAGE)
    return visit.show(
        "requests.html", requests=found, state=state, states=STATES, after=after, more=len(found) == ON_A_PAGE
    )


async def decide(visit: Visit) -> web.StreamResponse:
    """Approve a request, or refuse it."""
    fields, registration = visit.fields, _registration(visit)
    request = fields.line("request")
    if fields.choice("action", ("approve", "refuse")) == "approve":
        group = fields.line("group", needed=False) or "users"
        user = await registration.approve(visit.vo, request, group, fields.words("groups"), fields.words("roles"))
        visit.tell("{user} is a member now.", user=user.name)
    else:
        refused = await registration.refuse(visit.vo, request, fields.line("answer", needed=False))
        visit.tell("The request of {user} is refused.", user=refused.name)
    return visit.go(visit.request.path)


PAGES = (
    Page(path="/join", get=form, post=ask, signed_in=False),
    Page(path="/join/{request}", get=status, signed_in=False),
    Page(path="/invitation", get=invited, post=accept, signed_in=False),
    Page(path="/vo/{vo}/requests", get=requests, post=decide),
)
