# SPDX-License-Identifier: BSD-3-Clause
"""How replicas change: one step at a time, so that every majority of the next step has what this one's wrote. Pure.

Majorities of sets that differ by one have a member in common. So the primary of each step's term finds all that was
acknowledged, and it brings most replicas to its state before the next step is taken. A file also moves from one OSD to
another like this: a second replica, then without the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from xos.xtreemfs.api import Layout, Replica, ShareState, Update, Wish

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
    lost: frozenset[str] = frozenset()
    """Disks that are gone: what was placed on them is not there any more."""

    near: str = ""
    """A machine that a further replica is to be near to."""

    def leaves(self, replica: Replica) -> bool:
        """Whether a replica is to go."""
        return not (self.without.isdisjoint(replica.osds) and self.lost.isdisjoint(replica.stores))


def due(layout: Layout, leaving: frozenset[str], stores: Mapping[str, str] = MappingProxyType({})) -> Goal | None:
    """What the MRC does about a file by itself; None: nothing.

    Nothing is to be on the OSDs *leaving*. *stores*: which disk OSDs have now.
    """
    wish = layout.wish or Wish(len(layout.replicas), layout.update)
    without = leaving & {osd for replica in layout.replicas for osd in replica.osds}
    filled = all(replica.complete for replica in layout.replicas)
    placed = {pair for replica in layout.replicas for pair in zip(replica.osds, replica.stores, strict=False)}
    lost = frozenset(store for osd, store in placed if stores.get(osd, store) != store)
    if layout.wish is None and not without and not lost and filled:
        return None
    return Goal(wish.replicas, wish.update, without, lost)


class Stuck(NamedTuple):
    """Why there is no next step."""

    reason: str


def next_step(layout: Layout, goal: Goal, more: More) -> Layout | Stuck | None:
    """The next layout on the way, which says where it leads; None: it is reached."""
    step = _towards(layout, goal, more)
    if isinstance(step, Layout):
        reached = _towards(step, goal, more) is None
        return msgspec.structs.replace(step, wish=None if reached else Wish(goal.replicas, goal.update))
    if step is None and layout.wish is not None:
        return msgspec.structs.replace(layout, wish=None)
    return step


def _towards(layout: Layout, goal: Goal, more: More) -> Layout | Stuck | None:
    staying = [replica for replica in layout.replicas if not goal.leaves(replica)]
    update = _on_the_way(layout, goal, staying)
    if goal.update is Update.READ_ONLY is not layout.update:
        return _next(layout, _frozen(layout), goal.update, layout.primary)
    if layout.update is Update.READ_ONLY is not update and not all(replica.complete for replica in layout.replicas):
        # A primary may take over what any replica has.
        return _fewer(layout, [replica for replica in layout.replicas if replica.complete], Update.READ_ONLY)
    if len(staying) < goal.replicas:
        new = more(goal.without | {osd for replica in layout.replicas for osd in replica.osds})
        if new is None and staying and any(not goal.lost.isdisjoint(replica.stores) for replica in layout.replicas):
            return _fewer(layout, staying, update)  # so that its OSD, with another disk, may have one again
        if new is None:
            return Stuck("there are too few OSDs")
        new = msgspec.structs.replace(new, complete=update in WRITTEN)
        return _next(layout, (*layout.replicas, new), update, layout.primary)
    if len(layout.replicas) > goal.replicas or len(staying) < len(layout.replicas):
        return _fewer(layout, staying, update)
    if layout.update is not goal.update:
        return _next(layout, layout.replicas, goal.update, layout.primary)
    return None


def _frozen(layout: Layout) -> tuple[Replica, ...]:
    """The replicas of what was written to: only most are like the primary; the others are, once they were compared."""
    return tuple(msgspec.structs.replace(one, complete=at == layout.primary) for at, one in enumerate(layout.replicas))


def completed(layout: Layout, osds: frozenset[str]) -> Layout:
    """The same, where replicas on *osds* have everything."""
    replicas = tuple(
        msgspec.structs.replace(one, complete=one.complete or osds >= set(one.osds)) for one in layout.replicas
    )
    return msgspec.structs.replace(layout, replicas=replicas)


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
    leaving = leaving or [replica for replica in layout.replicas if not replica.complete]
    gone = leaving[0] if leaving else [replica for replica in layout.replicas if replica != primary][-1]
    left = tuple(replica for replica in layout.replicas if replica != gone)
    if not any(replica.complete for replica in left):
        return Stuck("no other replica is complete")
    at = left.index(primary) if primary in left else next(at for at, one in enumerate(left) if one.complete)
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
        left = _next(layout, tuple(alive), layout.update, alive.index(best))
        return msgspec.structs.replace(left, wish=layout.wish or Wish(len(layout.replicas), layout.update))
    if len(alive) * 2 <= len(layout.replicas):
        return None
    if dead not in primary.osds:
        return layout
    return msgspec.structs.replace(layout, primary=layout.replicas.index(best), term=layout.term + 1)


def without_lost(layout: Layout, goal: Goal, states: Mapping[str, ShareState]) -> Layout | None:
    """The other one of two replicas, when one is to go and does not answer; None: it may lack something.

    Of two, both have what was acknowledged in this term, if both were in it. Before the first term that was heard of
    anywhere, nothing was.
    """
    lost = [replica for replica in layout.replicas if goal.leaves(replica) and not set(replica.osds) & set(states)]
    if len(layout.replicas) != 2 or len(lost) != 1 or layout.update not in WRITTEN:
        return None
    (left,) = (replica for replica in layout.replicas if replica not in lost)
    terms = {states[osd].term if osd in states else None for osd in left.osds}
    fresh = layout.version == 0 and layout.term == 1 and None not in terms
    if terms != {layout.term} and not fresh:
        return None
    return msgspec.structs.replace(_next(layout, (left,), layout.update, 0), wish=layout.wish or Wish(2, layout.update))
