# SPDX-License-Identifier: BSD-3-Clause
"""Programs of a VO user's, on a volume that two systems mount: what they write on one is looked at on the other."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import trees
from support.programs import PROGRAMS, TAR, Program
from support.systems import Grid, Machine

pytestmark = [
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounting needs /dev/fuse"),
    pytest.mark.timeout(1800),
]
HERE = "/srv/programs"
SECONDS = 600.0
ALICE = "alice.demo"
PLACE = "/var/tmp/programs"
"""A local directory of alice's on each machine."""
WRITERS = """
for who in 1 2 3; do
    {{ echo '.timeout 100000'; for n in $(seq 30); do
    echo "begin immediate; insert into t values ('{name} $who', $n, randomblob($n * 137 % 5000)); commit;"
    done; }} | sqlite3 both.db &
    all="${{all:-}} $!"
done
for one in $all; do wait $one; done
"""


@pytest.fixture(scope="module")
def volume(grid: Grid) -> Iterator[str]:
    """Striped over both nodes and mounted on both, as root, for all accounts."""
    nodes = (grid.node1, grid.node2)
    grid.core.wait_for("both OSDs are known", lambda: grid.alice("xtfs_chstatus").count("OSD ") == 2)
    grid.alice(["xwait", grid.submit("true", units=2)])
    grid.core.run("mkfs.xtreemfs --mode 1777 --width 2 --size 128K programs")
    try:
        for node in nodes:
            node.run(f"mkdir -p {HERE} && mount -t xtreemfs -o nosuid,nodev programs {HERE}")
            node.run(f"rm -rf {PLACE}; install -d -m 700 -o {ALICE} {PLACE}")
        yield HERE
    finally:
        for node in nodes:
            node.run(f"umount -l {HERE}; rmdir {HERE}; rm -rf {PLACE}", check=False)
        grid.core.run("rmfs.xtreemfs --force programs", seconds=SECONDS)


def work(machine: Machine, directory: str, script: str, files: int) -> str:
    """What alice's script in *directory* of the volume writes."""
    env = {"PLACE": PLACE, "FILES": str(files), "OTHER": "bob.demo", "OTHERS": "users.demo", "LC_ALL": "C"}
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
    inside = f"umask 022; mkdir -p {HERE}/{directory}; cd {HERE}/{directory}"
    return machine.run(f"export {exports}; {inside}; {script}", as_user=ALICE, seconds=SECONDS)


def seen(machine: Machine, directory: str) -> dict[str, trees.Facts]:
    """The tree, as alice sees it there."""
    script = Path(trees.__file__).read_text()
    told = machine.run(["python3", "-", f"{HERE}/{directory}"], as_user=ALICE, stdin=script, seconds=SECONDS)
    found: dict[str, trees.Facts] = json.loads(told)
    return found


def carried(grid: Grid) -> None:
    """What programs keep outside of the volume is on the other node too."""
    packed = grid.node1.run(f"tar -C {PLACE} -cz . | base64", as_user=ALICE, seconds=SECONDS)
    grid.node2.run(f"base64 -d | tar -C {PLACE} -xz", as_user=ALICE, stdin=packed, seconds=SECONDS)


def both(grid: Grid, program: Program, files: int) -> None:
    """Written on node1, looked at on node2."""
    for node in (grid.node1, grid.node2):
        lacking = node.run(f"for p in {' '.join(program.needs)} getfacl; do command -v $p >/dev/null || echo $p; done")
        if lacking:
            pytest.skip(f"{node.name} lacks {lacking.split()} (xos-image grid up --also)")
        node.run(f"find {PLACE} -mindepth 1 -delete")
    work(grid.node1, program.name, program.write, files)
    carried(grid)
    there, here = seen(grid.node2, program.name), seen(grid.node1, program.name)
    assert there == here
    assert {facts["owner"] for facts in there.values()} == {ALICE}
    assert {facts["group"] for facts in there.values()} == {"alice@demo"}
    assert work(grid.node2, program.name, program.read, files).endswith(program.says)


@pytest.mark.usefixtures("volume")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_a_program_makes_on_one_system_is_whole_on_another(grid: Grid, program: Program) -> None:
    both(grid, program, files=600)


@pytest.mark.slow
@pytest.mark.usefixtures("volume")
def test_a_tree_of_20000_files_is_packed_here_and_unpacked_there(grid: Grid) -> None:
    both(grid, dataclasses.replace(TAR, name="tar-20000"), files=20_000)


@pytest.mark.usefixtures("volume")
def test_a_database_is_written_to_by_two_systems_at_once(grid: Grid) -> None:
    work(grid.node1, "load", "sqlite3 both.db 'create table t (who text, n integer, b blob)'", 0)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [
            pool.submit(work, node, "load", WRITERS.format(name=node.name), 0) for node in (grid.node1, grid.node2)
        ]
        for one in running:
            one.result()
    for node in (grid.node1, grid.node2):
        ask = "sqlite3 both.db 'pragma integrity_check; select count(*), count(distinct who) from t'"
        assert work(node, "load", ask, 0) == "ok\n180|6\n"
