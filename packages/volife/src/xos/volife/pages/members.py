# SPDX-License-Identifier: BSD-3-Clause
"""Members of a VO."""

from __future__ import annotations

import datetime
from urllib.parse import urlencode

from aiohttp import web

from xos.volife.errors import BadField
from xos.volife.visit import Page, Visit
from xos.vom.api import User, UserChange, UserState
from xos.vom.xati import RegistrationAsync

ON_A_PAGE = 100


async def members(visit: Visit) -> web.StreamResponse:
    """A page of the members, those that are searched for."""
    wanted = {name: visit.query(name) for name in ("search", "group", "role")}
    after = visit.query("after")
    users = await visit.grid.xvoms.list_users(visit.vo, after, ON_A_PAGE, *wanted.values())
    more = urlencode({**wanted, "after": users[-1].name}) if len(users) == ON_A_PAGE else ""
    return visit.show("members.html", users=users, more=more, after=after, wanted=wanted)


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
    user: User = await visit.grid.xvoms.user_info(visit.vo, visit.part("user"))
    return visit.show("member.html", user=user, expires=day_of(user.expires), invitation=visit.query("invited"))


def day_of(seconds: float) -> str:
    """The last day of a membership as forms have it, empty without end."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat() if seconds else ""


def end_of(day: str) -> float:
    """Unix seconds of the end of a day (UTC), 0 for none. Raises `BadField`."""
    if not day:
        return 0.0
    try:
        date = datetime.date.fromisoformat(day)
        following = date + datetime.timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise BadField(field="Last day", detail="a day as 2027-01-31") from error
    return datetime.datetime(following.year, following.month, following.day, tzinfo=datetime.UTC).timestamp() - 1


async def change(visit: Visit) -> web.StreamResponse:
    """Change a member, suspend them, let them act again, invite them to a password, or take them out."""
    name, xvoms = visit.part("user"), visit.grid.xvoms
    match visit.fields.choice("action", ("change", "suspend", "resume", "invite", "remove")):
        case "suspend":
            await xvoms.set_user_state(visit.vo, name, UserState.SUSPENDED)
            visit.tell("{user} is suspended: their certificates are no longer honoured.", user=name)
        case "resume":
            await xvoms.set_user_state(visit.vo, name, UserState.ACTIVE)
            visit.tell("{user} may act again.", user=name)
        case "invite":
            invitation = await RegistrationAsync(visit.grid).invite(visit.vo, name)
            words = {"vo": visit.vo, "user": name, "code": invitation.code}
            address = f"https://{visit.request.host}/invitation?{urlencode(words)}"
            return visit.show("invited.html", invitation=invitation, address=address)
        case "remove":
            await xvoms.remove_user(visit.vo, name)
            visit.tell("{user} is no longer a member.", user=name)
            return visit.go(f"/vo/{visit.vo}/members")
        case _:
            await _change(visit, name)
            visit.tell("{user} is changed.", user=name)
    return visit.go(visit.request.path)


async def _change(visit: Visit, name: str) -> None:
    fields = visit.fields
    wanted = UserChange(
        group=fields.line("group"),
        groups=fields.words("groups"),
        roles=fields.words("roles"),
        capabilities=fields.words("capabilities"),
        expires=end_of(fields.line("expires", needed=False)),
        full_name=fields.line("full_name", needed=False),
        email=fields.line("email", needed=False),
    )
    await visit.grid.xvoms.change_user(visit.vo, name, wanted, int(fields.number("version", least=0, most=2**53)))


async def importing(visit: Visit) -> web.StreamResponse:
    """The form for a list of new members."""
    return visit.show("import.html", done=None)


async def imported(visit: Visit) -> web.StreamResponse:
    """Check a list, or take it in."""
    fields = visit.fields
    trial = fields.choice("action", ("check", "import")) == "check"
    text = fields["file"] or fields.text("text")
    done = await visit.grid.xvoms.import_users(visit.vo, text, fields.choice("form", ("csv", "ldif")), trial)
    if trial:
        return visit.show("import.html", done=done)
    return visit.show("imported.html", done=done)


PAGES = (
    Page(path="/vo/{vo}/members", get=members),
    Page(path="/vo/{vo}/members-add", get=add, post=added),
    Page(path="/vo/{vo}/members-import", get=importing, post=imported),
    Page(path="/vo/{vo}/members/{user}", get=member, post=change),
)
