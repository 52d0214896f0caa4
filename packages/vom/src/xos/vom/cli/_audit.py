# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-audit`` does."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from xos.common.errors import UNDECODABLE
from xos.common.files import write_atomically
from xos.common.signing import Signed, sign
from xos.dixi.commands import Session
from xos.vom.api import HEAD_PURPOSE, Certification, Head, Link, Log
from xos.vom.chains import Fault, check
from xos.vom.cli import _show
from xos.vom.errors import BadHeadFile, Tampered
from xos.vom.xati import AuditAsync

PAGE = 1000


async def trail(args: argparse.Namespace, session: Session) -> None:
    """Show acts."""
    found = await AuditAsync(session.bus).trail(args.vo, 0, args.limit, args.who, args.act, args.target)
    if session.json:
        _show.as_json(session, found)
        return
    rows = [
        (
            _show.moment(entry.at),
            entry.who,
            entry.origin or "-",
            entry.act,
            entry.vo or "-",
            entry.target,
            ", ".join(f"{name}={value}" for name, value in entry.detail.items() if value),
        )
        for entry in found
    ]
    _show.print_table(session, ("AT", "WHO", "FROM", "ACT", "VO", "TARGET", "DETAIL"), rows)


async def heads(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """Show heads."""
    audit = AuditAsync(session.bus)
    told = [(await audit.head(log), await audit.certifications(log)) for log in Log]
    if session.json:
        _show.as_json(
            session,
            [
                {
                    "log": head.log,
                    "number": head.number,
                    "digest": head.digest.hex(),
                    "certified": [{"number": c.head.number, "at": c.head.at, "by": c.by} for c in certified],
                }
                for head, certified in told
            ],
        )
        return
    rows = [
        (
            head.log.value,
            str(head.number),
            head.digest.hex()[:16],
            _last(certified),
        )
        for head, certified in told
    ]
    _show.print_table(session, ("CHAIN", "ENTRIES", "DIGEST", "LAST CERTIFIED"), rows, right=frozenset({1}))


def _last(certified: list[Certification]) -> str:
    if not certified:
        return "-"
    last = certified[0]
    return f"{last.head.number} by {last.by}, {_show.moment(last.head.at)}"


async def certify(args: argparse.Namespace, session: Session) -> None:  # noqa: ARG001 -- every action takes them
    """Certify the heads; what was certified from here before is shown again first, and must still be there."""
    audit = AuditAsync(session.bus)
    done = []
    for log in Log:
        file = _kept(session, log)
        before = _read(file)
        if before is not None:
            await audit.certify(_sign(before, session))  # raises `ForeignHead` when history is another by now
        head = await audit.head(log)
        if head.number == 0:
            continue
        await audit.certify(_sign(head, session))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(write_atomically, file, msgspec.json.encode(head), 0o600)
        done.append(head)
    if session.json:
        _show.as_json(session, [{"log": h.log, "number": h.number, "digest": h.digest.hex()} for h in done])
    elif not done:
        session.out("there is nothing to certify yet")
    for head in () if session.json else done:
        session.out(f"{head.log.value}: {head.number} entries certified, kept in {_kept(session, head.log)}")


async def verify(args: argparse.Namespace, session: Session) -> None:
    """Verify the chains. Raises `Tampered`, once all faults have been told."""
    logs = [Log(args.log)] if args.log else list(Log)
    faults: dict[Log, list[Fault]] = {}
    told = []
    for log in logs:
        if args.directory is not None:
            from xos.vom.records import verification

            trust = None if args.trust is None else session.path(args.trust)
            result = await asyncio.to_thread(verification.verify_directory, session.path(args.directory), log, trust)
            entries, known, faults[log] = result
        else:
            entries, known, faults[log] = await _verify_service(session, log)
        if known == 0 and entries:
            session.err(f"{log.value}: no signed head is known: an end that was cut off would not show")
        told.append({"log": log, "entries": entries, "signed_heads": known, "faults": faults[log]})
    if session.json:
        _show.as_json(session, told)
    else:
        _print(session, told)
    bad = [(log, found) for log, found in faults.items() if found]
    if bad:
        log, found = bad[0]
        raise Tampered(log=log.value, faults=len(found), number=found[0].number, detail=found[0].detail)


async def _verify_service(session: Session, log: Log) -> tuple[int, int, list[Fault]]:
    audit = AuditAsync(session.bus)
    entries: list[Link] = []
    while page := await audit.links(log, entries[-1].number if entries else 0, PAGE):
        entries += page
        if len(page) < PAGE:
            break
    heads_ = [certification.head for certification in await audit.certifications(log)]
    own = _read(_kept(session, log))
    known = heads_ if own is None else [*heads_, own]
    return len(entries), len(known), list(check(log, entries, known))


def _print(session: Session, told: Iterable[Mapping[str, object]]) -> None:
    for one in told:
        faults = one["faults"]
        assert isinstance(faults, list)  # noqa: S101 -- made above
        if not faults:
            heads_ = f"{one['signed_heads']} signed heads"
            session.out(f"{one['log']}: {one['entries']} entries, as they were written ({heads_} lead there)")
        for fault in faults:
            session.out(f"{one['log']}: entry {fault.number}: {fault.detail}")


def _sign(head: Head, session: Session) -> Signed:
    now = msgspec.structs.replace(head, at=time.time())
    return sign(msgspec.msgpack.encode(now), session.credential, purpose=HEAD_PURPOSE)


def _kept(session: Session, log: Log) -> Path:
    return session.home / "heads" / f"{session.credential.identity.vo or 'core'}-{log.value}.json"


def _read(file: Path) -> Head | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except (OSError, *UNDECODABLE) as error:
        raise BadHeadFile(file=str(file), detail=str(error)) from error


Action = Callable[[argparse.Namespace, Session], Awaitable[None]]
ACTIONS: Mapping[str, Action] = MappingProxyType({"trail": trail, "heads": heads, "certify": certify, "verify": verify})
