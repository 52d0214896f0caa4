# SPDX-License-Identifier: BSD-3-Clause
"""Replicated files while real processes are killed, paused and parted: nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.filefaults import CELLS, faults, lost

SECONDS = float(os.environ.get("XOS_FAULT_SECONDS", "30"))
"""Real ones, of troubles."""

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/fuse").exists() or shutil.which("ip") is None,
        reason="needs root, /dev/fuse and ip",
    ),
    pytest.mark.timeout(SECONDS + 600),
]


def test_every_acknowledged_write_is_read_back_whatever_fails() -> None:
    seen = faults(int(os.environ.get("XOS_FAULT_SEED", "1")), SECONDS)
    assert seen.wrong == []
    assert seen.writes > 0
    assert seen.reads > seen.writes / 10
    assert sum(seen.troubles.values()) > SECONDS / 30


def test_what_a_primary_took_that_nobody_else_heard_was_not_acknowledged() -> None:
    seen = lost(planted=False)
    assert seen.wrong == []
    assert seen.writes > CELLS, "another took over, and what waited was written"


def test_a_primary_that_acknowledges_what_nobody_else_has_is_caught() -> None:
    seen = lost(planted=True)
    assert any("was acknowledged" in one for one in seen.wrong), seen
