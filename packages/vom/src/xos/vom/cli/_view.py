# SPDX-License-Identifier: BSD-3-Clause
"""What ``view-xos-cert`` does."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.certificate import check_time, describe, load_certificate, parse_identity
from xos.common.credential import split_pem
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.dixi.client import NoCredential, load_client
from xos.dixi.commands import Colour, Painted, Session
from xos.vom.cli import _show
from xos.vom.errors import UnusableFile

LARGEST = 1 << 20


async def run(args: argparse.Namespace, session: Session) -> int:
    """Print it; 0 if the certificate is good now, else 1."""
    der = await _certificate(args.file, session)
    who = parse_identity(der)
    problem = _problem(session, der, who)
    if session.json:
        _show.as_json(
            session, {**_show.named(who), "good": problem is None, "problem": problem, "attributes": describe(der)}
        )
    else:
        _show.fields(session, _pairs(der, who, problem))
    return 0 if problem is None else 1


async def _certificate(file: str | None, session: Session) -> bytes:
    if file is None and session.agent is not None:
        return session.credential.certificate
    path = session.home / "user.pem" if file is None else session.path(file)
    if file is None and not path.exists():
        raise NoCredential(home=str(session.home))
    try:
        data = await session.stdin.read(LARGEST) if file == "-" else _read(path)
    except OSError as error:
        raise UnusableFile(file=str(path), detail=error.strerror or str(error)) from error
    return split_pem(data)[0] if b"-----BEGIN" in data else data


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST)


def _problem(session: Session, der: bytes, who: Identity) -> str | None:
    """Why the certificate is not good; without a client configuration, as far as can be told."""
    try:
        _, trust = load_client(session.home)
    except XosError:
        trust = None
    try:
        if trust is not None:
            trust.identify(der)
        else:
            check_time(who, time.time())
    except XosError as error:
        return error.message
    return None


def _pairs(der: bytes, who: Identity, problem: str | None) -> list[tuple[str, str | Painted]]:
    certificate = load_certificate(der)
    key = certificate.public_key()
    left = who.not_after - time.time()
    ends = f"in {_show.span(left)}" if left > 0 else f"{_show.span(left)} ago"
    if who.kind is Kind.USER:
        holder: list[tuple[str, str | Painted]] = [
            ("User", who.name),
            ("VO", who.vo),
            ("Further VOs", _show.names(who.vos)),
            ("Group", who.group),
            ("Further groups", _show.names(who.groups)),
            ("Roles", _show.names(who.roles)),
        ]
    else:
        holder = [("Machine", who.name), ("Roles", _show.names(who.roles))]
    return [
        *holder,
        ("Valid from", _show.moment(who.not_before)),
        ("Valid until", f"{_show.moment(who.not_after)} ({ends})"),
        ("Serial", f"{who.serial:x}"),
        ("Issuer", certificate.issuer.rfc4514_string()),
        ("Key", key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__),
        ("Fingerprint", f"SHA-256 {who.fingerprint}"),
        ("Good", Painted("yes", Colour.GREEN) if problem is None else Painted(f"no: {problem}", Colour.RED)),
    ]
