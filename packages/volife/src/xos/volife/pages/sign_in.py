# SPDX-License-Identifier: BSD-3-Clause
"""Signing in and out.

Whatever the way, VOLife ends up with the same: a short XOS-Certificate of the user's for a key made in this process,
kept in the memory of their session and nowhere else. By password the CDA issues it at once. By certificate the browser
shows the user's own to the CDA, over TLS and past VOLife, and brings back a delegation (`CDA.delegate`). At an
institution (OpenID Connect, device flow) the person proves who they are, and the CDA asks it.
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from xos.common.certificate import make_csr, make_key
from xos.common.errors import BadKey, XosError
from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.common.tls import Credential
from xos.volife import guard
from xos.volife.errors import BadField, NotForThisSession, NotHere
from xos.volife.grid import UserGrid
from xos.volife.sessions import Elsewhere
from xos.volife.visit import Page, Visit, local_path
from xos.vom.api import Backend, CertificateWish
from xos.vom.errors import LoginPending
from xos.vom.xati import CDAAsync

BACKENDS_SECONDS = 3.0
"""How long the sign-in page waits to hear of institutions."""

log = get_logger("xos.volife")


async def show(visit: Visit) -> web.StreamResponse:
    """The form; for who is signed in already, the way on."""
    person = visit.session.person
    if person is not None and visit.query("vo") in ("", person.identity.vo):
        return visit.go(local_path(visit.query("next")))
    session, site = visit.session, visit.site
    csr = b""
    if site.door:
        session.key = session.key or make_key()
        csr = make_csr(session.key, "volife")
    return visit.show(
        "sign_in.html",
        next=local_path(visit.fields["next"] or visit.query("next")),
        asked_vo=visit.query("vo"),
        asked_user=visit.query("user"),
        door=site.door,
        csr=base64.b64encode(csr).decode(),
        hours=site.settings.session_hours,
        elsewhere=await _elsewhere(visit),
    )


async def _elsewhere(visit: Visit) -> Backend | None:
    """The CDA's back-end that asks an institution, if it has one and is there."""
    try:
        backends = await CDAAsync(visit.site.host.bus).backends(deadline=BACKENDS_SECONDS)
    except XosError as error:
        log.info("backends.unknown", code=error.code)
        return None
    return next((backend for backend in backends if backend.needs == "login"), None)


async def sign_in(visit: Visit) -> web.StreamResponse:
    """By password or certificate, or begin to by an institution."""
    how = visit.fields.choice("action", ("password", "certificate", "elsewhere"))
    address = visit.request.remote or ""
    visit.site.limits.guess(address)
    if how == "elsewhere":
        return await _begin(visit)
    credential = await (_by_password(visit) if how == "password" else _by_certificate(visit))
    visit.site.limits.guessed_right(address)
    return enter(visit, credential, how, local_path(visit.fields["next"]))


def enter(visit: Visit, credential: Credential, how: str, then: str) -> web.StreamResponse:
    """Sign in who *credential* names: a new session, under a new cookie."""
    site = visit.site
    grid = UserGrid(site.host.trust, credential, site.finder)
    session, token = site.sessions.sign_in(visit.session, credential, grid, how)
    visit.session = session
    response = visit.go(then)
    response.headers["Set-Cookie"] = guard.cookie(token)
    return response


async def _by_password(visit: Visit) -> Credential:
    fields, site = visit.fields, visit.site
    vo, user, password = fields.line("vo"), fields.line("user"), fields.secret("password")
    key = make_key()
    wish = CertificateWish(vo, user, make_csr(key, "volife"), password, site.settings.session_hours)
    issued = await CDAAsync(site.host.bus).issue(wish)
    return Credential(issued.certificate, key)


async def _begin(visit: Visit) -> web.StreamResponse:
    backend = await _elsewhere(visit)
    if backend is None:
        raise NotHere(service="sign-in by an institution")
    vo, user = visit.fields.line("vo"), visit.fields.line("user")
    login = await CDAAsync(visit.site.host.bus).begin_login(backend.name)
    visit.session.elsewhere = Elsewhere(backend.name, login, vo, user, local_path(visit.fields["next"]))
    return visit.go("/sign-in/elsewhere")


async def waiting(visit: Visit) -> web.StreamResponse:
    """Where to go meanwhile, and what to type there."""
    if visit.session.elsewhere is None:
        return visit.go("/sign-in")
    return visit.show("sign_in_elsewhere.html", login=visit.session.elsewhere.login, ended=visit.error is not None)


async def finish(visit: Visit) -> web.StreamResponse:
    """Ask whether the institution has said yes."""
    begun, site = visit.session.elsewhere, visit.site
    if begun is None:
        return visit.go("/sign-in")
    key = make_key()
    wish = CertificateWish(
        begun.vo,
        begun.user,
        make_csr(key, "volife"),
        hours=site.settings.session_hours,
        backend=begun.backend,
        proof=begun.login.id,
    )
    try:
        issued = await CDAAsync(site.host.bus).issue(wish)
    except LoginPending:
        return visit.go("/sign-in/elsewhere")
    site.limits.guessed_right(visit.request.remote or "")
    return enter(visit, Credential(issued.certificate, key), begun.backend, begun.then)


async def _by_certificate(visit: Visit) -> Credential:
    key = visit.session.key
    if key is None:
        raise NotForThisSession(detail="none was asked for in this session")
    try:
        der = base64.b64decode(visit.fields.line("certificate"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadField(field="Certificate", detail="it is not base64") from error
    try:
        visit.site.host.trust.identify(der, kind=Kind.USER)
        return Credential(der, key)
    except BadKey as error:
        raise NotForThisSession(detail="it is for another key") from error
    except XosError as error:
        raise NotForThisSession(detail=error.message) from error


async def sign_out(visit: Visit) -> web.StreamResponse:
    """The end: the key is dropped, the cookie taken away."""
    visit.site.sessions.end(visit.session)
    response = visit.go("/sign-in")
    response.headers["Set-Cookie"] = guard.no_cookie()
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


async def to_sign_in(visit: Visit) -> web.StreamResponse:
    """Signing out needs its form: an address that is only looked at changes nothing."""
    return visit.go("/")


async def authority(visit: Visit) -> web.StreamResponse:
    """The VO CA's certificate, for browsers to import."""
    trust = visit.site.host.trust
    return web.Response(
        body=trust.ca_pem(),
        content_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": 'attachment; filename="xos-ca.pem"'},
    )


PAGES = (
    Page(path="/sign-in", get=show, post=sign_in, signed_in=False),
    Page(path="/sign-in/elsewhere", get=waiting, post=finish, signed_in=False),
    Page(path="/sign-out", get=to_sign_in, post=sign_out, signed_in=False),
    Page(path="/ca.pem", get=authority, signed_in=False),
)
