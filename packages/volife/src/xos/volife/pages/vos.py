# SPDX-License-Identifier: BSD-3-Clause
"""A VO's life: made with a few steps, changed, dissolved."""

from __future__ import annotations

from aiohttp import web

from xos.common.certificate import make_csr, make_key
from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.common.tls import Credential
from xos.volife.errors import BadField
from xos.volife.pages.sign_in import enter
from xos.volife.visit import Page, Visit
from xos.vom.api import VO, CertificateWish, VOChange

log = get_logger("xos.volife")


async def new(visit: Visit) -> web.StreamResponse:
    """The first step: name and description."""
    return visit.show("vo_new.html")


async def create(visit: Visit) -> web.StreamResponse:
    """Create it; the reader is its manager, and signed in to it from now on."""
    fields = visit.fields
    vo = await visit.grid.xvoms.create_vo(fields.line("name"), fields.line("description", needed=False))
    key, person = make_key(), visit.person
    wish = CertificateWish(vo.name, visit.who.name, make_csr(key, "volife"), hours=visit.site.settings.session_hours)
    try:
        issued = await visit.grid.cda.issue(wish)
    except XosError as error:
        # Who signed in by a certificate in the browser: what acts for them gets no further certificate.
        log.info("founder.not-signed-in", vo=vo.name, user=visit.who.name, code=error.code)
        visit.tell("{vo} is there, and you are its manager. Sign in to it, as you are known there.", vo=vo.name)
        return visit.go(f"/sign-in?vo={vo.name}&user={visit.who.name}&next=/vo/{vo.name}/settings%3Fnew=1")
    response = enter(visit, Credential(issued.certificate, key), person.how, f"/vo/{vo.name}/settings?new=1")
    visit.tell("{vo} is there, and you are its manager. You are signed in to it now.", vo=vo.name)
    return response


async def settings(visit: Visit) -> web.StreamResponse:
    """What can be changed about a VO."""
    vo: VO = await visit.grid.xvoms.vo_info(visit.vo)
    return visit.show("vo_settings.html", about=vo, fresh=bool(visit.query("new")))


async def change(visit: Visit) -> web.StreamResponse:
    """Change it, or dissolve it."""
    fields, xvoms = visit.fields, visit.grid.xvoms
    if fields.choice("action", ("change", "dissolve")) == "dissolve":
        if fields.line("name") != visit.vo:
            raise BadField(field="Name of the VO", detail="it is not the name of this VO")
        archive = await xvoms.dissolve_vo(visit.vo)
        visit.site.sessions.end(visit.session)
        return visit.show("vo_dissolved.html", archive=archive)
    wanted = VOChange(
        description=fields.line("description", needed=False),
        registration=fields["registration"] == "yes",
        attributes=fields.words("attributes"),
        capabilities=fields.words("capabilities"),
    )
    await xvoms.change_vo(visit.vo, wanted, int(fields.number("version", least=0, most=2**53)))
    visit.tell("{vo} is changed.", vo=visit.vo)
    return visit.go(f"/vo/{visit.vo}/requests" if visit.query("new") else f"/vo/{visit.vo}/settings")


PAGES = (
    Page(path="/vo-new", get=new, post=create),
    Page(path="/vo/{vo}/settings", get=settings, post=change),
)
