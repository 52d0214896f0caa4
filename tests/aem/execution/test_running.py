# SPDX-License-Identifier: BSD-3-Clause
"""How a unit runs and ends, seen from the Job Manager."""

from __future__ import annotations

import os

import pytest

from support.units import Node, shell, unit_order
from xos.aem.api import InputFile, State
from xos.aem.jsdl import JobDescription, Limits, StagedFile
from xos.common.tls import Credential


async def test_a_program_that_succeeds_is_done(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("echo hello; echo trouble >&2"))
    unit = await node.run(order)
    assert (unit.state, unit.exit_code, unit.reason, unit.node) == (State.DONE, 0, "", node.name)
    assert unit.started is not None
    assert unit.ended is not None
    assert unit.started <= unit.ended
    assert unit.cpu_seconds > 0
    assert unit.memory_peak > 0
    assert await node.output(order.unit_id) == b"hello\n"
    assert await node.output(order.unit_id, "error") == b"trouble\n"


async def test_a_program_can_open_its_standard_streams_anew(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("echo hello >/dev/stdout; echo trouble >/dev/stderr"))
    assert (await node.run(order)).state is State.DONE
    assert await node.output(order.unit_id) == b"hello\n"
    assert await node.output(order.unit_id, "error") == b"trouble\n"


async def test_running_is_reported_before_the_end(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("sleep 100"))
    await node.start(order)
    unit = await node.manager.state(order.unit_id, State.RUNNING)
    assert unit.started is not None
    await node.kill(order.unit_id)
    assert (await node.manager.ended(order.unit_id)).state is State.CANCELLED


@pytest.mark.parametrize(("script", "code", "reason"), [
    ("exit 3", 3, "exit code 3"),
    ("exit 255", 255, "exit code 255"),
    ("kill -SEGV $$", 139, "ended by SIGSEGV"),
    ("kill -KILL $$", 137, "ended by SIGKILL"),
])  # fmt: skip
async def test_a_program_that_fails_says_how(
    node: Node, alice: Credential, script: str, code: int, reason: str
) -> None:
    unit = await node.run(unit_order(alice, shell(script)))
    assert (unit.state, unit.exit_code, unit.reason) == (State.FAILED, code, reason)


@pytest.mark.parametrize(("executable", "code", "reason"), [
    ("/no/such/program", 127, "cannot run /no/such/program: No such file or directory"),
    ("no-such-program", 127, "cannot run no-such-program: No such file or directory"),
    ("/etc/passwd", 126, "cannot run /etc/passwd: Permission denied"),
    ("/etc", 126, "cannot run /etc: Permission denied"),
    ("./garbage", 126, "cannot run ./garbage: Exec format error"),
])  # fmt: skip
async def test_a_program_that_cannot_be_run_says_why(
    node: Node, alice: Credential, executable: str, code: int, reason: str
) -> None:
    files = [InputFile("garbage", b"\0\1\2", executable=True)]
    unit = await node.run(unit_order(alice, JobDescription(executable=executable), files=files))
    assert (unit.state, unit.exit_code, unit.reason) == (State.FAILED, code, reason)


async def test_the_environment_is_ours_and_the_jobs_and_nothing_else(node: Node, alice: Credential) -> None:
    os.environ["SECRET_OF_THE_DAEMON"] = "yes"
    try:
        order = unit_order(
            alice, JobDescription(executable="env", environment=(("GREETING", "hi there"), ("XOS_VO", "forged")))
        )
        assert (await node.run(order)).state is State.DONE
    finally:
        del os.environ["SECRET_OF_THE_DAEMON"]
    lines = (await node.output(order.unit_id)).decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    home = found.pop("HOME")
    assert found.pop("TMPDIR") == home.removesuffix("/home") + "/tmp"
    assert found == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "USER": "alice",
        "GREETING": "hi there",
        "XOS_JOB_ID": order.job_id,
        "XOS_UNIT_ID": order.unit_id,
        "XOS_UNIT_INDEX": "0",
        "XOS_UNIT_COUNT": "1",
        "XOS_VO": "demo",
        "XOS_USER": "alice",
        "XOS_NODE": node.name,
    }


async def test_staged_files_streams_and_working_directory_are_where_the_job_says(node: Node, alice: Credential) -> None:
    description = JobDescription(
        executable="run.sh",
        arguments=("a b", ""),
        working_directory="deep/er",
        input="data/in.txt",
        output="out.txt",
        error="out.txt",
        stage_in=(StagedFile("run.sh"), StagedFile("data/in.txt", delete=True)),
        stage_out=(StagedFile("result"),),
    )
    script = b'#!/bin/sh\npwd; echo "$#:$1:$2"; cat; echo err >&2; echo made >result; touch "$TMPDIR/x"\n'
    files = [InputFile("run.sh", script, executable=True), InputFile("data/in.txt", b"from a file\n")]
    order = unit_order(alice, description, files=files)
    unit = await node.run(order)
    assert (unit.state, unit.reason) == (State.DONE, "")
    top = node.execution._dirs.work / order.unit_id
    assert [path.stat().st_mode & 0o777 for path in (top, top / "home", top / "tmp")] == [0o711, 0o700, 0o700]
    where, *rest = (await node.output(order.unit_id)).decode().splitlines()
    assert where.endswith(f"{order.unit_id}/home/deep/er")
    assert rest == ["2:a b:", "from a file", "err"]
    assert await node.output(order.unit_id, "error") == await node.output(order.unit_id)
    assert await node.output(order.unit_id, "result") == b"made\n"


