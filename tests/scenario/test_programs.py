# SPDX-License-Identifier: BSD-3-Clause
"""Programs that nobody changed, on a volume mounted twice: they write through one mount and look through the other."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, file_grid
from support.programs import PROGRAMS, TAR, Program
from support.trees import alike, entries
from xos.xtreemfs.api import Policy, Striping

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"
)
SECONDS = 300.0


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    """Striped over two OSDs; two mounts know as little of each other as two machines."""
    with file_grid(2) as made:
        made.make_volume("programs", Policy(striping=Striping(128 << 10, 2)), mode=0o1777)
        made.mount("programs")
        made.mount("programs")
        yield made


def ready(grid: FileGrid, program: Program, files: int) -> dict[str, str]:
    """The program's environment; a place for it that is empty."""
    missing = [word for word in (*program.needs, "getfacl") if shutil.which(word) is None]
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    place = grid.place / program.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return {"PLACE": str(place), "FILES": str(files), "OTHER": "4242", "OTHERS": "77"}


def both(grid: FileGrid, program: Program, files: int, seconds: float = SECONDS) -> None:
    """Written on the one, looked at on the other."""
    env = ready(grid, program, files)
    one, two = grid.mounts
    inside = f"umask 022; mkdir -p {program.name}; cd {program.name}; "
    one.sh(inside + program.write, seconds, **env)
    for _ in eventually(60.0):  # names are believed for a second
        if (two.path / program.name).exists():
            break
    assert entries(two.path / program.name) == entries(one.path / program.name)
    assert two.sh(inside + program.read, seconds, **env).endswith(program.says)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_a_program_makes_through_one_mount_is_whole_through_another(grid: FileGrid, program: Program) -> None:
    both(grid, program, files=600)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_makes_on_a_mount_what_it_makes_on_a_local_disk(grid: FileGrid, program: Program) -> None:
    trees = []
    for top in (grid.mounts[0].path, grid.place):
        env = ready(grid, program, files=300)
        home = top / f"{program.name}-alike"
        home.mkdir()
        done = subprocess.run(
            ["sh", "-euc", f"umask 022; cd '{home}'; {program.write}"], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, env={**os.environ, "LC_ALL": "C", **env}, cwd="/", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        trees.append(alike(entries(home), program.unlike))
    assert trees[0] == trees[1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_tree_of_20000_files_is_packed_and_unpacked_to_its_end(grid: FileGrid) -> None:
    both(grid, dataclasses.replace(TAR, name="tar-20000"), files=20_000, seconds=1700.0)
