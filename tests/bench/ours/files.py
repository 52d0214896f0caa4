# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows about files: a volume of the local grid, mounted by a node for all."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import files
from bench.model import CannotRun, Measure
from bench.ours import grid
from bench.resources import Resources

ADMIN_SECONDS = 60.0
QUIET_SECONDS, QUIET_CPU = 30, 0.05
OSDS = 4
STAND_UP = """
for record in "$1"/node*/process.json; do
    pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' "$record")
    renice -n 0 -p "$pid" >/dev/null
    [ ! -w "/proc/$pid/autogroup" ] || echo 0 >"/proc/$pid/autogroup"
done
"""
"""Nodes of a local grid stand back for the rest of the machine, since they run jobs; no peer's daemon does."""


def work(resources: Resources, *, what: str, clients: int = 1, width: int = 1) -> Measure:
    """See `bench.files.measure`; each file is striped over *width* OSDs."""
    if not Path("/dev/fuse").exists():
        raise CannotRun("there is no /dev/fuse")
    start = partial(grid.start, resources.root, resources.build, name="files-grid", nodes=OSDS)
    own: grid.Grid = resources.get("files-grid", start, what=f"a grid with {OSDS} OSDs")
    place = resources.get(("xtreemfs", width), lambda: _mounted(own, width), what=f"a volume over {width} OSDs")
    return files.measure(resources, own.box, place, what=what, clients=clients)


@contextlib.contextmanager
def _mounted(own: grid.Grid, width: int) -> Iterator[Path]:
    volume, place = f"bench{width}", own.root / f"mnt{width}"
    place.mkdir()
    admin = {**own.env, "XOS_HOME": str(own.root / "admin"), "XOS_NO_AGENT": "1", "LANG": "C.UTF-8"}
    config = own.root / "node1" / "dixid.toml"
    _do(own, ["sh", "-c", STAND_UP, "sh", str(own.root)], admin)
    _do(own, ["mkfs.xtreemfs", "--mode", "1777", "--width", str(width), volume], admin)
    _do(own, ["mount.xtreemfs", volume, str(place), "-o", f"config={config}"], admin)
    _wait_for_quiet(own)
    yield place  # ends with the enclosure


def _wait_for_quiet(own: grid.Grid) -> None:
    """Until the daemons have done what they do after a start, so that it is not counted."""
    for _ in range(QUIET_SECONDS):
        before = own.cpu() or 0.0
        time.sleep(1.0)
        if (own.cpu() or 0.0) - before < QUIET_CPU:
            return


def _do(own: grid.Grid, words: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        own.box.wrap(words), env=env, capture_output=True, text=True, timeout=ADMIN_SECONDS, check=False
    )
    if done.returncode:
        raise CannotRun(f"{words[0]}: {done.stderr.strip()[:300]}")
