# SPDX-License-Identifier: BSD-3-Clause
"""Look-ups of users through glibc."""

from __future__ import annotations

from functools import partial

from bench.model import Better, Row, Side
from bench.ours import names as ours
from bench.peers import names as peers

GOAL_US = 2.0
NOTE = (
    "One service in nsswitch.conf, everything warm, users at random, median of batches. Of each figure more than 1 us "
    "is glibc's own (it looks at nsswitch.conf, once for each database, and for nscd), on both sides."
)
SSSD = "The peer's CPU time holds the filling of its cache."


def _row(name: str, title: str, what: str, users: int, peer: Side, *, count: int = 200_000, note: str = NOTE) -> Row:
    return Row(
        name=f"names-{name}",
        title=title,
        unit="us",
        better=Better.LESS,
        bound=GOAL_US if what != "cold" else None,
        repetitions=5,
        work="look-up",
        ours=Side("libnss_xos", partial(ours.look_up, what=what, users=users, count=count)),
        peer=peer,
        note=note,
    )


def _files(what: str, users: int, count: int) -> Side:
    return Side("files", partial(peers.files, what=what, users=users, count=count), repetitions=3)


def _extrausers(what: str, users: int, count: int) -> Side:
    side = partial(peers.extrausers, what=what, users=users, count=count)
    return Side("extrausers", side, repetitions=3, needs="extrausers")


def _sssd(what: str, users: int, count: int) -> Side:
    side = partial(peers.sssd, what=what, users=users, count=count)
    return Side("sssd's mapped cache", side, repetitions=3, needs="sssd")


ROWS = [
    _row("mapped", "getpwnam, 1,000 users", "name", 1000, _sssd("name", 1000, 200_000), note=f"{NOTE} {SSSD}"),
    _row("100", "getpwnam, 100 users", "name", 100, _files("name", 100, 5000)),
    _row("10000", "getpwnam, 10,000 users", "name", 10_000, _extrausers("name", 10_000, 500)),
    _row("100000", "getpwnam, 100,000 users", "name", 100_000, _files("name", 100_000, 40)),
    _row("uid-10000", "getpwuid, 10,000 users", "uid", 10_000, _files("uid", 10_000, 300)),
    _row("uid-mapped", "getpwuid, 1,000 users", "uid", 1000, _sssd("uid", 1000, 200_000), note=f"{NOTE} {SSSD}"),
    _row("uid-100000", "getpwuid, 100,000 users", "uid", 100_000, _extrausers("uid", 100_000, 40)),
    _row("groups", "getgrouplist, 10,000 users", "groups", 10_000, _files("groups", 10_000, 60)),
    _row("unknown", "getpwnam of an unknown name, 100,000 users", "unknown", 100_000, _files("unknown", 100_000, 40)),
    _row(
        "cold", "first getpwnam of a process, 100,000 users", "cold", 100_000, _files("cold", 100_000, 20), count=300,
        note="Loading the library and mapping the table included.",
    ),
]  # fmt: skip
