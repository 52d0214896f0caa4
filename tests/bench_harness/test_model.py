# SPDX-License-Identifier: BSD-3-Clause
"""Which rows run, and what a row's figures mean."""

from __future__ import annotations

import pytest

from bench.model import (
    Better,
    CannotRun,
    Measure,
    Result,
    Row,
    Sample,
    Side,
    UnknownRow,
    ratio,
    select,
    summarise,
)
from bench.resources import Resources


def _never(_: Resources) -> Measure:
    raise CannotRun("never")


def _row(name: str, *, better: Better = Better.MORE, goal: float | None = None, bound: float | None = None) -> Row:
    side = Side("side", _never)
    return Row(name=name, title=name, unit="x", better=better, ours=side, peer=side, goal=goal, bound=bound)


ROWS = [_row("dixi-64"), _row("dixi-1"), _row("submit-xati"), _row("submit-xati-8"), _row("xps")]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("", ["dixi-64", "dixi-1", "submit-xati", "submit-xati-8", "xps"]),
        ("dixi", ["dixi-64", "dixi-1"]),
        ("xps,dixi-1", ["dixi-1", "xps"]),
        ("submit-xati", ["submit-xati", "submit-xati-8"]),
        (" xps , ", ["xps"]),
    ],
)
def test_rows_are_selected_by_name_or_group_in_table_order(wanted: str, names: list[str]) -> None:
    assert [row.name for row in select(ROWS, wanted)] == names


@pytest.mark.parametrize("wanted", ["dix", "dixi-6", "xps,nothing"])
def test_a_name_that_selects_nothing_is_refused_with_those_that_exist(wanted: str) -> None:
    with pytest.raises(UnknownRow, match="dixi-64"):
        select(ROWS, wanted)


@pytest.mark.parametrize(
    ("ours", "peer", "better", "expected"),
    [(80.0, 10.0, Better.MORE, 8.0), (5.0, 20.0, Better.LESS, 4.0), (20.0, 5.0, Better.LESS, 0.25)],
)
def test_a_ratio_above_one_means_ahead_whichever_way_the_unit_points(
    ours: float, peer: float, better: Better, expected: float
) -> None:
    assert ratio(ours, peer, better) == expected


def test_a_value_of_zero_makes_no_ratio() -> None:
    assert ratio(0.0, 5.0, Better.MORE) is None
    assert ratio(5.0, 0.0, Better.LESS) is None


def test_a_result_holds_medians_and_every_sample() -> None:
    ours = [Sample(10.0, 0.1), Sample(900.0, 9.0), Sample(20.0, 0.2)]
    result = summarise(_row("r", goal=4.0), ours, [Sample(5.0), Sample(4.0), Sample(6.0)])
    assert (result.ours, result.peer_value, result.ratio) == (20.0, 5.0, 4.0)
    assert (result.cpu_ours, result.cpu_peer) == (0.2, None)
    assert result.samples_ours == (10.0, 900.0, 20.0)
    assert result.reached is True


def test_a_bound_becomes_the_ratio_that_reaches_it_beside_this_peer() -> None:
    row = _row("wait", better=Better.LESS, bound=20.0)
    result = summarise(row, [Sample(25.0)], [Sample(2000.0)])
    assert result.goal == 100.0
    assert result.ratio == 80.0
    assert result.reached is False


def test_a_side_that_did_not_run_leaves_its_figures_out() -> None:
    result = summarise(_row("r", goal=2.0), [], [Sample(5.0, 0.5)], "ours: not there")
    assert (result.ours, result.ratio, result.cpu_ours) == (None, None, None)
    assert (result.peer_value, result.why, result.reached) == (5.0, "ours: not there", None)


def test_results_have_the_documented_keys() -> None:
    documented = ["name", "unit", "ours", "peer", "peer_value", "ratio", "goal", "cpu_ours", "cpu_peer"]
    assert list(Result.__struct_fields__[: len(documented)]) == documented