async def test_a_program_gets_three_descriptors_and_default_signals(node: Node, alice: Credential) -> None:
    order = unit_order(
        alice, shell("ls -l /proc/self/fd; grep -E '^(Sig(Blk|Ign)|NoNewPrivs)' /proc/self/status; umask")
    )
    assert (await node.run(order)).state is State.DONE
    text = (await node.output(order.unit_id)).decode()
    assert "0 -> /dev/null" in text
    assert [line for line in text.splitlines() if " -> " in line and "/proc/" not in line][3:] == []
    assert "SigBlk:\t0000000000000000" in text
    ignored = next(int(line.split()[1], 16) for line in text.splitlines() if line.startswith("SigIgn:"))
    # Signals 32 and 33 are glibc's own: no program can set them, so what ignores them here did so before Python began.
    assert ignored & ~(0b11 << 31) == 0
    assert "NoNewPrivs:\t1" in text
    assert "0077" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give units accounts of their own")
async def test_each_user_has_an_account_of_its_own_and_none_is_root(
    node: Node, alice: Credential, bob: Credential
) -> None:
    script = shell("id -u; id -g; id -G; stat -c %u . ; touch mine; cat /proc/self/cgroup | tail -1")
    first, second, other = unit_order(alice, script), unit_order(alice, script), unit_order(bob, script)
    for order in (first, second, other):
        assert (await node.run(order)).state is State.DONE
    uid = (await node.output(first.unit_id)).split()[0]
    assert 700_000 <= int(uid) <= 799_999
    assert (await node.output(first.unit_id)).split()[:4] == [uid] * 4
    assert (await node.output(second.unit_id)).split()[:4] == [uid] * 4
    assert (await node.output(other.unit_id)).split()[0] not in (uid, b"0")


async def test_what_the_job_leaves_behind_is_killed(node: Node, alice: Credential) -> None:
    script = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; nohup sleep 1000 & echo left"
    order = unit_order(alice, shell(script))
    unit = await node.run(order)
    assert unit.state is State.DONE  # the fixture node_name finds whatever lives on


async def test_wall_time_is_enforced_with_a_chance_to_clean_up(node: Node, alice: Credential) -> None:
    # A loop, since its sleep gets the SIGTERM too, perhaps first.
    script = "trap 'echo cleaned; exit 9' TERM; while :; do sleep 1000 & wait; done"
    order = unit_order(alice, shell(script, wall_time=1))
    unit = await node.run(order)
    assert (unit.state, unit.exit_code) == (State.FAILED, 9)
    assert unit.reason == "killed: its wall time of 1 s was used up"
    assert await node.output(order.unit_id) == b"cleaned\n"


async def test_a_unit_that_ignores_sigterm_is_killed_after_the_grace(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("trap '' TERM; echo on; while :; do sleep 1000; done"))
    await node.start(order)
    await node.manager.state(order.unit_id, State.RUNNING)
    async for piece in node.pieces(order.unit_id, follow=True):
        assert piece == b"on\n"
        break
    await node.kill(order.unit_id)
    unit = await node.manager.ended(order.unit_id)
    assert (unit.state, unit.exit_code, unit.reason) == (State.CANCELLED, 137, "killed")


async def test_a_stopped_unit_can_be_killed(node: Node, alice: Credential) -> None:
    order = unit_order(alice, shell("kill -STOP $$"))
    await node.start(order)
    await node.manager.state(order.unit_id, State.RUNNING)
    await node.kill(order.unit_id)
    assert (await node.manager.ended(order.unit_id)).state is State.CANCELLED


async def test_more_memory_than_the_limit_is_not_given(node: Node, alice: Credential) -> None:
    program = "x = bytearray(400_000_000)"
    job = JobDescription(executable="/usr/bin/python3", arguments=("-c", program), memory_limit=200_000_000)
    order = unit_order(alice, job)
    unit = await node.run(order)
    assert unit.state is State.FAILED
    assert b"MemoryError" in await node.output(order.unit_id, "error") or "memory" in unit.reason


async def test_limits_of_the_job_are_set(node: Node, alice: Credential) -> None:
    limits = Limits(cpu_time=7, file_size=1024, core_dump=0, open_files=17, stack=1 << 20)
    order = unit_order(
        alice, shell("ulimit -t; ulimit -c; ulimit -n; ulimit -s; head -c 4096 /dev/zero >big", limits=limits)
    )
    unit = await node.run(order)
    assert (await node.output(order.unit_id)).split() == [b"7", b"0", b"17", b"1024"]
    assert unit.state is State.FAILED


async def test_a_megabyte_of_arguments_is_an_error_that_says_so(node: Node, alice: Credential) -> None:
    arguments = tuple(f"{number:0100000d}" for number in range(10))
    fits = await node.run(unit_order(alice, JobDescription(executable="/bin/true", arguments=arguments)))
    assert fits.state is State.DONE
    small = Limits(stack=1 << 20)
    unit = await node.run(unit_order(alice, JobDescription(executable="/bin/true", arguments=arguments, limits=small)))
    assert (unit.state, unit.exit_code) == (State.FAILED, 126)
    assert unit.reason == "cannot run /bin/true: arguments and environment are larger than Linux takes"
