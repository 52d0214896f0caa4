# SPDX-License-Identifier: BSD-3-Clause
"""Members and groups of a VO."""

from __future__ import annotations

from aiohttp import web

from xos.volife.errors import BadField
from xos.volife.visit import Page, Visit
from xos.vom.api import UserState

ON_A_PAGE = 100


async def members(visit: Visit) -> web.StreamResponse:
    """A page of the members."""
    users = await visit.grid.xvoms.list_users(visit.vo, visit.query("after"), ON_A_PAGE)
    return visit.show("members.html", users=users, more=len(users) == ON_A_PAGE, after=visit.query("after"))


async def add(visit: Visit) -> web.StreamResponse:
    """The form for a new member."""
    return visit.show("member_add.html")


async def added(visit: Visit) -> web.StreamResponse:
    """Add a member."""
    fields = visit.fields
    password = fields.secret("password")
    if password != fields["again"]:
        raise BadField(field="Password again", detail="it is not the same")
    user = await visit.grid.xvoms.add_user(
        visit.vo,
        fields.line("user"),
        password,
        fields.line("group", needed=False) or "users",
        fields.words("groups"),
        fields.words("roles"),
    )
    visit.tell("{user} is a member now.", user=user.name)
    return visit.go(f"/vo/{visit.vo}/members/{user.name}")


async def member(visit: Visit) -> web.StreamResponse:
    """One member."""
    return visit.show("member.html", user=await visit.grid.xvoms.user_info(visit.vo, visit.part("user")))


async def change(visit: Visit) -> web.StreamResponse:
    """Suspend a member, let them act again, or give them another password."""
    name, xvoms = visit.part("user"), visit.grid.xvoms
    match visit.fields.choice("action", ("suspend", "resume", "password")):
        case "suspend":
            await xvoms.set_user_state(visit.vo, name, UserState.SUSPENDED)
            visit.tell("{user} is suspended: their certificates are no longer honoured.", user=name)
        case "resume":
            await xvoms.set_user_state(visit.vo, name, UserState.ACTIVE)
            visit.tell("{user} may act again.", user=name)
        case _:
            await xvoms.set_password(visit.vo, name, visit.fields.secret("password"))
            visit.tell("{user} has a new password.", user=name)
    return visit.go(visit.request.path)


async def groups(visit: Visit) -> web.StreamResponse:
    """The groups of a VO."""
    return visit.show("groups.html", groups=await visit.grid.xvoms.list_groups(visit.vo))


PAGES = (
    Page(path="/vo/{vo}/members", get=members),
    Page(path="/vo/{vo}/members-add", get=add, post=added),
    Page(path="/vo/{vo}/members/{user}", get=member, post=change),
    Page(path="/vo/{vo}/groups", get=groups),
)
