# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of DIXI."""

from __future__ import annotations

import functools

import pytest

from support.dixi import Grid, Serve, make_grid, serving


@pytest.fixture(scope="session")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
def serve(grid: Grid) -> Serve:
    return functools.partial(serving, grid)
