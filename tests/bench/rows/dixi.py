# SPDX-License-Identifier: BSD-3-Clause
"""DIXI calls beside gRPC's."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import dixi
from bench.peers import grpc_aio

ROWS = [
    Row(
        name=f"dixi-{in_flight}",
        title=f"unary call, mutual TLS 1.3, 128 bytes, {in_flight} in flight",
        unit="calls/s",
        better=Better.MORE,
        goal=8.0,
        ours=Side("DIXI", partial(dixi.calls, in_flight=in_flight)),
        peer=Side("grpc.aio", partial(grpc_aio.calls, in_flight=in_flight), needs="grpc"),
        note="One server and one client process each; both in Python; gRPC carries plain bytes, no protobuf.",
    )
    for in_flight in (64, 1)
]
