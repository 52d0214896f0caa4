# SPDX-License-Identifier: BSD-3-Clause
"""VOLife in a real daemon, with the real services of a core beside it, all in the test's own process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.site import PASSWORD, SERVICES, Answer, Browser, World, configuration, files_in, found_core, running

__all__ = ["PASSWORD", "SERVICES", "Answer", "Browser", "World", "configuration", "files_in", "running"]


@pytest.fixture
def settings() -> dict[str, Any]:
    """Of VOLife, where a test wants other than the usual ones."""
    return {}


@pytest.fixture
def cda() -> dict[str, Any]:
    """Of the CDA, likewise."""
    return {}


@pytest.fixture
def more() -> tuple[str, ...]:
    """Services that a test wants besides the usual ones."""
    return ()


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be copied: founding it for each test would take most of the time."""
    directory = tmp_path_factory.mktemp("founded")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, found_core(directory)).result()
    return directory


@pytest.fixture
async def world(
    founded: Path, tmp_path: Path, settings: dict[str, Any], cda: dict[str, Any], more: tuple[str, ...]
) -> AsyncIterator[World]:
    shutil.copytree(founded, tmp_path, dirs_exist_ok=True)
    async with running(configuration(tmp_path, cda, more=more, **settings)) as made:
        yield made
