# SPDX-License-Identifier: BSD-3-Clause
"""What ``get-xos-cert`` does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from xos.common import ssh
from xos.common.certificate import load_certificate, make_csr, make_key
from xos.common.credential import split_pem
from xos.common.errors import XosError
from xos.common.files import write_atomically
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust
from xos.dixi.client import load_client, make_bus
from xos.dixi.commands import Session
from xos.vom.api import CertificateWish, Issued
from xos.vom.cli import _prove, _secrets, _show, _ssh_config
from xos.vom.errors import BadRequest, NothingToRenew, PassphraseNeeded, UnusableFile
from xos.vom.xati import CDAAsync

HOURS = 12.0
BACKDATED_S = 300
"""The CA dates certificates back by that much, for clocks that are behind."""


class Kept(msgspec.Struct, frozen=True):
    """Where a new certificate went."""

    certificate: Path | None = None
    """None: only in the agent's memory."""
    key: Path | None = None
    agent: bool = False


async def run(args: argparse.Namespace, session: Session) -> None:
    """Get a certificate, keep it, and say what it is."""
    if args.no_roles and args.roles:
        raise BadRequest(what="--no-roles", detail="not together with --role")
    if args.ssh_config:
        session.out(str(await _ssh_config.run(args, session)))
        return
    if args.renew:
        credential, ca = await renew(args, session)
    else:
        credential, ca = await _anew(args, session)
    kept = await keep(args, session, credential, ca)
    _report(session, credential.identity, kept)


async def _anew(args: argparse.Namespace, session: Session) -> tuple[Credential, bytes]:
    if args.vo is None or args.user is None:
        raise BadRequest(what="VO and USER", detail="both are needed (or --renew)")
    config, trust = load_client(session.home)
    key = make_key()
    wish = _wish(args, args.vo, args.user, make_csr(key, args.user), HOURS if args.hours is None else args.hours)
    bus = make_bus(config, trust, None)
    try:
        issued = await _prove.issued(args, session, CDAAsync(bus), wish)
    finally:
        bus.close()
    return _checked(trust, key, wish, issued)


async def renew(args: argparse.Namespace, session: Session) -> tuple[Credential, bytes]:
    shown = session.credential
    who = shown.identity
    if who.kind is not Kind.USER:
        raise NothingToRenew(detail=f"this is the certificate of machine {who.name}")
    asked = (args.vo or who.vo, args.user or who.name)
    if asked != (who.vo, who.name):
        raise NothingToRenew(detail=f"the certificate at hand is that of {who}")
    lifetime = (who.not_after - who.not_before - BACKDATED_S) / 3600
    wish = _wish(args, who.vo, who.name, make_csr(shown.key, who.name), lifetime if args.hours is None else args.hours)
    issued = await CDAAsync(session.bus).issue(wish)
    _, trust = load_client(session.home)
    return _checked(trust, shown.key, wish, issued)


def _wish(args: argparse.Namespace, vo: str, user: str, csr: bytes, hours: float) -> CertificateWish:
    roles = () if args.no_roles else None if args.roles is None else tuple(args.roles)
    return CertificateWish(vo, user, csr, None, hours, args.group, roles, groups=args.groups, vos=args.vos)


def _checked(
    trust: Trust, key: EllipticCurvePrivateKey, wish: CertificateWish, issued: Issued
) -> tuple[Credential, bytes]:
    """What came, if it is what was wished for and signed by the CA that we trust."""
    credential = Credential(issued.certificate, key, ssh=issued.ssh)
    if issued.ssh and ssh.verify_user(issued.ssh, trust)[1] != issued.certificate:
        raise BadRequest(what="the CDA's answer", detail="its SSH certificate carries another certificate")
    who = trust.identify(credential.certificate, kind=Kind.USER)
    if (who.vo, who.name) != (wish.vo, wish.user):
        raise BadRequest(what="the CDA's answer", detail=f"it is a certificate of {who}")
    return credential, issued.ca


async def keep(args: argparse.Namespace, session: Session, credential: Credential, ca: bytes) -> Kept:
    if args.out is not None:
        directory = session.path(args.out)
        key = await _key_pem(args, session, credential)
        _writing(directory, lambda: _write(directory, key, credential, ca))
        return Kept(directory / "user.pem", directory / "user.key")
    certificate = session.home / "user.pem"
    if args.renew and _is_for(certificate, credential):
        # The key is in its file already, encrypted or not as its owner wished.
        _writing(certificate, lambda: write_atomically(certificate, credential.certificate_pem(), 0o644))
        if session.agent is not None:
            session.agent.store(credential)
        return Kept(certificate, session.home / "user.key", agent=session.agent is not None)
    if session.agent is not None:
        session.agent.store(credential)
        return Kept(agent=True)
    key = await _key_pem(args, session, credential)
    _writing(session.home, lambda: _write(session.home, key, credential, None))
    return Kept(certificate, session.home / "user.key")


def _is_for(certificate: Path, credential: Credential) -> bool:
    """Whether the file holds an earlier certificate of the same key, beside that key."""
    try:
        first = load_certificate(split_pem(certificate.read_bytes())[0])
        return certificate.with_name("user.key").exists() and first.public_key() == credential.key.public_key()
    except (OSError, XosError, ValueError):
        return False


async def _key_pem(args: argparse.Namespace, session: Session, credential: Credential) -> bytes:
    if args.no_passphrase:
        return credential.key_pem(None)
    try:
        passphrase = await _secrets.chosen(session, args.passphrase_file, "Passphrase for the new key")
    except EOFError as error:
        raise PassphraseNeeded from error
    if not passphrase:
        raise PassphraseNeeded
    return credential.key_pem(passphrase.encode())


def _write(directory: Path, key: bytes, credential: Credential, ca: bytes | None) -> None:
    """The certificate goes first and comes last: a crash in between leaves no pair that does not fit."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "user.pem").unlink(missing_ok=True)
    write_atomically(directory / "user.key", key, 0o600)
    if ca is not None:
        write_atomically(directory / "ca.pem", Trust([ca]).ca_pem(), 0o644)
    write_atomically(directory / "user.pem", credential.certificate_pem(), 0o644)


def _writing(place: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise UnusableFile(file=str(error.filename or place), detail=error.strerror or str(error)) from error


def _report(session: Session, who: Identity, kept: Kept) -> None:
    if session.json:
        _show.as_json(
            session,
            {
                "vo": who.vo,
                "user": who.name,
                "group": who.group,
                "groups": who.groups,
                "roles": who.roles,
                "serial": f"{who.serial:x}",
                "not_after": who.not_after,
                "certificate": str(kept.certificate) if kept.certificate else None,
                "key": str(kept.key) if kept.key else None,
                "agent": kept.agent,
            },
        )
        return
    where = f"in {kept.certificate.parent}" if kept.certificate else "in xos-agent"
    roles = f", roles {_show.names(who.roles)}" if who.roles else ""
    session.out(f"{who} (group {who.group}{roles}) until {_show.moment(who.not_after)}, {where}")
