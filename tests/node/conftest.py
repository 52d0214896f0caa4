# SPDX-License-Identifier: BSD-3-Clause
"""A VO with certificates, and a node that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.node import GIDS, UIDS, Va
from xos.node.accounts import Accounts
from xos.node.config import NodeConfig, Vo
from xos.node.store import Store


@pytest.fixture
def va(tmp_path: Path) -> Va:
    return Va(tmp_path / "trust")


@pytest.fixture
def config(va: Va, tmp_path: Path) -> NodeConfig:
    vo = Vo(trust=va.directory, uids=UIDS, gids=GIDS)
    return NodeConfig(vos={"demo": vo}, policy=tmp_path / "node-policy.cedar")


@pytest.fixture
def writer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def store(state: Path) -> Iterator[Store]:
    made = Store(state)
    yield made
    made.close()


@pytest.fixture
def accounts(store: Store, config: NodeConfig, writer: ThreadPoolExecutor) -> Accounts:
    return Accounts(store, config, writer=writer)
