# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "xos-common" / "README.md"


def test_the_example_in_the_readme_works(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'GlobalUserID': 'alice'" in done.stdout
    assert done.stdout.endswith("alice@demo\n")


def test_every_module_is_in_the_readme() -> None:
    text = README.read_text()
    modules = {path.stem for path in (README.parent / "src" / "xos" / "common").glob("[!_]*.py")}
    inner = {"engines", "journald", "log_pipeline", "toml_lines", "trust", "credential"}
    assert {name for name in modules - inner if f"`{name}`" not in text} == set()
