# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are no commands have man pages and completions in their packages too."""

import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TOOL = importlib.resources.files("xos.image") / "rpms/inside/program-files"
COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$(complete -p "$1" | sed 's/.* -F \\([^ ]*\\) .*/\\1/')" "$1" "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
PROGRAMS = {
    "xos-setup": "xos.setup.cli:parser",
    "xos-install": "xos.setup.install.command:parser",
    "xos-image": "xos.image.cli:parser",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the packages of the programs get."""
    place = tmp_path_factory.mktemp("root")
    sources = place / "sources"
    sources.mkdir()
    (sources / "docs").symlink_to(TOP / "docs")
    for name, where in PROGRAMS.items():
        subprocess.run([sys.executable, str(TOOL), str(place), name, "8", where], cwd=sources, check=True)
    return place


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_was_made_is_listed_for_the_package(root: Path, name: str) -> None:
    program, page, *completions = (root / f"sources/{name}.files").read_text().split()
    assert program == f"/usr/bin/{name}"
    assert (root / page.removesuffix("*")[1:]).read_text().startswith(f".TH {name.upper()} 8 ")
    assert len(completions) == 2
    assert all(name in (root / file[1:]).read_text() for file in completions)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("xos-setup", "lo"), {"local"}),
        (("xos-setup", "local", "de"), {"destroy", "demo"}),
        (("xos-install", "--li"), {"--list"}),
        (("xos-image", "build", "core", "--format", "q"), {"qcow2"}),
        (("xos-image", "rpms", "--che"), {"--checkout"}),
    ],
)
def test_bash_completes_what_its_user_types(root: Path, words: tuple[str, ...], offered: set[str]) -> None:
    file = root / "usr/share/bash-completion/completions" / words[0]
    done = subprocess.run(["bash", "-c", COMPLETE, "-", str(file), *words], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


def test_a_page_says_nothing_of_the_machine_that_made_it(root: Path) -> None:
    page = root / "usr/share/man/man8/xos-image.8"
    before = page.read_text()
    arguments = ["", str(root), "xos-image", "8", PROGRAMS["xos-image"]]
    elsewhere = (
        f"os.cpu_count = lambda: 97; sys.argv = {arguments!r}; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", f"import os, runpy, sys; {elsewhere}"], cwd=root / "sources", check=True)
    assert page.read_text() == before
