# SPDX-License-Identifier: BSD-3-Clause
"""What the manual points to is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAKEFILE = REPOSITORY / "Makefile"
SKIPPED = {".venv", "build", "golden", ".git", ".tox"}
PAGES = [page for page in sorted(REPOSITORY.rglob("*.md")) if not SKIPPED & set(page.relative_to(REPOSITORY).parts)]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in LINK.findall(text) if not link.startswith(("http:", "https:", "mailto:"))]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert not missing


def test_the_targets_that_pages_name_exist() -> None:
    for page in PAGES:
        for directory, target in re.findall(r"`make (?:-C (\S+) )?([a-z-]+)", page.read_text()):
            makefiles = [page.parent / directory / "Makefile"] if directory else [page.parent / "Makefile", MAKEFILE]
            found = "".join(each.read_text() for each in makefiles if each.exists())
            assert target in re.findall(r"^([a-z-]+):", found, re.MULTILINE), page


def test_the_first_page_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) < 100


@pytest.mark.parametrize("script", ["packages/setup/bootstrap/prepare", "packages/setup/bootstrap/checks", ".ci/run"])
def test_scripts_are_right_for_any_sh(script: str) -> None:
    done = subprocess.run(["sh", "-n", REPOSITORY / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
