# SPDX-License-Identifier: BSD-3-Clause
"""How all tests run.

hypothesis has no deadlines: a busy machine is no fault of the code. Where ``CI`` is set the same examples are tried
each time, so that a change fails by its own doing; elsewhere every run looks for new ones.
"""

from __future__ import annotations

import asyncio
import os
import warnings

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _no_loop_left_over(request: pytest.FixtureRequest) -> None:
    """pytest-asyncio leaves a fresh event loop behind each of its tests.

    Code under a plain test that calls `asyncio.run` would drop it unclosed, and some later test would be blamed.
    """
    if request.node.get_closest_marker("asyncio") is not None:
        return
    policy = asyncio.get_event_loop_policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = policy.get_event_loop()
        except RuntimeError:
            return  # there is none
    if not loop.is_running():
        loop.close()
        policy.set_event_loop(None)
