# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of job units: real processes, and nothing of them left behind."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.jobs import People
from support.units import Node
from xos.aem.execution import hierarchy
from xos.common.tls import Credential


@pytest.fixture(scope="session")
def people() -> People:
    return People.make()


@pytest.fixture(scope="session")
def alice(people: People) -> Credential:
    return people.user("alice")


@pytest.fixture(scope="session")
def bob(people: People) -> Credential:
    return people.user("bob")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that accounts of jobs can enter (pytest's own are closed)."""
    path = Path(tempfile.mkdtemp(prefix="xos-units-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def node_name() -> Iterator[str]:
    """A node of this test's alone; afterwards nothing of its units may be left."""
    name = f"n{secrets.token_hex(4)}"
    yield name
    left = _left(name)
    assert left == [], left


def _left(name: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if f"XOS_NODE={name}".encode() in environment.split(b"\0"):
            found.append((process / "cmdline").read_bytes().decode())
    own = hierarchy.own_group()
    if own is not None and (own / f"xos-{name}").exists():
        found.append(f"cgroup {[path.name for path in (own / f'xos-{name}').iterdir() if path.is_dir()]}")
    return found


@pytest.fixture
async def node(people: People, place: Path, node_name: str) -> AsyncIterator[Node]:
    async with Node(people, place, name=node_name) as node:
        yield node
