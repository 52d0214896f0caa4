# SPDX-License-Identifier: BSD-3-Clause
"""The table, the file and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.model import Result
from bench.picture import MISSED, REACHED, picture
from bench.report import cpu, figure, table, times, write_json


def _result(name: str, ratio: float | None, *, goal: float | None = 2.0, why: str = "") -> Result:
    return Result(
        name=name,
        unit="calls/s",
        ours=None if ratio is None else 1000.0 * ratio,
        peer="them & co",
        peer_value=1000.0,
        ratio=ratio,
        goal=goal,
        cpu_ours=None,
        cpu_peer=0.0005,
        title=f"{name} <title>",
        work="call",
        why=why,
    )


RESULTS = [_result("ahead", 8.0), _result("behind", 0.5), _result("missing", None, why="ours: not there")]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (45210.4, "45,210"), (0.5, "0.50"), (12.34, "12.3"), (999.9, "1,000")]
)
def test_figures_are_as_long_as_they_are_sure(value: float | None, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.5e-5, "45.0 us")])
def test_cpu_time_has_the_unit_that_suits(value: float | None, text: str) -> None:
    assert cpu(value) == text


def test_the_table_shows_each_row_its_verdict_and_why_a_figure_is_missing() -> None:
    text = table(RESULTS)
    ahead, behind, missing = text.splitlines()[2:5]
    assert "8.00x" in ahead
    assert "reached" in ahead
    assert "missed" in behind
    assert "500 us" in behind
    assert times(None) in missing
    assert "ours: not there" in text


def test_the_file_is_a_list_of_rows(tmp_path: Path) -> None:
    write_json(RESULTS, tmp_path / "results.json")
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in rows] == ["ahead", "behind", "missing"]
    assert rows[0]["ratio"] == 8.0
    assert rows[2]["ours"] is None


def test_the_picture_is_well_formed_and_bars_grow_from_the_peer_to_both_sides() -> None:
    document = ET.fromstring(picture(RESULTS, subtitle="a < b"))  # noqa: S314 -- our own text
    spaced = "{http://www.w3.org/2000/svg}"
    bars = {bar.findtext(f"{spaced}title"): bar for bar in document.iter(f"{spaced}rect") if len(bar)}
    assert set(bars) == {"ahead <title>", "behind <title>"}
    ahead, behind = bars["ahead <title>"], bars["behind <title>"]
    assert (ahead.get("fill"), behind.get("fill")) == (REACHED, MISSED)
    peer = float(ahead.get("x", "0"))
    assert float(behind.get("x", "0")) + float(behind.get("width", "0")) == pytest.approx(peer, abs=0.2)
    # Logarithmic: 8 times ahead is three times as far from the peer as half behind.
    assert float(ahead.get("width", "0")) == pytest.approx(3 * float(behind.get("width", "0")), abs=0.5)
