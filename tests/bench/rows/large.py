# SPDX-License-Identifier: BSD-3-Clause
"""A VO with 10,000 members, 1,000 machines, 200 policies: what people wait for."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import large

NOTE = (
    "Also there: 500 requests, 10,000 acts, 30,000 usage records, 10,000 decisions and jobs. Browser, page and all "
    "services are one process. All of them, with median and p95: build/bench/large-*.json."
)
_WHAT = {
    "pages": ("the slowest listing page of VOLife, its machines silent", 300.0, 20),
    "calls": ("the slowest listing over DIXI, 1,000 rows where there are so many", None, 20),
    "decisions": ("a signed decision over DIXI", 2.0, 200),
}


def _row(kind: str, do: str) -> Row:
    title, bound, count = _WHAT[do]
    return Row(
        name=f"large-{kind}-{do}",
        title=f"a VO of 10,000 in {kind}: {title}",
        unit="ms",
        better=Better.LESS,
        bound=bound,
        repetitions=3,
        work="round",
        ours=Side("10,000 members", partial(large.slowest, do=do, kind=kind, count=count)),
        peer=Side("10 members, sqlite", partial(large.slowest, do=do, size="small", count=count)),
        note=NOTE if (kind, do) == ("sqlite", "pages") else "",
    )


ROWS = [_row(kind, do) for kind in ("sqlite", "postgresql") for do in _WHAT]
