# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a job: tables of what each event does, and what holds after any events in any order."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from xos.aem.api import Needs, State, Unit
from xos.aem.jobs.lifecycle import (
    REASON_LONGEST,
    Assigned,
    CancelAsked,
    Event,
    Job,
    NeverStarted,
    NodeLost,
    Refused,
    Reported,
    job_of,
    new_job,
    step,
)

NODES = ("n0", "n1", "n2")


def job(count: int = 2) -> Job:
    return new_job(
        job_id="demo-a",
        request_id="r",
        owner="alice@demo",
        vo="demo",
        name="",
        needs=Needs(),
        count=count,
        sequence=1,
        submitted=1.0,
    )


def placed(count: int = 2) -> Job:
    return step(job(count), Assigned(NODES[:count]))


def said(index: int, state: State, code: int | None = None, **more: Any) -> Reported:
    return Reported(f"n{index}", Unit(f"demo-a.{index}", f"n{index}", state, code, **more), 9.0)


def after(start: Job, *events: Event) -> Job:
    for event in events:
        start = step(start, event)
    return start


RUNNING, DONE, FAILED, CANCELLED = State.RUNNING, State.DONE, State.FAILED, State.CANCELLED


@pytest.mark.parametrize(
    ("events", "state", "exit_code", "reason"),
    [
        ((), State.SCHEDULED, None, ""),
        ((said(0, RUNNING),), RUNNING, None, ""),
        ((said(0, DONE, 0),), RUNNING, None, ""),
        ((said(0, DONE, 0), said(1, DONE, 0)), DONE, 0, ""),
        ((said(1, DONE, 0), said(1, RUNNING), said(0, RUNNING), said(0, DONE, 0)), DONE, 0, ""),
        ((said(0, FAILED, 3),), RUNNING, 3, "unit 0 on n0: exit code 3"),
        ((said(0, FAILED, 3), said(1, CANCELLED, 137)), FAILED, 3, "unit 0 on n0: exit code 3"),
        ((said(0, FAILED, 3), said(1, FAILED, 4)), FAILED, 3, "unit 0 on n0: exit code 3"),
        ((said(0, FAILED, 3), said(1, DONE, 0)), FAILED, 3, "unit 0 on n0: exit code 3"),
        ((said(0, FAILED, 137, reason="out of memory"), said(1, DONE)), FAILED, 137, "unit 0 on n0: out of memory"),
        ((said(0, DONE, 5), said(1, DONE, 0)), FAILED, 5, "unit 0 on n0: exit code 5"),
        ((CancelAsked("alice@demo", 5.0),), State.SCHEDULED, None, "cancelled by alice@demo"),
        (
            (CancelAsked("alice@demo", 5.0), said(0, FAILED, 143), said(1, CANCELLED, 137)),
            CANCELLED,
            None,
            "cancelled by alice@demo",
        ),
        ((CancelAsked("alice@demo", 5.0), said(0, DONE, 0), said(1, DONE, 0)), DONE, 0, ""),
        (
            (said(0, FAILED, 3), CancelAsked("alice@demo", 5.0), said(1, CANCELLED)),
            FAILED,
            3,
            "unit 0 on n0: exit code 3",
        ),
        ((said(0, CANCELLED, 137), said(1, CANCELLED)), CANCELLED, None, "unit 0 on n0: killed on the node"),
        (
            (NodeLost("n1", "n1 has been silent for 600 s", 7.0), said(0, CANCELLED)),
            FAILED,
            None,
            "unit 1 on n1: n1 has been silent for 600 s",
        ),
        (
            (Refused("demo-a.0", "n0", "certificate has expired", 7.0), NeverStarted("demo-a.1", "n1", 8.0)),
            FAILED,
            None,
            "unit 0 on n0: certificate has expired",
        ),
    ],
)
def test_where_a_job_stands_follows_from_its_units(
    events: tuple[Event, ...], state: State, exit_code: int | None, reason: str
) -> None:
    ended = after(placed(), *events)
    assert (ended.state, ended.exit_code, ended.reason) == (state, exit_code, reason)


@pytest.mark.parametrize(
    "event",
    [
        said(0, RUNNING),
        said(0, DONE, 0),
        NeverStarted("demo-a.0", "n0", 1.0),
        Refused("demo-a.0", "n0", "no", 1.0),
        NodeLost("n0", "gone", 1.0),
    ],
)
def test_nothing_that_nodes_say_touches_a_job_that_is_not_placed(event: Event) -> None:
    start = job()
    assert step(start, event) is start


@pytest.mark.parametrize(
    "event",
    [
        Assigned(("n1", "n2")),
        Reported("n1", Unit("demo-a.0", "n1", DONE, 0), 1.0),
        Reported("n0", Unit("demo-a.9", "n0", DONE, 0), 1.0),
        Reported("n0", Unit("demo-a.-1", "n0", DONE, 0), 1.0),
        Reported("n0", Unit("demo-a.00", "n0", DONE, 0), 1.0),
        Reported("n0", Unit("demo-b.0", "n0", DONE, 0), 1.0),
        Reported("n0", Unit("", "n0", DONE, 0), 1.0),
        said(0, State.PENDING),
        said(0, State.SCHEDULED),
        NodeLost("n2", "gone", 1.0),
    ],
)
def test_what_does_not_fit_changes_nothing(event: Event) -> None:
    start = placed()
    assert step(start, event) is start


def test_cancelling_before_placement_ends_the_job_and_it_is_never_placed() -> None:
    ended = step(job(), CancelAsked("root@demo", 5.0))
    assert (ended.state, ended.ended, ended.reason) == (CANCELLED, 5.0, "cancelled by root@demo")
    assert {unit.state for unit in ended.units} == {CANCELLED}
    assert step(ended, Assigned(("n0", "n1"))) is ended


