# SPDX-License-Identifier: BSD-3-Clause
"""What ``xos-policy`` does."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from xos.common.policy.request import JobContext, NodeAttributes
from xos.common.policy.syntax import MAX_BYTES
from xos.dixi.commands import Colour, Painted, Session
from xos.vom.api import Policy
from xos.vom.cli import _show
from xos.vom.errors import UnknownPolicy, UnusableFile
from xos.vom.xati import VOPSAsync

REFUSED = 1


async def list_(args: argparse.Namespace, session: Session) -> int:
    """List documents."""
    found = await VOPSAsync(session.bus).policies(args.vo)
    if session.json:
        _show.as_json(session, found)
        return 0
    rows = [(p.name, _version(p), str(len(p.rules)), p.changed_by or "-", _when(p), p.note) for p in found]
    _show.print_table(session, ("POLICY", "VERSION", "RULES", "CHANGED BY", "ON", "NOTE"), rows, right=frozenset({2}))
    return 0


async def show(args: argparse.Namespace, session: Session) -> int:
    """Print a document."""
    policy = await _find(session, args.vo, args.name, args.version)
    if session.json:
        _show.as_json(session, policy)
    else:
        await session.write(policy.text.encode() if policy.text.endswith("\n") else f"{policy.text}\n".encode())
    return 0


async def history(args: argparse.Namespace, session: Session) -> int:
    """List versions."""
    found = await VOPSAsync(session.bus).history(args.vo, args.name, 0.0, args.limit)
    if session.json:
        _show.as_json(session, found)
        return 0
    rows = [(p.name, _version(p), "removed" if p.removed else "put", p.changed_by, _when(p), p.note) for p in found]
    _show.print_table(session, ("POLICY", "VERSION", "WAS", "BY", "ON", "NOTE"), rows)
    return 0


async def check(args: argparse.Namespace, session: Session) -> int:
    """Check a draft."""
    checked = await VOPSAsync(session.bus).check_policy(args.vo, args.name, await _read(session, args.file))
    if session.json:
        _show.as_json(session, checked)
    elif not checked.problems:
        session.out(f"{args.name} is right: {_rules(checked.rules)}")
    for problem in () if session.json else checked.problems:
        session.err(f"{args.file}:{problem.line}:{problem.column}: {problem.detail}")
        session.err(f"  {problem.advice}")
    return REFUSED if checked.problems else 0


async def try_(args: argparse.Namespace, session: Session) -> int:
    """Try a draft."""
    text = await _read(session, args.file) if args.file is not None else ""
    run = await VOPSAsync(session.bus).dry_run(args.vo, args.name, text, args.days, deadline=60.0)
    if session.json:
        _show.as_json(session, run)
        return 0
    told = f"{run.allowed} allowed by the draft, {run.changed_in_all} decided otherwise"
    session.out(f"{run.tried} past requests: {told}")
    rows = [
        (
            _show.moment(change.request.at),
            change.request.subject,
            change.request.action.value,
            change.request.node,
            _verdict(change.allowed),
            change.reason,
        )
        for change in run.changed
    ]
    if rows:
        _show.print_table(session, ("AT", "WHO", "ACTION", "NODE", "NOW", "BECAUSE"), rows)
    if run.changed_in_all > len(run.changed):
        session.out(f"and {run.changed_in_all - len(run.changed)} older ones")
    return 0


async def put(args: argparse.Namespace, session: Session) -> int:
    """Put a document into effect."""
    vops, text = VOPSAsync(session.bus), await _read(session, args.file)
    expected = args.expect if args.expect is not None else await _now(session, args.vo, args.name)
    policy = await vops.put_policy(args.vo, args.name, text, expected, args.note)
    if session.json:
        _show.as_json(session, policy)
    else:
        session.out(f"{policy.name} of VO {policy.vo} is in effect, version {policy.version}: {_rules(policy.rules)}")
    return 0


async def remove(args: argparse.Namespace, session: Session) -> int:
    """Take a document out of effect."""
    vops = VOPSAsync(session.bus)
    expected = args.expect if args.expect is not None else await _now(session, args.vo, args.name)
    policy = await vops.remove_policy(args.vo, args.name, expected, args.note)
    if session.json:
        _show.as_json(session, policy)
    else:
        session.out(f"{policy.name} of VO {policy.vo} is out of effect (version {policy.version})")
    return 0


async def explain(args: argparse.Namespace, session: Session) -> int:
    """Explain a decision."""
    job = JobContext(executable=args.executable, units=args.units, cores=args.cores, wall_time=args.wall_time)
    verdict = await VOPSAsync(session.bus).explain(args.vo, args.user, NodeAttributes(args.node), job)
    if session.json:
        _show.as_json(session, verdict)
        return 0 if verdict.allowed else REFUSED
    used = verdict.used
    pairs: list[tuple[str, str | Painted]] = [
        ("Decision", Painted(verdict.reason, None if verdict.allowed else Colour.RED)),
        ("This month", f"{used.jobs} job units, {used.cpu_seconds:.0f} s of CPU, {_show.span(used.wall_seconds)}"),
    ]
    pairs += [("Problem", error) for error in verdict.errors]
    _show.fields(session, pairs)
    return 0 if verdict.allowed else REFUSED


async def requests(args: argparse.Namespace, session: Session) -> int:
    """List past requests."""
    found = await VOPSAsync(session.bus).requests(args.vo, 0, args.limit)
    if session.json:
        _show.as_json(session, found)
        return 0
    rows = [(_show.moment(r.at), r.subject, r.action.value, r.node, _verdict(r.allowed), r.reason) for r in found]
    _show.print_table(session, ("AT", "WHO", "ACTION", "NODE", "WAS", "BECAUSE"), rows)
    return 0


async def schema(args: argparse.Namespace, session: Session) -> int:  # noqa: ARG001 -- every action takes them
    """Print the schema."""
    text = await VOPSAsync(session.bus).schema()
    if session.json:
        _show.as_json(session, {"schema": text})
    else:
        await session.write(text.encode())
    return 0


async def _find(session: Session, vo: str, name: str, version: int | None) -> Policy:
    vops = VOPSAsync(session.bus)
    found = await vops.policies(vo) if version is None else await vops.history(vo, name, 0.0, 1000)
    for policy in found:
        if policy.name == name and version in (None, policy.version):
            return policy
    raise UnknownPolicy(vo=vo, name=name if version is None else f"{name} version {version}")


async def _now(session: Session, vo: str, name: str) -> int:
    """The version that a change builds on; that of a removed document counts too."""
    versions = await VOPSAsync(session.bus).history(vo, name, 0.0, 1)
    return versions[0].version if versions else 0


async def _read(session: Session, name: str) -> str:
    """The text of a file, a byte longer than is allowed at most: the service says that it is too long."""
    if name == "-":
        raw = b""
        while len(raw) <= MAX_BYTES and (part := await session.stdin.read(MAX_BYTES + 1 - len(raw))):
            raw += part
    else:
        path = session.path(name)
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise UnusableFile(file=str(path), detail=error.strerror or str(error)) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UnusableFile(file=name, detail=f"not UTF-8 at byte {error.start}") from error


def _version(policy: Policy) -> str:
    return str(policy.version) if policy.version else "built in"


def _when(policy: Policy) -> str:
    return _show.moment(policy.changed) if policy.changed else "-"


def _verdict(allowed: bool) -> Painted:
    return Painted("allowed") if allowed else Painted("denied", Colour.RED)


def _rules(names: tuple[str, ...]) -> str:
    count = f"{len(names)} rule" if len(names) == 1 else f"{len(names)} rules"
    shown = ", ".join((*names[:5], "…") if len(names) > 5 else names)
    return f"{count} ({shown})" if names else count


Action = Callable[[argparse.Namespace, Session], Awaitable[int]]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "list": list_,
        "show": show,
        "history": history,
        "check": check,
        "try": try_,
        "put": put,
        "remove": remove,
        "explain": explain,
        "requests": requests,
        "schema": schema,
    }
)
