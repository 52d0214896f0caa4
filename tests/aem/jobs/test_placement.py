# SPDX-License-Identifier: BSD-3-Clause
"""Placement as tables, and what holds for any queue on any nodes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.aem.api import Needs, Resource
from xos.aem.jobs.placement import Claim, NodeView, Plan, Queue, Shape, Waiting, explain, fits, plan

GIB = 2**30


def node(name: str, *, slots: int = 2, used: int = 0, cores: int = 4, closed: str = "", **more: object) -> NodeView:
    fields = {"architecture": "x86_64", "memory": 8 * GIB, **more}
    resource = Resource(name, cores=cores, slots=slots, slots_free=slots, **fields)  # type: ignore[arg-type]
    return NodeView(resource, used, closed)


def nodes(*views: NodeView) -> dict[str, NodeView]:
    return {view.resource.node: view for view in views}


def queue(*jobs: tuple[str, int] | tuple[str, int, Needs], since: float = 0.0) -> Queue:
    waiting = Queue()
    for number, (job_id, count, *needs) in enumerate(jobs):
        waiting.add(Shape(needs[0] if needs else Needs(), count), Waiting(job_id, number, since))
    return waiting


def decide(waiting: Queue, views: dict[str, NodeView], *, now: float = 1.0, patience: float = 10.0) -> Plan:
    return plan(waiting.groups, views, now=now, patience=patience)


def test_units_of_a_job_go_to_different_nodes() -> None:
    decided = decide(queue(("a", 2)), nodes(node("n1"), node("n2")))
    assert decided.placed == (("a", ("n1", "n2")),)


def test_the_emptiest_nodes_come_first() -> None:
    decided = decide(queue(("a", 1), ("b", 1)), nodes(node("n1", used=1), node("n2"), node("n3", slots=4)))
    assert decided.placed == (("a", ("n3",)), ("b", ("n3",)))


def test_jobs_start_in_the_order_of_arrival_whatever_their_shape() -> None:
    waiting = queue(("a", 1, Needs(cores=2)), ("b", 1), ("c", 1, Needs(cores=2)), ("d", 1))
    decided = decide(waiting, nodes(node("n1", slots=3)))
    assert [job_id for job_id, _ in decided.placed] == ["a", "b", "c"]


def test_small_jobs_overtake_a_wide_one_while_it_is_patient() -> None:
    waiting = queue(("wide", 2), ("small", 1))
    decided = decide(waiting, nodes(node("n1"), node("n2", used=2)), now=5.0)
    assert decided == Plan((("small", ("n1",)),), None)


def test_a_wide_job_that_has_waited_long_keeps_a_slot_on_each_node_it_can_use() -> None:
    waiting = queue(("wide", 2), ("small", 1), ("tiny", 1))
    decided = decide(waiting, nodes(node("n1", slots=2), node("n2", used=2)), now=10.0)
    assert decided.placed == (("small", ("n1",)),)
    assert decided.claim == Claim("wide", 2, frozenset({"n1"}))


def test_a_job_that_no_known_nodes_could_hold_keeps_nothing() -> None:
    waiting = queue(("impossible", 3), ("wide", 2), ("small", 1))
    decided = decide(waiting, nodes(node("n1", slots=1), node("n2", slots=1, used=1)), now=99.0)
    assert decided.placed == ()
    assert decided.claim == Claim("wide", 2, frozenset({"n1"}))


def test_only_the_oldest_claims() -> None:
    waiting = queue(("first", 2), ("second", 3))
    decided = decide(waiting, nodes(node("n1"), node("n2", used=2), node("n3", used=2)), now=99.0)
    assert decided.claim == Claim("first", 2, frozenset({"n1"}))


def test_closed_nodes_get_nothing() -> None:
    assert decide(queue(("a", 1)), nodes(node("n1", closed="is away"))) == Plan()


def test_a_job_that_comes_back_keeps_its_place() -> None:
    waiting = queue(("a", 1), ("b", 1))
    waiting.remove("a")
    waiting.add(Shape(Needs(), 1), Waiting("a", 0, 0.0))
    assert [job_id for job_id, _ in decide(waiting, nodes(node("n1"))).placed] == ["a", "b"]
    waiting.remove("a")
    waiting.remove("b")
    waiting.remove("b")
    assert (len(waiting), waiting.groups, waiting.shape_of("a")) == (0, {}, None)


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (Needs(), True),
        (Needs(cores=4), True),
        (Needs(cores=5), False),
        (Needs(memory=8 * GIB), True),
        (Needs(memory=8 * GIB + 1), False),
        (Needs(architecture="x86_64"), True),
        (Needs(architecture="aarch64"), False),
        (Needs(hosts=("n2", "n1")), True),
        (Needs(hosts=("n2",)), False),
    ],
)
def test_a_unit_fits_where_all_its_needs_are_met(needs: Needs, expected: bool) -> None:
    assert fits(node("n1").resource, needs) is expected


@pytest.mark.parametrize(
    ("shape", "views", "reason"),
    [
        (Shape(Needs(), 1), (), "needs 1 node with 1 core; no node is known"),
        (
            Shape(Needs(cores=2), 3),
            (node("node1", used=2), node("node2", cores=1)),
            "needs 3 nodes with 2 cores; 2 nodes are known: node1 full (2/2 slots used), node2 has 1 core",
        ),
        (
            Shape(Needs(memory=16 * GIB, architecture="aarch64"), 1),
            (node("node1"),),
            "needs 1 node with 1 core, 16 GiB of memory and architecture aarch64; 1 node is known: node1 is x86_64",
        ),
        (
            Shape(Needs(memory=9 * GIB), 1),
            (node("node1"), node("node2", closed="is away")),
            "needs 1 node with 1 core and 9 GiB of memory; 2 nodes are known: node1 has 8 GiB of memory, node2 is away",
        ),
        (
            Shape(Needs(hosts=("node9",)), 1),
            (node("node1"),),
            "needs 1 node with 1 core and the name node9; 1 node is known: node1 is not asked for",
        ),
        (
            Shape(Needs(), 2),
            (*(node(f"node{number}", used=2) for number in range(7)), node("node9")),
            "needs 2 nodes with 1 core; 8 nodes are known: 7 full, 1 free",
        ),
    ],
)
def test_a_reason_names_what_is_needed_and_what_each_node_lacks(
    shape: Shape, views: tuple[NodeView, ...], reason: str
) -> None:
    assert explain(shape, nodes(*views), waiting=1) == reason


def test_a_reason_tells_of_slots_that_are_kept_and_of_others_who_wait() -> None:
    claim = Claim("demo-x", 2, frozenset({"node1"}))
    assert explain(Shape(Needs(), 1), nodes(node("node1", used=1)), waiting=3, claim=claim) == (
        "needs 1 node with 1 core; 1 node is known: node1 has a free slot kept for demo-x, which waits for 2 nodes"
        "; 2 other jobs wait too"
    )


shapes = st.builds(
    Shape,
    st.builds(Needs, st.integers(1, 3), st.just(0), st.just(""), st.sampled_from([(), ("n0",), ("n1", "n2")])),
    st.integers(1, 4),
)
views = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.sampled_from(["", "", "is away"])),
    max_size=5,
)
Drawn = list[tuple[int, int, int, str]]


def drawn_nodes(drawn: Drawn) -> dict[str, NodeView]:
    return nodes(
        *(
            node(f"n{number}", slots=slots, used=used, cores=cores, closed=closed)
            for number, (slots, used, cores, closed) in enumerate(drawn)
        )
    )


@given(st.lists(shapes, max_size=12), views, st.sampled_from([0.0, 100.0]))
def test_any_plan_is_sound_and_gives_away_no_slot_twice(asked: list[Shape], drawn: Drawn, patience: float) -> None:
    known = drawn_nodes(drawn)
    waiting = Queue()
    for number, shape in enumerate(asked):
        waiting.add(shape, Waiting(f"j{number}", number, 0.0))
    decided = plan(waiting.groups, known, now=50.0, patience=patience)
    free = {name: view.free for name, view in known.items()}
    for job_id, chosen in decided.placed:
        shape = asked[int(job_id[1:])]
        assert len(chosen) == shape.count == len(set(chosen))
        for name in chosen:
            assert fits(known[name].resource, shape.needs)
            free[name] -= 1
    if decided.claim is not None:
        for name in decided.claim.nodes:
            free[name] -= 1
        assert len(decided.claim.nodes) < decided.claim.count
    assert all(count >= 0 for count in free.values())
    placed = {job_id for job_id, _ in decided.placed}
    for number, shape in enumerate(asked):
        if f"j{number}" not in placed:  # nothing that still fits is left waiting
            usable = [name for name, count in free.items() if count > 0 and fits(known[name].resource, shape.needs)]
            assert len(usable) < shape.count
        assert explain(shape, known, waiting=len(asked), claim=decided.claim)


@given(st.lists(shapes, min_size=1, max_size=8), views, st.integers(0, 7))
def test_no_job_that_fits_the_grid_starves_however_many_come_after_it(
    asked: list[Shape], drawn: Drawn, seed: int
) -> None:
    """Units end one at a time while new small jobs keep coming; every possible job starts in bounded time."""
    known = {name: NodeView(view.resource, 0, view.closed) for name, view in drawn_nodes(drawn).items()}
    usable = {name for name, view in known.items() if not view.closed and view.resource.slots}
    waiting = Queue()
    possible = set()
    for number, shape in enumerate(asked):
        waiting.add(shape, Waiting(f"j{number}", number, 0.0))
        if sum(fits(known[name].resource, shape.needs) for name in usable) >= shape.count:
            possible.add(f"j{number}")
    busy: list[str] = []
    for tick in range(400):
        waiting.add(Shape(Needs(), 1), Waiting(f"late{tick}", 100 + tick, float(tick)))
        views_now = {name: NodeView(view.resource, busy.count(name), view.closed) for name, view in known.items()}
        for job_id, chosen in plan(waiting.groups, views_now, now=float(tick), patience=5.0).placed:
            waiting.remove(job_id)
            busy.extend(chosen)
        if busy:
            busy.pop((seed + tick) % len(busy) if tick % 2 else 0)
    assert not [job_id for job_id in possible if waiting.shape_of(job_id) is not None]


def test_a_thousand_waiting_jobs_cost_no_more_than_a_few() -> None:
    waiting = queue(*((f"j{number}", 1 + number % 3) for number in range(5000)))
    full = nodes(*(node(f"n{number}", used=2) for number in range(100)), node("free", used=1))
    began = time.process_time()
    for _ in range(100):
        assert len(decide(waiting, full).placed) == 1
    assert time.process_time() - began < 1.0
