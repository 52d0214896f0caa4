# SPDX-License-Identifier: BSD-3-Clause
"""Groups and roles of a VO."""

from __future__ import annotations

from aiohttp import web

from xos.volife.visit import Page, Visit


async def groups(visit: Visit) -> web.StreamResponse:
    """What there is."""
    xvoms = visit.grid.xvoms
    return visit.show("groups.html", groups=await xvoms.list_groups(visit.vo), roles=await xvoms.list_roles(visit.vo))


async def change(visit: Visit) -> web.StreamResponse:
    """Add a group or role, describe it anew, or remove it."""
    fields, xvoms = visit.fields, visit.grid.xvoms
    action = fields.choice("action", ("add_group", "add_role", "remove_group", "remove_role"))
    name = fields.line("name")
    match action:
        case "add_group":
            await xvoms.add_group(visit.vo, name, fields.line("description", needed=False))
            visit.tell("The group {name} is there.", name=name)
        case "add_role":
            await xvoms.add_role(visit.vo, name, fields.line("description", needed=False))
            visit.tell("The role {name} is there.", name=name)
        case "remove_group":
            await xvoms.remove_group(visit.vo, name)
            visit.tell("The group {name} is removed.", name=name)
        case _:
            await xvoms.remove_role(visit.vo, name)
            visit.tell("The role {name} is removed.", name=name)
    return visit.go(visit.request.path)


PAGES = (Page(path="/vo/{vo}/groups", get=groups, post=change),)
