# SPDX-License-Identifier: BSD-3-Clause
"""docs/tutorial-service.md works as it stands: its files are written, its commands run, its output is what it shows.

A block of code after ``<!-- file: NAME -->`` is a file of the reader's package; ``sh`` blocks are run one after another
in one shell; a ``text`` block says what the ``sh`` block before it prints.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.localgrid import network
from xos.setup.errors import PortTaken

REPOSITORY = Path(__file__).parents[2]
TUTORIAL = REPOSITORY / "docs/tutorial-service.md"
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = "==== end of block"


class Block(NamedTuple):
    """One block of code of the page."""

    kind: str
    text: str
    file: str | None


def blocks(page: str) -> list[Block]:
    return [Block(found["kind"], found["text"], found["file"]) for found in BLOCK.finditer(page)]


def script(found: list[Block], package: Path) -> str:
    """The reader's session: files are written and commands run in the order of the page."""
    parts = ["set -e", "exec 2>&1"]
    for block in found:
        if block.file is not None:
            path = package / block.file
            parts.append(f"mkdir -p {path.parent}; cat > {path} <<'END OF FILE'\n{block.text}END OF FILE")
        elif block.kind == "sh":
            parts.append(f"{block.text}echo '{MARK}'")
    return "\n".join(parts)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory like a clone after ``make run``: programs and libraries are ours, what is installed is its own."""
    place = tmp_path_factory.mktemp("reader") / "xtreemos"
    place.mkdir()
    environment(place / ".venv")
    python = place / ".venv/bin/python"
    setup = [str(python), "-m", "xos.setup.cli", "local"]
    job = str(REPOSITORY / "docs/examples/hello.jsdl")
    for _ in range(20):
        argv = [*setup, "demo", "--root", str(place / "build/grid"), "--network", network(), "--job", job]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if PortTaken.hint not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    yield place
    subprocess.run([*setup, "destroy", "--yes", "--root", str(place / "build/grid")], check=True, capture_output=True)


def environment(place: Path) -> None:
    """A virtual environment that sees all that ours has."""
    venv.create(place, symlinks=True)
    ours, scripts = sysconfig.get_path("purelib"), Path(sysconfig.get_path("scripts"))
    theirs = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (theirs / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    python = place / "bin/python"
    for name in ("pip", "dixi-gen", "xos-setup", "dixid"):
        text = (scripts / name).read_text().replace(str(scripts), str(place / "bin"))
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    shutil.copy(scripts / "xos-command", place / "bin")
    for link in scripts.iterdir():
        if link.is_symlink() and str(link.readlink()) == "xos-command":
            (place / "bin" / link.name).symlink_to("xos-command")
    assert python.exists()


def test_the_tutorial_runs_as_it_stands(clone: Path) -> None:
    core = (clone / "build/grid/grid.json").read_text()
    addresses = re.search(r'"network":\s*"([\d.]+)"', core)
    assert addresses is not None
    found = blocks(TUTORIAL.read_text().replace("127.20.0.", f"{addresses[1]}."))
    assert sum(block.file is not None for block in found) >= 6
    path = f"{clone}/.venv/bin:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XOS_", "VIRTUAL_ENV", "PYTHON"))}
    done = subprocess.run(
        ["bash", "-c", script(found, clone.parent / "guestbook")],
        cwd=clone,
        env={**kept, "PATH": path, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    printed = done.stdout.split(f"{MARK}\n")
    commands = [block for block in found if block.kind == "sh" and block.file is None]
    assert done.returncode == 0, f"after {commands[len(printed) - 1].text!r}:\n{printed[-1]}"
    shown = [block for block in found if block.file is None and block.kind in ("sh", "text")]
    for index, block in enumerate(shown):
        if block.kind == "text":
            number = sum(other.kind == "sh" for other in shown[:index]) - 1
            assert printed[number].split() == block.text.split(), shown[index - 1].text


def test_what_the_reader_writes_passes_our_own_checks(clone: Path) -> None:
    package = clone.parent / "guestbook"
    config = f"--config-file={REPOSITORY / 'pyproject.toml'}"
    mypy = [sys.executable, "-m", "mypy", config, "--cache-dir", str(clone / "mypy"), str(package / "src")]
    env = {**os.environ, "MYPYPATH": str(package / "src")}
    done = subprocess.run(mypy, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout
    ruff = [str(Path(sys.executable).parent / "ruff"), "check", "--config", str(REPOSITORY / "pyproject.toml")]
    skipped = ["--ignore", "INP001,D104", "--no-cache", str(package / "src")]
    done = subprocess.run([*ruff, *skipped], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
