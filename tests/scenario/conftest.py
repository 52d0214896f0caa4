# SPDX-License-Identifier: BSD-3-Clause
"""Grids for scenario tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.localgrid import Grid, User


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts daemons and takes its time."""
    for item in items:
        if "tests/scenario" in str(item.path):
            item.add_marker(pytest.mark.scenario)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """A grid that is up, for the tests of one module."""
    made = Grid()
    try:
        made.up()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def alice(grid: Grid) -> User:
    return grid.user("alice")


@pytest.fixture
def new_grid() -> Iterator[Grid]:
    """A grid of a test's own, not up yet."""
    made = Grid()
    try:
        yield made
    finally:
        made.remove()