@pytest.mark.parametrize("nodes", [(), ("n0",), ("n0", "n0"), ("n0", "n1", "n2")])
def test_a_wrong_number_of_nodes_is_a_fault_of_ours(nodes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="2 units"):
        step(job(), Assigned(nodes))


def test_times_are_those_of_the_units() -> None:
    ended = after(
        placed(),
        said(1, RUNNING, started=3.0),
        said(0, RUNNING, started=4.0),
        said(0, DONE, 0, started=4.0, ended=6.0),
        said(1, DONE, 0, ended=5.0),
    )
    assert (ended.started, ended.ended) == (3.0, 6.0)
    assert ended.units[1].started == 3.0


@given(
    st.builds(
        Unit,
        st.just("demo-a.0"),
        st.text(max_size=5),
        st.sampled_from([DONE, FAILED, CANCELLED]),
        st.none() | st.integers(),
        st.text(max_size=2 * REASON_LONGEST),
        st.none() | st.floats(),
        st.none() | st.floats(),
        st.floats(),
        st.integers(),
    )
)
def test_a_node_that_talks_nonsense_leaves_values_that_can_be_kept(unit: Unit) -> None:
    kept = step(placed(1), Reported("n0", unit, 9.0)).units[0]
    assert kept.state.ended
    assert (kept.state is DONE) == (unit.state is DONE and not unit.exit_code)
    assert len(kept.reason) <= REASON_LONGEST
    assert kept.reason.isprintable() or all(ord(char) > 31 for char in kept.reason)
    assert kept.started is None or 0 < kept.started < math.inf
    assert kept.ended is not None
    assert 0 <= kept.cpu_seconds < math.inf
    assert 0 <= kept.memory_peak < 2**63
    assert kept.exit_code is None or -(2**63) <= kept.exit_code < 2**63
    msgspec.msgpack.encode(kept)


@pytest.mark.parametrize(
    ("unit_id", "expected"),
    [
        ("demo-a.0", ("demo-a", 0)),
        ("my.vo-a.12", ("my.vo-a", 12)),
        ("demo-a.x", ("demo-a", -1)),
        ("demo-a.", ("demo-a", -1)),
        ("", ("", -1)),
        ("demo-a.٣", ("demo-a", -1)),
        ("demo-a.99999999999999", ("demo-a", -1)),
    ],
)
def test_a_unit_id_names_its_job(unit_id: str, expected: tuple[str, int]) -> None:
    assert job_of(unit_id) == expected


class JobLife(RuleBasedStateMachine):
    """Any events, in any order, any number of times; beside the job, a plain model of what its nodes did."""

    def __init__(self) -> None:
        super().__init__()
        self.job = job(3)
        self.history = [self.job]
        self.asked = False

    def happen(self, event: Event) -> None:
        before = self.job
        self.job = step(before, event)
        assert step(self.job, event) is self.job, "the same event twice is once"
        if self.job is not before:
            self.history.append(self.job)

    @rule()
    def assign(self) -> None:
        self.happen(Assigned(NODES))

    @rule(
        index=st.integers(0, 2),
        node=st.sampled_from(NODES),
        state=st.sampled_from(State),
        code=st.sampled_from([None, 0, 1, 137]),
    )
    def report(self, index: int, node: str, state: State, code: int | None) -> None:
        before = self.job.units[index]
        self.happen(Reported(node, Unit(f"demo-a.{index}", node, state, code), 5.0))
        if before.node != node:
            assert self.job.units[index] is before

    @rule(index=st.integers(0, 2))
    def refuse(self, index: int) -> None:
        self.happen(Refused(f"demo-a.{index}", NODES[index], "no", 5.0))

    @rule(node=st.sampled_from(NODES))
    def lose(self, node: str) -> None:
        self.happen(NodeLost(node, "gone", 5.0))

    @precondition(lambda self: self.job.ending is not None)
    @rule(index=st.integers(0, 2))
    def never_started(self, index: int) -> None:
        self.happen(NeverStarted(f"demo-a.{index}", NODES[index], 5.0))

    @rule()
    def cancel(self) -> None:
        self.happen(CancelAsked("alice@demo", 5.0))

    @invariant()
    def an_end_is_an_end(self) -> None:
        for before, now in zip(self.history, self.history[1:], strict=False):
            assert not before.state.ended
            for old, new in zip(before.units, now.units, strict=True):
                assert not old.state.ended or new is old
                assert old.node in ("", new.node)

    @invariant()
    def states_only_move_on(self) -> None:
        ranks = [list(State).index(state) for state in (one.state for one in self.history)]
        assert ranks == sorted(ranks)

    @invariant()
    def the_job_ends_with_its_last_unit(self) -> None:
        states = {unit.state for unit in self.job.units}
        assert self.job.state.ended == all(state.ended for state in states)
        assert (self.job.state is DONE) == (states == {DONE})
        assert (self.job.ended is not None) == self.job.state.ended

    @invariant()
    def an_exit_code_is_zero_or_that_of_a_unit_that_failed(self) -> None:
        if self.job.state is DONE:
            assert self.job.exit_code == 0
        elif self.job.exit_code is not None:
            assert self.job.exit_code in {unit.exit_code for unit in self.job.units if unit.state is FAILED}

    @invariant()
    def the_cause_is_kept(self) -> None:
        causes = [one.ending for one in self.history if one.ending is not None]
        assert len(set(causes)) <= 1
        if self.job.state in (FAILED, CANCELLED):
            assert self.job.state is self.job.ending
            assert self.job.reason

    @invariant()
    def a_waiting_job_has_a_reason(self) -> None:
        info = self.job.info()
        assert info.reason or info.state is not State.PENDING


TestJobLife = JobLife.TestCase
