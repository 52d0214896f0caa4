# SPDX-License-Identifier: BSD-3-Clause
"""A third party's judgement of a mount: pjdfstest, if somebody has built it (``make posix PJDFSTEST=DIR``)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.filegrid import Mount, file_grid

SUITE = Path(os.environ.get("PJDFSTEST") or "/nonexistent")
GROUPS = sorted(path.name for path in (SUITE / "tests").glob("*/")) or ["all"]
_FAILED = re.compile(r"Failed test.*|.*Result: FAIL.*|\S+\.t .*Failed: [1-9].*")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
    pytest.mark.skipif(not (SUITE / "pjdfstest").exists(), reason="$PJDFSTEST names no directory where it is built"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def mount() -> Iterator[Mount]:
    with file_grid(2, posix=None) as grid:
        yield grid.mount("posix")


@pytest.mark.parametrize("group", GROUPS)
def test_system_calls_do_what_posix_says(mount: Mount, group: str) -> None:
    place = mount.path / group
    place.mkdir()
    command = ["sh", "-c", 'cd "$1" && exec prove -r "$2"', "sh", str(place), str(SUITE / "tests" / group)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if _FAILED.match(line))
