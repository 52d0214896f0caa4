# SPDX-License-Identifier: BSD-3-Clause
"""Machines whose clocks are wrong by many minutes: files are written, read, locked and revoked as ever."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import FAKETIME, eventually
from support.filegrid import Mount
from support.pairgrid import PairGrid
from xos.xtreemfs.api import Policy, Update

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and /dev/fuse"),
    pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime"),
    pytest.mark.timeout(300),
]
DIR, OSDS, CLIENT = 1200.0, (2100.0, 1200.0, 300.0), 1500.0
"""Seconds by which their clocks are ahead of the MRC's; no clock is before the beginning of certificates."""


@pytest.fixture(scope="module")
def grid() -> Iterator[PairGrid]:
    made = PairGrid(3)
    made.core.ahead = DIR
    for node, ahead in zip(made.osds, OSDS, strict=True):
        node.ahead = ahead
    try:
        made.start()
        made.make_volume("plain", mode=0o1777)
        made.make_volume("safe", Policy(update=Update.QUORUM, replicas=3), mode=0o1777)
        yield made
    finally:
        made.remove()


def mounted(grid: PairGrid, volume: str, ahead: float) -> Mount:
    made = Mount(grid, volume, "suid,dev")
    made.ahead = ahead
    grid.mounts.append(made)
    made.start()
    return made


@pytest.mark.parametrize("volume", ["plain", "safe"])
def test_files_are_written_read_and_locked_whatever_the_clocks_say(grid: PairGrid, volume: str) -> None:
    one, other = mounted(grid, volume, CLIENT).path, mounted(grid, volume, 0.0).path
    for _ in eventually(60.0):
        try:
            (one / "first").write_bytes(b"x")
            break
        except OSError as error:
            assert "No space" in str(error)  # noqa: PT017 -- the MRC has not heard of the OSDs yet
    for number in range(6):  # on each of the OSDs
        content = b"%d" % number * 100_000
        with (one / f"f{number}").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        assert (other / f"f{number}").read_bytes() == content
    began = time.monotonic()
    with (one / "f0").open("r+b") as here, (other / "f0").open("r+b") as there:
        fcntl.lockf(here, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.lockf(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(here.fileno(), b"mine", 0)
        fcntl.lockf(here, fcntl.LOCK_UN)
        fcntl.lockf(there, fcntl.LOCK_EX)
        assert os.pread(there.fileno(), 4, 0) == b"mine"
    assert time.monotonic() - began < 20.0


def test_times_of_files_are_those_of_the_mrc(grid: PairGrid) -> None:
    one, other = mounted(grid, "plain", CLIENT).path, mounted(grid, "plain", 0.0).path
    (one / "made").touch()
    (one / "written").write_bytes(b"now")
    for name in ("made", "written"):
        assert abs((other / name).stat().st_mtime - time.time()) < 60.0


def test_a_right_that_is_taken_away_is_gone(grid: PairGrid) -> None:
    one = mounted(grid, "plain", CLIENT).path
    (one / "secret").write_bytes(b"s" * 1000)
    (one / "secret").chmod(0o644)
    read = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", str(one / "secret")]
    assert subprocess.run(read, check=True, capture_output=True, cwd="/").stdout == b"s" * 1000
    (one / "secret").chmod(0o600)
    assert subprocess.run(read, check=False, capture_output=True, cwd="/").returncode != 0
