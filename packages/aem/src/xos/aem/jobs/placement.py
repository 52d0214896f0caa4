# SPDX-License-Identifier: BSD-3-Clause
"""Which waiting jobs go to which nodes now, and why the others wait: pure functions over frozen values.

The order is first come, first served over all users. A job takes one free slot on each of as many *different* nodes
as it has units, or nothing. While the oldest job does not fit, younger ones that fit may overtake it (backfill); we
know no run times, so that could go on for ever for a wide job. Therefore the oldest job that cannot start, though
the nodes that are up could hold it, *claims* once it has waited for `patience` seconds: each slot that comes free on
a node it can use is kept for it, one per node, until it has as many as it needs. Only that one job claims, so at
most (its units - 1) slots stand idle, two wide jobs never hold slots against each other, and it starts at the
latest when each of its nodes has ended one unit. Every job becomes the oldest one day: none starves.

The cost of `plan` is that of the jobs it places plus one look at each distinct `Shape`, however many jobs wait.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import msgspec

from xos.aem.api import Needs, Resource

NAMED = 4
"""Up to that many nodes are named one by one in a reason; more are counted by what is wrong with them."""


class Shape(msgspec.Struct, frozen=True):
    """What a job asks for; jobs of one shape fit or do not fit together."""

    needs: Needs
    """Of each unit."""
    count: int
    """Units, each on a node of its own."""


class Waiting(msgspec.Struct, frozen=True):
    """A job in the queue."""

    job_id: str
    sequence: int
    """Order of arrival."""
    since: float
    """When it began to wait, in seconds of the clock that `plan` is given."""


class NodeView(msgspec.Struct, frozen=True):
    """A resource node as the scheduler sees it."""

    resource: Resource
    used: int = 0
    """Slots in use or held for units on their way, as far as this Job Manager knows."""
    closed: str = ""
    """Why it gets no work now (``is away``); empty: it does."""

    @property
    def free(self) -> int:
        """Slots that may be given away now."""
        return 0 if self.closed else max(self.resource.slots - self.used, 0)


class Claim(msgspec.Struct, frozen=True):
    """Free slots kept for a job that has waited too long for several at once."""

    job_id: str
    count: int
    nodes: frozenset[str]


class Plan(msgspec.Struct, frozen=True):
    """What `plan` decided."""

    placed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Job and a node for each of its units, in the order of arrival."""
    claim: Claim | None = None


class Queue:
    """The waiting jobs, grouped by shape, each group in the order of arrival."""

    def __init__(self) -> None:
        self.groups: dict[Shape, OrderedDict[str, Waiting]] = {}
        self._shapes: dict[str, Shape] = {}

    def __len__(self) -> int:
        return len(self._shapes)

    def add(self, shape: Shape, job: Waiting) -> None:
        """Append a job; one that is older than the group's first (it was taken out and comes back) goes in front."""
        group = self.groups.setdefault(shape, OrderedDict())
        first = next(iter(group.values()), None)
        group[job.job_id] = job
        self._shapes[job.job_id] = shape
        if first is not None and job.sequence < first.sequence:
            group.move_to_end(job.job_id, last=False)

    def remove(self, job_id: str) -> None:
        """Take a job out; one that does not wait is no error."""
        shape = self._shapes.pop(job_id, None)
        if shape is not None:
            group = self.groups[shape]
            del group[job_id]
            if not group:
                del self.groups[shape]

    def shape_of(self, job_id: str) -> Shape | None:
        """The shape of a waiting job."""
        return self._shapes.get(job_id)


def fits(resource: Resource, needs: Needs) -> bool:
    """Whether the node, were it empty, could run the unit."""
    return (
        resource.cores >= needs.cores
        and resource.memory >= needs.memory
        and (not needs.architecture or needs.architecture == resource.architecture)
        and (not needs.hosts or resource.node in needs.hosts)
    )


def plan(
    groups: Mapping[Shape, Mapping[str, Waiting]], nodes: Mapping[str, NodeView], *, now: float, patience: float
) -> Plan:
    """Place what can be placed; *groups* and *nodes* are only read."""
    free = {name: view.free for name, view in nodes.items() if view.free > 0}
    if not free or not groups:
        return Plan()
    queues: list[tuple[int, Shape, Waiting, Iterator[Waiting]]] = []
    for shape, group in groups.items():
        rest = iter(group.values())
        job = next(rest)
        queues.append((job.sequence, shape, job, rest))
    heads = [(entry[0], number) for number, entry in enumerate(queues)]
    heapq.heapify(heads)
    ranks: dict[Needs, list[tuple[int, str]]] = {}
    placed: list[tuple[str, tuple[str, ...]]] = []
    claim: Claim | None = None
    oldest_known = False
    while heads and free:
        _, number = heapq.heappop(heads)
        _, shape, job, rest = queues[number]
        rank = ranks.get(shape.needs)
        if rank is None:
            rank = ranks[shape.needs] = _ranked(free, nodes, shape.needs)
        chosen = _pick(rank, free, shape.count)
        if len(chosen) == shape.count:
            _take(free, chosen)
            placed.append((job.job_id, chosen))
            following = next(rest, None)
            if following is not None:
                queues[number] = (following.sequence, shape, following, rest)
                heapq.heappush(heads, (following.sequence, number))
        elif not oldest_known and _possible(nodes, shape):
            oldest_known = True
            if now - job.since >= patience:
                _take(free, chosen)
                claim = Claim(job.job_id, shape.count, frozenset(chosen))
    return Plan(tuple(placed), claim)


