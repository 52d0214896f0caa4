# SPDX-License-Identifier: BSD-3-Clause
"""Decisions by policies; usage and audit records kept."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import policy as ours
from bench.peers import policy as peers

_BARE = Side("cedarpy alone", partial(peers.each, do="decide", count=2000))

ROWS = [
    Row(
        name="policy-engine",
        title="decisions in process, 200 rules",
        unit="decisions/s",
        better=Better.MORE,
        work="decision",
        ours=Side("xos.common.policy", partial(ours.each, do="engine", count=2000)),
        peer=_BARE,
        note="The peer is a bound, not a rival: its request and entities are text that was made before.",
    ),
    Row(
        name="policy-vops",
        title="one signed decision of VOPS through DIXI, 200 rules, one at a time",
        unit="ms",
        better=Better.LESS,
        bound=2.0,
        work="decision",
        ours=Side("VOPS", partial(ours.each, do="decide", count=500, in_ms=True)),
        peer=Side("cedarpy alone", partial(peers.each, do="decide", count=2000, in_ms=True)),
        note="In ours: the call over TLS, the user's certificate, user and node looked up, usage, and the signature.",
    ),
    Row(
        name="policy-vops-16",
        title="the same, 16 at a time",
        unit="decisions/s",
        better=Better.MORE,
        work="decision",
        ours=Side("VOPS", partial(ours.each, do="decide", count=1000, in_flight=16)),
        peer=_BARE,
    ),
    Row(
        name="usage-records",
        title="usage records acknowledged, each handed in alone, 64 at a time",
        unit="records/s",
        better=Better.MORE,
        work="record",
        ours=Side("Accounting", partial(ours.each, do="record", count=2000, in_flight=64)),
        peer=Side("sqlite3, a commit each", partial(peers.each, do="record", count=1000)),
        note="In ours: the call, the node's signature made and verified, chain, index and sums; records that come "
        "together share a commit.",
    ),
    Row(
        name="audit-records",
        title="administrative acts acknowledged, each with its audit record, 64 at a time",
        unit="records/s",
        better=Better.MORE,
        work="record",
        ours=Side("XVOMS", partial(ours.each, do="act", count=1000, in_flight=64)),
        peer=Side("sqlite3, a commit each", partial(peers.each, do="record", count=1000)),
        note="In ours: the call, the caller's right, the change of a group, and the act in the chain; acts that come "
        "together share a commit.",
    ),
]
