# SPDX-License-Identifier: BSD-3-Clause
"""How replicas change: one step at a time, so that every majority of the next step has what this one's wrote. Pure.

Majorities of sets that differ by one have a member in common. So the primary of each step's term finds all that was
acknowledged, and it brings most replicas to its state before the next step is taken. A file also moves from one OSD to
another like this: a second replica, then without the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from xos.xtreemfs.api import Layout, Replica, ShareState, Update

WRITTEN = frozenset({Update.QUORUM, Update.ALL})
"""Replicas that a primary keeps the same."""

More = Callable[[frozenset[str]], Replica | None]
"""A replica on OSDs that are none of these."""


class Goal(NamedTuple):
    """What is wished of a file."""

    replicas: int
    update: Update
    without: frozenset[str] = frozenset()
    """OSDs on which nothing is to be."""


class Stuck(NamedTuple):
    """Why there is no next step."""

    reason: str


def next_step(layout: Layout, goal: Goal, more: More) -> Layout | Stuck | None:
    """The next layout on the way; None: it is reached."""
    staying = [replica for replica in layout.replicas if not goal.without & set(replica.osds)]
    update = _on_the_way(layout, goal, staying)
    if len(staying) < goal.replicas:
        new = more(goal.without | {osd for replica in layout.replicas for osd in replica.osds})
        if new is None:
            return Stuck("there are too few OSDs")
        new = Replica(new.osds, complete=update in WRITTEN)
        return _next(layout, (*layout.replicas, new), update, layout.primary)
    if len(layout.replicas) > goal.replicas or len(staying) < len(layout.replicas):
        return _fewer(layout, staying, update)
    if layout.update is not goal.update:
        return _next(layout, layout.replicas, goal.update, layout.primary)
    return None


def _on_the_way(layout: Layout, goal: Goal, staying: list[Replica]) -> Update:
    """How replicas are kept the same meanwhile."""
    moves = len(staying) < goal.replicas or len(staying) < len(layout.replicas)
    if goal.update is not Update.NONE:
        return goal.update
    if layout.update is not Update.NONE:
        return layout.update
    return Update.QUORUM if moves else Update.NONE


def _fewer(layout: Layout, staying: list[Replica], update: Update) -> Layout | Stuck:
    """Without one: on an OSD that it is to leave, else the last that is not the primary."""
    primary = layout.replicas[layout.primary]
    leaving = [replica for replica in layout.replicas if replica not in staying]
    gone = leaving[0] if leaving else [replica for replica in layout.replicas if replica != primary][-1]
    left = tuple(replica for replica in layout.replicas if replica != gone)
    if not any(replica.complete for replica in left):
        return Stuck("no other replica is complete")
    at = left.index(primary) if primary in left else 0
    return _next(layout, left, update, at)


def _next(layout: Layout, replicas: tuple[Replica, ...], update: Update, primary: int) -> Layout:
    term = layout.term + (update in WRITTEN)
    return msgspec.structs.replace(
        layout, replicas=replicas, update=update, primary=primary, version=layout.version + 1, term=term
    )


def is_settled(layout: Layout, states: Mapping[str, ShareState]) -> bool:
    """Whether most replicas of each share are as this term's primary: a majority of the next step has one of them."""
    rows = zip(*(replica.osds for replica in layout.replicas), strict=True)
    return all(2 * sum(osd in states and states[osd].term == layout.term for osd in row) > len(row) for row in rows)


def without_dead(layout: Layout, dead: str, states: Mapping[str, ShareState]) -> Layout | None:
    """Who takes over from an OSD that does not answer; None: nobody can.

    *states*: what the OSDs that answer have. The next primary is the one with the newest; it asks a majority itself for
    what it lacks. Of `Update.ALL`, all have all that was acknowledged, so what does not answer is left out.
    """
    primary = layout.replicas[layout.primary]
    alive = [replica for replica in layout.replicas if dead not in replica.osds and set(replica.osds) <= set(states)]
    if not alive or layout.update not in WRITTEN:
        return None
    best = max(alive, key=lambda replica: [(states[osd].term, states[osd].version) for osd in replica.osds])
    if layout.update is Update.ALL:
        return _next(layout, tuple(alive), layout.update, alive.index(best))
    if len(alive) * 2 <= len(layout.replicas):
        return None
    if dead not in primary.osds:
        return layout
    return msgspec.structs.replace(layout, primary=layout.replicas.index(best), term=layout.term + 1)
