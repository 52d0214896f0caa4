# SPDX-License-Identifier: BSD-3-Clause
"""The habits of the repository: named targets, an honest summary, nothing done twice."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BOOTSTRAP = REPOSITORY / "packages/setup/bootstrap"


def run(*argv: str | Path, cwd: Path = REPOSITORY, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(argv, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False)


def test_help_lists_every_target_that_says_what_it_does() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    told = re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)
    listed = re.findall(r"^  make (\S+)", run("make", "help").stdout, re.MULTILINE)
    assert listed == told
    assert {"help", "run", "stop", "test", "bench", "clean"} <= set(told)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(targets)


@pytest.mark.parametrize(("second", "status"), [("true", 0), ("false", 1)])
def test_the_summary_runs_everything_and_its_exit_status_is_honest(tmp_path: Path, second: str, status: int) -> None:
    (tmp_path / "Makefile").write_text(f"one:\n\t@echo ran one\ntwo:\n\t@{second}\nthree:\n\t@echo ran three\n")
    done = run(BOOTSTRAP / "checks", "one", "two", "three", cwd=tmp_path)
    assert done.returncode == status
    assert "ran one" in done.stdout
    assert "ran three" in done.stdout
    summary = done.stdout.partition("Summary\n")[2]
    assert re.findall(r"(\w+) +(ok|FAILED)", summary) == [
        ("one", "ok"),
        ("two", "ok" if status == 0 else "FAILED"),
        ("three", "ok"),
    ]


def test_ci_runs_make_test_and_nothing_else(tmp_path: Path) -> None:
    ci = tmp_path / ".ci/run"
    ci.parent.mkdir()
    ci.write_text((REPOSITORY / ".ci/run").read_text())
    ci.chmod(0o755)
    (tmp_path / "Makefile").write_text("test:\n\t@echo tested; exit 3\n")
    done = run(ci, cwd=Path("/"))
    assert done.stdout == "tested\n"
    assert done.returncode == 2  # make's own, for a recipe that failed


def test_an_ordinary_user_is_told_what_to_install(tmp_path: Path) -> None:
    """A machine without compiler and without root: nothing is installed, and the message says what to do."""
    clone = tmp_path / "clone"
    (clone / "packages/setup/bootstrap").mkdir(parents=True)
    (clone / "xos-common").mkdir()
    for name in ("constraints.txt", "xos-common/pyproject.toml"):
        (clone / name).write_text("")
    (clone / "packages/setup/pyproject.toml").write_text("")
    script = clone / "packages/setup/bootstrap/prepare"
    script.write_text((BOOTSTRAP / "prepare").read_text())
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "cut", "date", "dirname", "flock", "grep", "mkdir", "sha256sum", "sleep", "tail", "tr"):
        found = next(path for place in ("/usr/bin", "/bin") if (path := Path(place) / name).exists())
        (programs / name).symlink_to(found)
    for name, text in (("id", "echo 1000"), ("apt-get", "echo must not be called; exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    done = run("sh", script, cwd=clone, PATH=str(programs), PYTHON=str(programs / "python3"))
    assert done.returncode == 1
    assert "this machine lacks: python3 python3-venv gcc" in done.stderr
    assert "as root: apt-get install python3 python3-venv gcc" in done.stderr
