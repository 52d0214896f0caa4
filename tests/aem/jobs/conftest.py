# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the Job Manager's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.jobs import FakeGrid, People, make_template
from xos.common.tls import Credential

settings.register_profile("xos", deadline=None)  # a busy machine is no fault
settings.load_profile("xos")


@pytest.fixture(scope="session")
def people() -> People:
    return People.make()


@pytest.fixture(scope="session")
def alice(people: People) -> Credential:
    return people.user("alice")


@pytest.fixture(scope="session")
def bob(people: People) -> Credential:
    return people.user("bob")


@pytest.fixture(scope="session")
def admin(people: People) -> Credential:
    return people.user("root", roles=("VOAdmin",))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "empty.sqlite"
    make_template(path)
    return path


@pytest.fixture
async def grid(people: People, tmp_path: Path, template: Path) -> AsyncIterator[FakeGrid]:
    """Two nodes with two slots each, and a Job Manager that has begun."""
    grid = FakeGrid(people, tmp_path, template)
    grid.add("node1")
    grid.add("node2")
    await grid.begin()
    yield grid
    await grid.end()
