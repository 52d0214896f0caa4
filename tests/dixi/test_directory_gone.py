# SPDX-License-Identifier: BSD-3-Clause
"""A command in a directory that has been removed says so."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path


def test_a_command_in_a_directory_that_is_gone_says_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir {shlex.quote(str(gone))} && exec {shlex.quote(sys.executable)} -P -m xos.dixi xps"
    ran = subprocess.run(["/bin/sh", "-c", script], cwd=gone, capture_output=True, text=True, timeout=20)
    assert ran.returncode == 1
    assert ran.stderr == "xps: the working directory does not exist any more\n     Change to another one: cd\n"
