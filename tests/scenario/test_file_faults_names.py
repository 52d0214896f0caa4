# SPDX-License-Identifier: BSD-3-Clause
"""Names, changed by three mounts while real processes are killed, paused and parted: each sees what others did."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.namefaults import name_faults

SECONDS = float(os.environ.get("XOS_FAULT_SECONDS", "30"))
"""Real ones, of troubles."""

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/fuse").exists() or shutil.which("ip") is None,
        reason="needs root, /dev/fuse and ip",
    ),
    pytest.mark.timeout(SECONDS + 600),
]


def test_names_are_as_they_were_left_whatever_fails() -> None:
    seen = name_faults(int(os.environ.get("XOS_FAULT_SEED", "1")), SECONDS)
    assert seen.wrong == []
    assert seen.writes > 10 * SECONDS
    assert seen.reads > seen.writes / 20
    assert sum(seen.troubles.values()) > SECONDS / 30


def test_an_mrc_that_does_not_ask_who_knows_better_is_caught() -> None:
    seen = name_faults(1, 15, planted=True)
    assert any("is b'' (0) at" in one for one in seen.wrong), seen
