# SPDX-License-Identifier: BSD-3-Clause
"""The reader's own page: who they are, a certificate for their browser, their password."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from aiohttp import web

from xos.volife.errors import BadField
from xos.volife.visit import Page, Visit
from xos.vom.api import CertificateWish

MOST_HOURS = 24.0


async def show(visit: Visit) -> web.StreamResponse:
    """Identity, certificate, password."""
    user = await visit.grid.xvoms.user_info(visit.who.vo, visit.who.name)
    return visit.show("me.html", user=user, how=visit.person.how, until=visit.session.until, most_hours=MOST_HOURS)


async def set_password(visit: Visit) -> web.StreamResponse:
    """Change one's own password by telling the present one; everybody else who is signed in as them stays so."""
    fields = visit.fields
    new = fields.secret("password")
    if new != fields["again"]:
        raise BadField(field="Password again", detail="it is not the same")
    visit.site.limits.guess(visit.request.remote or "")
    await visit.grid.xvoms.set_password(visit.who.vo, visit.who.name, new, fields.secret("current"))
    visit.site.limits.guessed_right(visit.request.remote or "")
    visit.tell("Your password is changed.")
    return visit.go("/me")


async def to_me(visit: Visit) -> web.StreamResponse:
    """Also what a refused certificate request comes to: as JSON, for the script that asked."""
    if visit.error is not None:
        return as_json({"message": visit.error.message, "hint": visit.error.next_step}, visit.error.http_status)
    return visit.go("/me")


async def certify(visit: Visit) -> web.StreamResponse:
    """A certificate of the reader's for a key that their browser has made and keeps."""
    try:
        csr = base64.b64decode(visit.fields.line("csr"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadField(field="Request", detail="it is not base64") from error
    hours = visit.fields.number("hours", least=1, most=MOST_HOURS)
    issued = await visit.grid.cda.issue(CertificateWish(visit.who.vo, visit.who.name, csr, None, hours))
    return as_json({"certificate": issued.certificate, "ca": issued.ca, "not_after": issued.not_after})


def as_json(value: dict[str, Any], status: int = 200) -> web.Response:
    """*value* for a script of ours; bytes become base64."""
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=max(200, status))


PAGES = (
    Page(path="/me", get=show, post=set_password),
    Page(path="/me/certificate", get=to_me, post=certify),
)
