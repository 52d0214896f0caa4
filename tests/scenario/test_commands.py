# SPDX-License-Identifier: BSD-3-Clause
"""The job commands in a real grid: files there and back, output that loses nothing, patience."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

from support.localgrid import Grid, User

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
PATIENCE = 60.0


def raw(user: User, *argv: str, typed: bytes = b"") -> bytes:
    """Output of a command that is no text."""
    name, *words = user.argv(*argv)
    return subprocess.run([name, *words], env=user.environment, input=typed, capture_output=True, check=True).stdout


def test_files_go_there_and_the_result_comes_back(alice: User) -> None:
    """The sample with a script, its data and its result."""
    job = alice.run("xsub", "--wait", str(EXAMPLES / "wordcount.toml")).stdout.strip()
    assert alice.run("xout", "--file", "counts.txt", job).stdout.splitlines()[0].split()[1] == "the"
    assert "10 words counted on node" in alice.run("xout", job).stdout


def test_limits_are_the_programs(alice: User) -> None:
    """What the sample says of descriptors, core dumps and CPU time is what its shell sees."""
    job = alice.run("xsub", "--wait", str(EXAMPLES / "resources.jsdl")).stdout.strip()
    limits = dict(line.rsplit(None, 1) for line in alice.run("xout", job).stdout.splitlines() if " " in line)
    assert limits["nofiles"] == "64"
    assert limits["coredump(blocks)"] == "0"
    assert limits["time(seconds)"] == "30"


def test_standard_input_and_binary_output_travel_unchanged(alice: User) -> None:
    """Every byte of standard input arrives, and every byte of output comes back."""
    data = os.urandom(1_000_000)
    job = raw(alice, "xsub", "--wait", "--input", "-", "cat", typed=data).decode().strip()
    assert raw(alice, "xout", job) == data


def test_megabytes_of_output(alice: User) -> None:
    """Output far larger than any buffer on its way is the same at both ends."""
    script = "head -c 30000000 /dev/urandom > f; sha256sum < f >&2; cat f"
    job = alice.run("xsub", "--wait", "--", "sh", "-c", script).stdout.strip()
    digest = hashlib.sha256(raw(alice, "xout", job)).hexdigest()
    assert alice.run("xout", "--error", job).stdout.split()[0] == digest


def test_following_survives_kill_9_and_repeats_nothing(alice: User, grid: Grid) -> None:
    """While `xout -f` and `xwait` look on, the core's and a node's daemons are killed: each line comes once."""
    go = grid.effects / "go"
    os.mkfifo(go)
    go.chmod(0o666)
    job = alice.submit(f"for i in 1 2 3; do echo $i; done; read x < {go}; echo end")
    with alice.start("xout", "-f", job) as following, alice.start("xwait", job) as waiting:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
        (shown,) = json.loads(alice.run("xps", "--json", job).stdout)
        grid.kill("core")
        grid.kill(shown["units"][0]["node"])
        grid.up()
        go.write_text("go\n")
        assert following.communicate(timeout=PATIENCE)[0] == "end\n"
        assert waiting.communicate(timeout=PATIENCE)[0] == f"{job} DONE\n"
    assert (following.returncode, waiting.returncode) == (0, 0)


def test_states_change_in_place_on_a_terminal(alice: User) -> None:
    """`xsub --watch` draws over what it drew before, ends with DONE and the job's status."""
    ours, theirs = pty.openpty()
    env = {**alice.environment, "TERM": "xterm", "COLUMNS": "100"}
    watching = subprocess.Popen(
        alice.argv("xsub", "--watch", "-n", "2", "--", "sleep", "0.2"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env,
    )
    os.close(theirs)
    drawn = b""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and select.select([ours], [], [], PATIENCE)[0]:
        try:
            drawn += os.read(ours, 65_536)
        except OSError:  # EIO: the other end is closed
            break
    os.close(ours)
    assert watching.wait(PATIENCE) == 0
    last = drawn.rpartition(b"F\x1b[J")[2]
    assert drawn.count(b"F\x1b[J") >= 1
    assert last.count(b"DONE") == 3


def test_a_hostile_description_changes_nothing(alice: User) -> None:
    """Bad documents are refused with their place, and the next job runs."""
    bomb = '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><l>&b;</l>'
    refused = alice.run("xsub", "--json", "-f", "-", typed=bomb, status=2)
    assert json.loads(refused.stderr)["error"]["code"] == "aem.jsdl-forbidden"
    (alice.home / "huge.jsdl").write_bytes(b" " * 100_000_000)
    assert alice.run("xsub", "-f", "huge.jsdl", status=66).stdout == ""
    alice.run("xsub", "--wait", "true")
