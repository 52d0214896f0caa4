# SPDX-License-Identifier: BSD-3-Clause
"""What can come next on the console's command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xos.common.errors import XosError
from xos.dixi.builtin import BUILTINS
from xos.dixi.commands import Session
from xos.dixi.console.catalogue import installed, standard
from xos.dixi.console.command import OWN, VALUED, option
from xos.dixi.description import MethodDescription, ServiceDescription
from xos.dixi.values import Values

if TYPE_CHECKING:
    from xos.dixi.directory import NodeRecord

SECONDS = 1.0
"""How long a completion waits for the grid: longer than that, nobody waits for it."""


async def complete(words: Sequence[str], session: Session) -> list[str]:
    """The words that the last of *words* (empty or begun) can become. Never fails: what is not known is not offered."""
    *before, begun = words or [""]
    own, before = _own(before)
    if own in VALUED:
        return await _nodes(begun, session) if own == "--node" else []
    if not before:
        offered = [*OWN, "--help"] if begun.startswith("-") else await _services(session)
    else:
        description = await _describe(before[0], session)
        if description is None:
            return []
        if len(before) == 1:
            offered = [*(m.name for m in description.methods), *BUILTINS]
        else:
            method = description.method(before[1]) or standard().method(before[1])
            offered = _arguments(before[2:], method, Values(description)) if method else []
    return sorted({word for word in offered if word.startswith(begun)})


def _own(words: Sequence[str]) -> tuple[str, list[str]]:
    """An own option that still wants its value, and the words after the own options."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        if rest[0] in VALUED and len(rest) == 1:
            return rest[0], []
        rest = rest[2:] if rest[0] in VALUED else rest[1:]
    return "", rest


def _arguments(words: Sequence[str], method: MethodDescription, values: Values) -> list[str]:
    by_option = {f"--{name}": p for p in method.params for name in (p.name, option(p.name))}
    if words and words[-1] in by_option:
        return list(values.choices(by_option[words[-1]].type))
    used = set(words)
    names = [f"--{option(p.name)}" for p in method.params if not used & {f"--{option(p.name)}", f"--{p.name}"}]
    return [*names, *(name for name in OWN if name not in used), "--help"]


async def _describe(service: str, session: Session) -> ServiceDescription | None:
    known = next((d for d in installed() if d.name == service), None)
    try:
        caller = session.bus.caller(service)
        found: ServiceDescription = await caller.call(f"{service}.describe", (), ServiceDescription, deadline=SECONDS)
    except (XosError, OSError):
        return known
    return found


async def _services(session: Session) -> list[str]:
    live = [service for node in await _records(session) for service in node.services]
    return [*(d.name for d in installed()), *live]


async def _nodes(begun: str, session: Session) -> list[str]:
    return sorted(record.node for record in await _records(session) if record.node.startswith(begun))


async def _records(session: Session) -> list[NodeRecord]:
    from xos.dixi.xati import DirectoryAsync

    try:
        return await DirectoryAsync(session.bus).nodes(deadline=SECONDS)
    except (XosError, OSError):
        return []
