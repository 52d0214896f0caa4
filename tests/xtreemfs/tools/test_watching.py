# SPDX-License-Identifier: BSD-3-Clause
"""Programs hear what changes in a directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from support.filegrid import ROOT, FileGrid, file_grid
from xos.xtreemfs.api import NOW, Ask, Change
from xos.xtreemfs.xati import MRCXati

pytestmark = pytest.mark.timeout(120)  # real daemons, on a machine that may be busy


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(1, home=None) as made:
        yield made


def started(grid: FileGrid, target: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "xos.dixi", "xtfsutil", "--watch", target], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
        env={**os.environ, "XOS_HOME": str(grid.home_of("alice")), "XOS_NO_AGENT": "1"},
    )  # fmt: skip


def test_each_change_of_a_directory_is_a_line(grid: FileGrid) -> None:
    lines: Queue[dict[str, Any]] = Queue()
    process = started(grid, "xtreemfs://home/")
    try:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(json.loads(line))

        threading.Thread(target=read, daemon=True).start()
        assert lines.get(timeout=60) == {"change": "all"}
        with grid.bus() as bus:
            mrc = MRCXati(bus)
            root = mrc.resolve("home", "/").id

            def said(change: str, name: str) -> dict[str, Any]:
                while (line := lines.get(timeout=60)).get("name") != name or line["change"] != change:
                    pass  # the watch may have begun a moment after it was said to have: "all" again
                return line

            other = mrc.create(root, b"elsewhere", 0o40755, 0, None, Ask(claim=ROOT))
            made = mrc.create(root, b"run-17", 0o100644, 0, None, Ask(claim=ROOT))
            assert said("there", "run-17")["inode"] == made.id
            mrc.create(other.id, b"not here", 0o100644, 0, None, Ask(claim=ROOT))
            mrc.setattr(made.id, Change(mtime=NOW), Ask(claim=ROOT))
            assert said("changed", "run-17")["inode"] == made.id
            mrc.rename(root, b"run-17", root, b"\xff", 0, Ask(claim=ROOT))
            assert {line["name"]: line["change"] for line in (said("gone", "run-17"), said("there", "\\xff"))} == {
                "run-17": "gone",
                "\\xff": "there",
            }
            mrc.unlink(root, b"\xff", Ask(claim=ROOT))
            assert said("gone", "\\xff")["inode"] == made.id
            assert all(line.get("name") != "not here" for line in [*lines.queue])
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_only_a_directory_is_watched(grid: FileGrid) -> None:
    with grid.bus() as bus:
        mrc = MRCXati(bus)
        root = mrc.resolve("home", "/").id
        mrc.create(root, b"file", 0o100644, 0, None, Ask(claim=ROOT))
    process = started(grid, "xtreemfs://home/file")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, b"it is no directory" in said) == (2, True)
