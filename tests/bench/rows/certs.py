# SPDX-License-Identifier: BSD-3-Clause
"""Certificates issued per second."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import certs
from bench.peers import bare, myproxy

ROWS = [
    Row(
        name="certs",
        title="XOS-Certificates renewed by the CDA through DIXI, its daemon held to one core",
        unit="certs/s",
        better=Better.MORE,
        bound=500.0,
        work="certificate",
        ours=Side("CDA, renewal", partial(certs.issue, by="certificate", in_flight=16, count=500)),
        peer=Side("bare cryptography", partial(bare.issue, by="certificate", count=1000)),
        note="The peer is a bound, not a rival: it parses, checks and signs on one core, with no network, no caller "
        "to verify, and nothing kept on disk for revocation.",
    ),
    Row(
        name="certs-myproxy",
        title="the same beside MyProxy, its server held to one core",
        unit="certs/s",
        better=Better.MORE,
        repetitions=3,
        work="certificate",
        ours=Side("CDA, renewal", partial(certs.issue, by="certificate", in_flight=16, count=500)),
        peer=Side("myproxy-logon", partial(myproxy.issue, count=20)),
        note="Each myproxy-logon is a process that makes an RSA key, as its users have it; our client keeps its "
        "connection and its keys are ECDSA, as ours have it. A certificate is shown in both, no password.",
    ),
    Row(
        name="certs-password",
        title="the same by password",
        unit="certs/s",
        better=Better.MORE,
        repetitions=3,
        work="certificate",
        ours=Side("CDA, password", partial(certs.issue, by="password", in_flight=2, count=20)),
        peer=Side("bare argon2id", partial(bare.issue, by="password", count=20)),
        note="argon2id takes nearly all of it, on purpose, on both sides at the same cost; so there is no goal.",
    ),
]
