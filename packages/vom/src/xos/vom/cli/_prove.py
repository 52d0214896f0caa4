# SPDX-License-Identifier: BSD-3-Clause
"""How ``get-xos-cert`` proves to the CDA who the user is: by password, at an OpenID provider, by Kerberos ticket."""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from xos.dixi.commands import Session
from xos.vom import tickets
from xos.vom.api import Backend, CertificateWish, Issued
from xos.vom.cli import _secrets
from xos.vom.errors import BadRequest, LoginPending, UnknownBackend
from xos.vom.xati import CDAAsync

PASSWORD = "password"  # noqa: S105 -- the name of a back-end


async def issued(args: argparse.Namespace, session: Session, cda: CDAAsync, wish: CertificateWish) -> Issued:
    """The certificate, once the person has proved who they are the way that was chosen."""
    backend = Backend(PASSWORD, needs="password") if args.backend == PASSWORD else await _known(cda, args.backend)
    wish = msgspec.structs.replace(wish, backend=backend.name)
    match backend.needs:
        case "password":
            password = await _secrets.known(session, args.password_file, f"Password of {args.user}@{args.vo}")
            return await cda.issue(msgspec.structs.replace(wish, password=password))
        case "kerberos":
            return await cda.issue(msgspec.structs.replace(wish, proof=tickets.token_for(backend.service)))
        case "login":
            return await _by_login(session, cda, wish)
        case _:
            raise BadRequest(what="--backend", detail=f"{backend.name} is for --renew")


async def _known(cda: CDAAsync, name: str) -> Backend:
    known = {one.name: one for one in await cda.backends()}
    if name not in known:
        raise UnknownBackend(backend=name, known=", ".join(known))
    return known[name]


async def _by_login(session: Session, cda: CDAAsync, wish: CertificateWish) -> Issued:
    """Try until the person has logged in; the CDA ends a login that takes too long."""
    login = await cda.begin_login(wish.backend)
    session.err(f"Open {login.url} and log in; the code is {login.code}.")
    wish, pause = msgspec.structs.replace(wish, proof=login.id), login.interval
    while True:
        await asyncio.sleep(pause)
        try:
            return await cda.issue(wish)
        except LoginPending as error:
            if (error.retry_after_ms or 0) > SLOW_DOWN_MS:
                pause += 5  # RFC 8628, 3.5


SLOW_DOWN_MS = 5000
