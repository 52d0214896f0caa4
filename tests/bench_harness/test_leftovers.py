# SPDX-License-Identifier: BSD-3-Clause
"""What killed runs left behind is removed, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.leftovers import mark, sweep


def test_only_what_runs_that_are_gone_have_left_is_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    groups, temporary = tmp_path / "groups", tmp_path / "tmp"
    gone = [groups / f"xos-bench-{ended.pid}-slurm", temporary / f"xos-bench-{ended.pid}-slurm-x1"]
    kept = [groups / mark("grid"), groups / "system.slice", temporary / mark("slurm"), temporary / "xos-bench-notes"]
    for path in (*gone, *kept):
        (path / "inner").mkdir(parents=True)
    assert sweep(groups, temporary) == gone
    assert [path for path in (*gone, *kept) if path.exists()] == kept
