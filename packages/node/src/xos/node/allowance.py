# SPDX-License-Identifier: BSD-3-Clause
"""How much of the machine a session may take: resource limits, and the limits of its user's systemd slice. Pure.

What is said of a group counts before what is said of its VO, and that before what is said of the node; of several
groups the one that stands last in the configuration counts. Each limit is looked for by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

RESOURCES = frozenset(
    {"as", "core", "cpu", "data", "fsize", "locks", "memlock", "nofile", "nproc", "rtprio", "stack"}
)  # fmt: skip
"""Of each process: limits.conf(5)."""
SESSION = frozenset({"memory_max", "tasks_max", "cpu_weight", "io_weight", "runtime_max_sec"})
"""Of a session's own scope: pam_systemd(8)."""
SLICE = frozenset({"MemoryMax", "MemoryHigh", "MemorySwapMax", "TasksMax", "CPUWeight", "CPUQuota", "IOWeight"})
"""Of a user's slice, which all their sessions share: systemd.resource-control(5)."""
_RESOURCE_VALUE = re.compile(r"(\d{1,19}|unlimited)(:(\d{1,19}|unlimited))?")
_AMOUNT = re.compile(r"\d{1,19}(\.\d{1,3})?[KMGT%]?|infinity")
_SESSION_VALUE = re.compile(r"\d{1,19}(\.\d{1,3})?(us|ms|s|min|h|d|w|[KMGT%])?|infinity|idle")


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``limits`` and ``slice`` of the node, of a VO, or of a group."""

    limits: dict[str, str] = {}
    """``nofile = "1024:4096"`` (`RESOURCES`), ``memory_max = "1G"`` (`SESSION`)."""
    slice: dict[str, str] = {}
    """``MemoryMax = "4G"`` (`SLICE`)."""


def merged(allowances: Iterable[Allowance]) -> Allowance:
    """All of them together; the later counts."""
    limits: dict[str, str] = {}
    together: dict[str, str] = {}
    for each in allowances:
        limits.update(each.limits)
        together.update(each.slice)
    return Allowance(limits=limits, slice=together)


def of_groups(said: Mapping[str, Allowance], vo: str, groups: Iterable[str]) -> Iterator[Allowance]:
    """What is *said* (``VO/GROUP``) of these *groups*, in the order in which it stands there."""
    mine = {f"{vo}/{group}" for group in groups}
    return (each for name, each in said.items() if name in mine)


def wrong_limits(key: str, allowance: Allowance) -> Iterator[tuple[str, str, str]]:
    """What of *allowance* cannot be: key, what, what to do."""
    for name, value in allowance.limits.items():
        known = name in RESOURCES or name in SESSION
        form = _RESOURCE_VALUE if name in RESOURCES else _SESSION_VALUE
        if not known:
            yield f"{key}limits.{name}", "there is no such limit", f"One of {_listed(RESOURCES | SESSION)}."
        elif not form.fullmatch(value):
            advice = 'Write "SOFT:HARD", or one number for both.' if name in RESOURCES else 'Like "1G", "50%", "100".'
            yield f"{key}limits.{name}", f"{value[:40]!r} is no value of it", advice
    for name, value in allowance.slice.items():
        if name not in SLICE:
            yield f"{key}slice.{name}", "it is no limit of a slice", f"One of {_listed(SLICE)}."
        elif not _AMOUNT.fullmatch(value) or (name == "CPUQuota" and not value.endswith("%")):
            yield f"{key}slice.{name}", f"{value[:40]!r} is no value of it", 'Like "4G", "512", or of CPUQuota "150%".'


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
