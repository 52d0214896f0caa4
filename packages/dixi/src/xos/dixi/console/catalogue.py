# SPDX-License-Identifier: BSD-3-Clause
"""Descriptions that are here without asking the grid: those that packages bring, and the standard calls."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.resources

import msgspec

from xos.dixi.codegen.console import load
from xos.dixi.description import ServiceDescription

GROUP = "xos.services"


@functools.cache
def installed() -> tuple[ServiceDescription, ...]:
    """What the installed packages describe (``console.json`` beside their interfaces), by name."""
    rooms = {
        entry.value.partition(":")[0].rsplit(".", depth)[0]
        for entry in importlib.metadata.entry_points(group=GROUP)
        for depth in range(1, entry.value.count(".") + 1)
    }
    found = {d.name: d for room in sorted(rooms - {"xos"}) for d in _of(room)}
    return tuple(sorted(found.values(), key=lambda d: d.name))


def _of(room: str) -> list[ServiceDescription]:
    try:
        return load(importlib.resources.files(room).joinpath("console.json").read_bytes())
    except (ModuleNotFoundError, FileNotFoundError, NotADirectoryError, TypeError, msgspec.DecodeError):
        return []  # not a package, or one without generated data: it completes only while its service runs


@functools.cache
def standard() -> ServiceDescription:
    """The four calls that every service answers."""
    from xos.dixi.describe import describe
    from xos.dixi.standard import Standard

    return describe(Standard)
