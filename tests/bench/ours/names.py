# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows about look-ups: libnss_xos with a table, no daemon."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import names
from bench.model import Measure
from bench.resources import Resources
from xos.node.config import Range
from xos.node.table import Builder, Group, User


def look_up(resources: Resources, *, what: str, users: int, count: int) -> Measure:
    """See `bench.names.measure`."""
    return names.measure(resources, side="xos", furnish=_furnish, what=what, users=users, count=count)


def _furnish(place: Path, users: int, resources: Resources) -> str:
    source = resources.root / "kernel-modules" / "nss_xos"
    flags = f'CFLAGS=-O2 -DXOS_TABLE_PATH=\\"{place}/table\\" -DXOS_SOCKET_PATH=\\"{place}/none\\"'
    subprocess.run(["make", "-s", "-C", source, f"OUT={place}", flags], check=True)
    gids = tuple(names.GROUP + n for n in range(names.SHARED_GROUPS))
    data = Builder().build(
        [User(names.FIRST + n, f"u{n}.demo", f"u{n}@demo", f"/h/u{n}.demo", "/bin/sh", gids) for n in range(users)],
        [Group(names.GROUP + n, f"g{n}.demo") for n in range(names.SHARED_GROUPS)],
        ranges=[Range(names.FIRST, names.GROUP + 99)],
        suffixes=["demo"],
        generation=1,
    )
    (place / "table").write_bytes(data)
    return "xos"
