# SPDX-License-Identifier: BSD-3-Clause
"""A third party's judgement of a mount: pjdfstest, if somebody has built it (``make posix PJDFSTEST=DIR``)."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


class Judged(NamedTuple):
    """A mount on which the suite works, and perhaps another, whose looking takes leases back again and again."""

    mount: Mount
    other: Mount | None


@pytest.fixture(scope="module", params=["leases", "no leases", "watched"])
def judged(request: pytest.FixtureRequest) -> Iterator[Judged]:
    with file_grid(2, posix=None) as grid:
        if request.param == "watched":
            yield Judged(grid.mount("posix"), grid.mount("posix"))
        else:
            yield Judged(
                grid.mount("posix", "suid,dev,leases=off" if request.param == "no leases" else "suid,dev"), None
            )


@contextlib.contextmanager
def looking(top: Path | None) -> Iterator[list[int]]:
    """Somebody lists all that is below *top* while the block runs; how many entries each time."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while top is not None and not over.wait(0.2):
            seen.append(sum(len(names) + len(files) for _, names, files in os.walk(top)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("group", GROUPS)
def test_system_calls_do_what_posix_says(judged: Judged, group: str) -> None:
    place = judged.mount.path / group
    place.mkdir()
    command = ["sh", "-c", 'cd "$1" && exec prove -r "$2"', "sh", str(place), str(SUITE / "tests" / group)]
    with looking(judged.other.path / group if judged.other else None) as seen:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if _FAILED.match(line))
    assert seen or judged.other is None
