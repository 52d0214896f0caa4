# SPDX-License-Identifier: BSD-3-Clause
"""What names cost at the catalog of XtreemFS (MRC), and how that grows."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import catalog

SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
NOTE = "CPU of the service's process alone, called through DIXI by eight clients; the disk's is the caller's own."


def _row(do: str, title: str, name: str, size: int) -> Row:
    return Row(
        name=f"catalog-{do}-{name}",
        title=f"{title}, {size:,} files there",
        unit="CPU ms",
        better=Better.LESS,
        bound=0.3,
        work=do,
        repetitions=3,
        ours=Side("MRC", partial(catalog.each, do=do, size=size)),
        peer=Side("local disk", partial(catalog.each, do=do, size=size, local=True)),
        note=NOTE,
    )


ROWS = [
    _row(do, title, name, size)
    for name, size in SIZES.items()
    for do, title in (
        ("create", "a file created, placed, opened, its capability signed"),
        ("stat", "a name looked up, with attributes"),
        ("unlink", "a file removed"),
    )
]
