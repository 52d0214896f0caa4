# SPDX-License-Identifier: BSD-3-Clause
"""The grid that all tests here share: systemd containers, installed by dnf from the packages of this checkout."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.systems import TOP, Grid

REPO = TOP / "build/repo"
GIVEN = "XOS_SYSTEMS"
"""Names the directory of a grid that runs already (`make grid`: build/systems); tests then use that and leave it up."""
TEST_SECONDS = 900
"""Of one test; the first one of a run brings the grid up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the grid, and time."""
    for item in items:
        if "tests/system/" in str(item.path):
            item.add_marker(pytest.mark.system)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows the machines' journals."""
    report = yield
    grid = getattr(item, "funcargs", {}).get("grid")
    if report.failed and call.when == "call" and isinstance(grid, Grid):
        report.sections.append(("journals of the machines", grid.report()))
    return report


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """The grid, up, the sample job done."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and systemd-nspawn")
    if given := os.environ.get(GIVEN):
        yield Grid(Path(given).absolute(), REPO)
        return
    if not (REPO / "xtreemos.repo").exists():
        pytest.skip("needs the repository: make repo")
    place = tmp_path_factory.mktemp("systems")
    repo = Path(shutil.copytree(REPO, place / "repo"))
    made = Grid(place / "state", repo)
    try:
        made.up()
        yield made
    finally:
        made.remove()
