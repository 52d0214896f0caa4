# SPDX-License-Identifier: BSD-3-Clause
"""Programs that nobody changed, on a volume mounted twice: they write through one mount and look through the other."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, file_grid
from support.programs import PROGRAMS, TAR, Program
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


def both(grid: FileGrid, program: Program, files: int, seconds: float = SECONDS) -> None:
    """Written on the one, looked at on the other."""
    missing = [word for word in program.needs if shutil.which(word) is None]
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    one, two = grid.mounts
    place = grid.place / program.name
    place.mkdir()
    inside = f"umask 022; mkdir -p {program.name}; cd {program.name}; "
    one.sh(inside + program.write, seconds, PLACE=str(place), FILES=str(files))
    for _ in eventually(60.0):  # names are believed for a second
        if (two.path / program.name).exists():
            break
    assert two.sh(inside + program.read, seconds, PLACE=str(place), FILES=str(files)).endswith(program.says)
    shutil.rmtree(place)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_a_program_makes_through_one_mount_is_whole_through_another(grid: FileGrid, program: Program) -> None:
    both(grid, program, files=600)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_tree_of_20000_files_is_packed_and_unpacked_to_its_end(grid: FileGrid) -> None:
    both(grid, dataclasses.replace(TAR, name="tar-20000"), files=20_000, seconds=1700.0)
