# SPDX-License-Identifier: BSD-3-Clause
"""Logging in: SSH and PAM."""

from __future__ import annotations

from bench.model import Better, Row, Side
from bench.ours import login as ours
from bench.peers import login as peers

ROWS = [
    Row(
        name="login-ssh",
        title="ssh HOST true, one after another",
        unit="ms",
        better=Better.LESS,
        goal=1 / 1.05,
        work="login",
        ours=Side("XOS-Certificate", ours.ssh),
        peer=Side("user certificate", peers.ssh),
        note="Both by a certificate of the same CA; ours maps the account, checks revocation and policy twice, keeps a "
        "record, and puts the credential into the keyring.",
    ),
    Row(
        name="login-pam",
        title="account, session opened and closed, by pamtester",
        unit="ms",
        better=Better.LESS,
        work="session",
        ours=Side("pam_xos", ours.pam),
        peer=Side("pam_permit", peers.permit),
        note="The start of the process is in both. Goal: at most 2 ms more than pam_permit.",
    ),
]
