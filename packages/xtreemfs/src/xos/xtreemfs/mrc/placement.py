# SPDX-License-Identifier: BSD-3-Clause
"""Which OSDs get a new file: filters and orders by name, one after the other (the original's selection policies). Pure.

A further policy is a function here under its name in `POLICIES`. ``NAME:ARGUMENT`` hands it an argument:
``attribute:site=rennes`` keeps those that say so, ``prefer:site=rennes`` puts them first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from xos.xtreemfs.api import STORE, Layout, Policy, Replica, ServiceRecord, Status, Update
from xos.xtreemfs.mrc.distance import distance
from xos.xtreemfs.striping import Striping

LEAST_FREE = 1 << 30
"""Bytes without which an OSD gets no new file (unless it is a small one, of which a tenth is free)."""
MOST_REPLICAS = 32
MOST_POLICY = 4096
"""Bytes of an encoded policy."""

Osds = Sequence[ServiceRecord]


class Asked(NamedTuple):
    """What a choice depends on besides the OSDs."""

    rng: random.Random
    client: ServiceRecord | None = None
    """The machine that the file is for, as its OSD says; None: it has none."""


Select = Callable[[Osds, str, Asked], Osds]


def usable(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001 -- all policies are called alike
    """Those that are heard and wanted."""
    return [osd for osd in osds if osd.status is Status.ONLINE and not osd.suspect]


def free_space(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """Those with room."""
    return [osd for osd in osds if osd.free >= min(LEAST_FREE, osd.total // 10)]


def emptiest(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """The most free bytes first."""
    return sorted(osds, key=lambda osd: -osd.free)


def idlest(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """The least load first."""
    return sorted(osds, key=lambda osd: osd.load)


def shuffled(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """By chance, but the more free bytes the likelier: so that all fill up at the same time."""
    return sorted(osds, key=lambda osd: asked.rng.expovariate(max(1, osd.free)))


def near(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """The nearest to the machine that the file is made on first: itself, those of its site, then by coordinates."""
    client = asked.client
    return osds if client is None else sorted(osds, key=lambda osd: distance(client, osd))


def attribute(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """Those that have the attribute ``name=value``."""
    return [osd for osd in osds if _has(osd, argument)]


def prefer(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """Those that have the attribute ``name=value`` first."""
    return sorted(osds, key=lambda osd: not _has(osd, argument))


def spread(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """One of each value of the attribute, then the second ones, …: replicas in different sites."""
    seen: dict[str, int] = {}
    rounds = []
    for osd in osds:
        value = dict(osd.attributes).get(argument, "")
        rounds.append((seen.get(value, 0), osd))
        seen[value] = seen.get(value, 0) + 1
    return [osd for _, osd in sorted(rounds, key=lambda pair: pair[0])]


def names(osds: Osds, argument: str, asked: Asked) -> Osds:  # noqa: ARG001
    """Those named, in that order: ``names:node1+node2``."""
    by_name = {osd.node: osd for osd in osds}
    return [by_name[name] for name in argument.split("+") if name in by_name]


POLICIES: Mapping[str, Select] = MappingProxyType(
    {
        "usable": usable,
        "free-space": free_space,
        "emptiest": emptiest,
        "idlest": idlest,
        "random": shuffled,
        "near": near,
        "attribute": attribute,
        "prefer": prefer,
        "spread": spread,
        "names": names,
    }
)


def _has(osd: ServiceRecord, argument: str) -> bool:
    name, _, value = argument.partition("=")
    return dict(osd.attributes).get(name) == value


def may_hold(osd: ServiceRecord, owner: str) -> bool:
    """Whether files of *owner* may be on an OSD: one whose machine belongs to certain VOs holds their users' only.

    What belongs to accounts of a machine (``root@node1``) is of no VO and may be on any.
    """
    vos = dict(osd.attributes).get("vos", "")
    user, _, vo = owner.rpartition("@")
    return not vos or vo in vos.split(",") or user == "root" or user.startswith("uid.")


def is_known(policies: Sequence[str]) -> bool:
    """Whether all have names that we know."""
    return all(policy.partition(":")[0] in POLICIES for policy in policies)


def select(osds: Osds, policies: Sequence[str], asked: Asked) -> Osds:
    """What the policies leave of *osds*, in their order."""
    for policy in policies:
        name, _, argument = policy.partition(":")
        osds = POLICIES[name](osds, argument, asked)
    return osds


def rows(osds: Osds, striping: Striping, count: int) -> tuple[Replica, ...] | None:
    """So many replicas on OSDs of their own; None: there are too few OSDs for even one stripe of each.

    A file is striped over as many OSDs as there are if they are fewer than wished.
    """
    width = min(striping.width, len(osds) // count) if count else 0
    if width < 1:
        return None
    return tuple(replica_on(osds[at * width : (at + 1) * width]) for at in range(count))


def store_of(osd: ServiceRecord) -> str:
    """The id of an OSD's disk; empty: it does not say."""
    return dict(osd.attributes).get(STORE, "")


def replica_on(osds: Osds) -> Replica:
    """A replica on these OSDs as they are now."""
    stores = tuple(map(store_of, osds))
    return Replica(tuple(osd.node for osd in osds), stores=stores if all(stores) else ())


def place(osds: Osds, policy: Policy, asked: Asked) -> Layout | None:
    """Where a new file goes; None: nowhere."""
    count = 1 if policy.update is Update.NONE else policy.replicas
    chosen = rows(select(osds, policy.osd_selection, asked), policy.striping, count)
    if chosen is None:
        return None
    striping = Striping(policy.striping.size, len(chosen[0].osds))
    term = 1 if policy.update in (Update.QUORUM, Update.ALL) else 0
    return Layout(striping, chosen, policy.update, term=term)