def _ranked(free: Mapping[str, int], nodes: Mapping[str, NodeView], needs: Needs) -> list[tuple[int, str]]:
    """A heap of the nodes that fit, the emptiest first."""
    rank = [(-count, name) for name, count in free.items() if fits(nodes[name].resource, needs)]
    heapq.heapify(rank)
    return rank


def _pick(rank: list[tuple[int, str]], free: Mapping[str, int], count: int) -> tuple[str, ...]:
    """Up to *count* different nodes, the emptiest first; *rank* is brought up to date on the way."""
    chosen: list[tuple[int, str]] = []
    while rank and len(chosen) < count:
        said, name = heapq.heappop(rank)
        now = -free.get(name, 0)
        if now == said:
            chosen.append((said, name))
        elif now < 0:
            heapq.heappush(rank, (now, name))
    for entry in chosen:
        heapq.heappush(rank, entry)
    return tuple(name for _, name in chosen)


def _take(free: dict[str, int], chosen: tuple[str, ...]) -> None:
    for name in chosen:
        free[name] -= 1
        if not free[name]:
            del free[name]


def _possible(nodes: Mapping[str, NodeView], shape: Shape) -> bool:
    """Whether the nodes that are up now could run the job if they were empty."""
    count = 0
    for view in nodes.values():
        if not view.closed and view.resource.slots > 0 and fits(view.resource, shape.needs):
            count += 1
            if count == shape.count:
                return True
    return False


# --- why a job waits -------------------------------------------------------------------------------------------------


def explain(shape: Shape, nodes: Mapping[str, NodeView], *, waiting: int, claim: Claim | None = None) -> str:
    """One sentence with numbers: what the job needs and what each node lacks. *waiting* counts all waiting jobs."""
    wants = f"needs {_counted(shape.count, 'node')} with {_wanted(shape.needs)}"
    if not nodes:
        return f"{wants}; no node is known"
    known = f"{_counted(len(nodes), 'node')} {'is' if len(nodes) == 1 else 'are'} known"
    lacks = [_lack(view, shape.needs, claim) for _, view in sorted(nodes.items())]
    if len(lacks) <= NAMED:
        listed = ", ".join(text for _, text in lacks)
    else:
        counts: dict[str, int] = {}
        for kind, _ in lacks:
            counts[kind] = counts.get(kind, 0) + 1
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))
    others = f"; {_counted(waiting - 1, 'other job')} {'waits' if waiting == 2 else 'wait'} too" if waiting > 1 else ""
    return f"{wants}; {known}: {listed}{others}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wanted(needs: Needs) -> str:
    wanted = [_counted(needs.cores, "core")]
    if needs.memory:
        wanted.append(f"{_size(needs.memory)} of memory")
    if needs.architecture:
        wanted.append(f"architecture {needs.architecture}")
    if needs.hosts:
        shown = ", ".join(needs.hosts[:NAMED]) + (", …" if len(needs.hosts) > NAMED else "")
        wanted.append(f"the name {shown}" if len(needs.hosts) == 1 else f"a name among {shown}")
    return " and ".join(wanted) if len(wanted) < 3 else ", ".join(wanted[:-1]) + " and " + wanted[-1]


def _lack(view: NodeView, needs: Needs, claim: Claim | None) -> tuple[str, str]:
    """What is wrong with one node for that unit: in a word or two for counting, and with its name."""
    node = view.resource
    if needs.hosts and node.node not in needs.hosts:
        return "not asked for", f"{node.node} is not asked for"
    if view.closed:
        return view.closed, f"{node.node} {view.closed}"
    if needs.architecture and needs.architecture != node.architecture:
        return f"of architecture {node.architecture}", f"{node.node} is {node.architecture}"
    if node.cores < needs.cores:
        return f"with fewer than {needs.cores} cores", f"{node.node} has {_counted(node.cores, 'core')}"
    if node.memory < needs.memory:
        return f"with less than {_size(needs.memory)} of memory", f"{node.node} has {_size(node.memory)} of memory"
    if view.free == 0:
        return "full", f"{node.node} full ({min(view.used, node.slots)}/{node.slots} slots used)"
    if claim is not None and node.node in claim.nodes and view.free == 1:
        kept = f"kept for {claim.job_id}, which waits for {claim.count} nodes"
        return kept, f"{node.node} has a free slot {kept}"
    return "free", f"{node.node} is free"


def _size(number: int) -> str:
    """Bytes for people."""
    scale = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    value, unit = float(number), 0
    while value >= 1024 and unit < len(scale) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.4g} {scale[unit]}"
