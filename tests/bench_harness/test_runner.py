# SPDX-License-Identifier: BSD-3-Clause
"""Rows run in turn, and one that breaks takes nothing else with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.model import Better, CannotRun, Measure, Row, Sample, Side
from bench.resources import Resources
from bench.runner import run_row

Open = Callable[[Resources], Measure]


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    with Resources(tmp_path, tmp_path) as kept:
        yield kept


def _counting(calls: list[str], who: str, value: float) -> Open:
    def measure() -> Sample:
        calls.append(who)
        return Sample(value)

    return lambda _: measure


def _row(ours: Side, peer: Side, repetitions: int = 3) -> Row:
    return Row(
        name="r", title="r", unit="x", better=Better.MORE, ours=ours, peer=peer, goal=1.0, repetitions=repetitions
    )


def test_ours_and_the_peer_take_turns(resources: Resources, tmp_path: Path) -> None:
    calls: list[str] = []
    said: list[str] = []
    row = _row(Side("us", _counting(calls, "ours", 6.0)), Side("them", _counting(calls, "peer", 2.0), repetitions=2))
    result = run_row(row, resources, said.append, tmp_path / "log")
    assert calls == ["ours", "peer", "ours", "peer", "ours"]
    assert result.ratio == 3.0
    assert len(said) == 5
    assert said[0].startswith("1/3 ours")


def test_fewer_repetitions_may_be_asked_for_but_not_more(resources: Resources, tmp_path: Path) -> None:
    calls: list[str] = []
    row = _row(Side("us", _counting(calls, "ours", 6.0)), Side("them", _counting(calls, "peer", 2.0)))
    run_row(row, resources, lambda _: None, tmp_path / "log", repetitions=1)
    run_row(row, resources, lambda _: None, tmp_path / "log", repetitions=9)
    assert calls.count("ours") == 1 + 3


def test_a_side_that_cannot_run_says_why_and_the_other_is_measured(resources: Resources, tmp_path: Path) -> None:
    def refuse(_: Resources) -> Measure:
        raise CannotRun("needs root")

    said: list[str] = []
    row = _row(Side("us", _counting([], "ours", 6.0)), Side("them", refuse))
    result = run_row(row, resources, said.append, tmp_path / "log")
    assert (result.ours, result.peer_value, result.why) == (6.0, None, "them: needs root")
    assert said[-1] == "peer (them): needs root"


def test_a_side_that_breaks_half_way_keeps_what_it_had_and_leaves_a_traceback(
    resources: Resources, tmp_path: Path
) -> None:
    values = iter([5.0])

    def measure() -> Sample:
        return Sample(next(values))

    row = _row(Side("us", lambda _: measure), Side("them", _counting([], "peer", 1.0)))
    result = run_row(row, resources, lambda _: None, tmp_path / "log")
    assert (result.samples_ours, len(result.samples_peer)) == ((5.0,), 3)
    assert "StopIteration" in result.why
    assert "Traceback" in (tmp_path / "log").read_text()


def test_what_rows_share_is_started_once_and_stopped_in_reverse_order(tmp_path: Path) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def thing(name: str) -> Iterator[str]:
        events.append(f"start {name}")
        yield name
        events.append(f"stop {name}")

    with Resources(tmp_path, tmp_path) as kept:
        for name in ("a", "b", "a"):
            assert kept.get(name, lambda name=name: thing(name)) == name  # type: ignore[misc]
    assert events == ["start a", "start b", "stop b", "stop a"]


def test_what_could_not_be_started_is_not_tried_again(resources: Resources) -> None:
    tries: list[int] = []

    def broken() -> contextlib.AbstractContextManager[None]:
        tries.append(1)
        raise CannotRun("no")

    for _ in range(2):
        with pytest.raises(CannotRun, match="no"):
            resources.get("broken", broken)
    assert len(tries) == 1


@pytest.mark.parametrize(("count", "scale", "expected"), [(200, 1.0, 200), (200, 0.1, 20), (200, 0.001, 8)])
def test_a_quick_run_does_less_work_but_never_too_little(
    tmp_path: Path, count: int, scale: float, expected: int
) -> None:
    assert Resources(tmp_path, tmp_path, scale=scale).scaled(count, 8) == expected
