# SPDX-License-Identifier: BSD-3-Clause
"""What xsub sends, and what it tells."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from xos.aem.api import InputFile, State
from xos.aem.jsdl import JobDescription, StagedFile, parse, to_jsdl


async def test_a_program_and_its_arguments(shell: Any, grid: Any) -> None:
    """Everything after the program is the program's, dashes or not; only the id is printed."""
    result = await shell("xsub", "-n", "2", "--", "echo", "-n", "--", "hello world")
    assert (result.status, result.out, result.err) == (0, "demo-1\n", "")
    (order,) = grid.orders
    assert parse(order.jsdl) == JobDescription(
        executable="echo", arguments=("-n", "--", "hello world"), total_resource_count=2, name="echo"
    )
    assert (order.vo, order.files) == ("demo", ())
    assert len(order.request_id) == 32


async def test_the_dashes_may_be_left_out(shell: Any, grid: Any) -> None:
    """Options end at the first word that is not one."""
    await shell("xsub", "sh", "-c", "echo -n 3")
    assert parse(grid.orders[0].jsdl).arguments == ("-c", "echo -n 3")


async def test_every_order_is_its_own_job(shell: Any, grid: Any) -> None:
    """Two submissions of the same command are two jobs: their request ids differ."""
    await shell("xsub", "true")
    await shell("xsub", "true")
    assert len({order.request_id for order in grid.orders}) == 2


async def test_all_options(shell: Any, grid: Any, tmp_path: Path) -> None:
    """Each option arrives in the job description."""
    (tmp_path / "in.txt").write_bytes(b"in")
    (tmp_path / "data").write_bytes(b"d")
    result = await shell(
        "xsub", "--name", "my job", "-n", "3", "--cores", "2", "--memory", "2G", "--time", "1h30m", "--host", "node1",
        "--host", "node2", "--arch", "aarch64", "-i", "data:deep/data", "-o", "result", "--input", "in.txt",
        "--output", "out", "--error", "/dev/null", "-E", "A=1", "-E", "EDITOR=ed", "--directory", "work",
        "/bin/cat", "x",
    )  # fmt: skip
    assert result.status == 0, result.err
    job = parse(grid.orders[0].jsdl)
    assert job == JobDescription(
        executable="/bin/cat",
        arguments=("x",),
        environment=(("A", "1"), ("EDITOR", "ed")),
        name="my job",
        input="in.txt",
        output="out",
        error="/dev/null",
        working_directory="work",
        wall_time=5400,
        memory=2**31,
        memory_limit=2**31,
        stage_in=(
            StagedFile("deep/data", uri=f"file://{tmp_path}/data"),
            StagedFile("in.txt", uri=f"file://{tmp_path}/in.txt"),
        ),
        stage_out=(StagedFile("result"),),
        total_resource_count=3,
        cores=2,
        architecture="aarch64",
        candidate_hosts=("node1", "node2"),
    )
    assert grid.orders[0].files == (InputFile("deep/data", b"d"), InputFile("in.txt", b"in"))


async def test_a_relative_program_travels(shell: Any, grid: Any, tmp_path: Path) -> None:
    """A script of the user's is sent along and stays executable."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    assert (await shell("xsub", "bin/run.sh", "1")).status == 0
    assert parse(grid.orders[0].jsdl).executable == "./run.sh"
    assert grid.orders[0].files == (InputFile("run.sh", b"#!/bin/sh\n", executable=True),)


async def test_standard_input_travels(shell: Any, grid: Any) -> None:
    """--input - sends what is on standard input."""
    await shell("xsub", "--input", "-", "cat", stdin=b"from here")
    assert grid.orders[0].files == (InputFile("stdin", b"from here"),)
    assert parse(grid.orders[0].jsdl).input == "stdin"


async def test_a_jsdl_file_is_sent_as_written(shell: Any, grid: Any, tmp_path: Path) -> None:
    """What the user signs is what the user wrote; files are found beside the document."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/data").write_bytes(b"d")
    document = to_jsdl(JobDescription(executable="/bin/true", stage_in=(StagedFile("data"),)))
    document = document.replace(b"<JobDefinition", b"<!-- mine -->\n<JobDefinition")
    (tmp_path / "jobs/job.jsdl").write_bytes(document)
    assert (await shell("xsub", "jobs/job.jsdl")).status == 0
    assert (await shell("xsub", "-f", "jobs/job.jsdl")).status == 0
    assert grid.orders[0].jsdl == grid.orders[1].jsdl == document
    assert grid.orders[0].files == (InputFile("data", b"d"),)


async def test_a_program_that_is_called_like_a_description(shell: Any, grid: Any, tmp_path: Path) -> None:
    """After two dashes, or with arguments, it is a program."""
    (tmp_path / "run.toml").write_bytes(b"#!/bin/sh\n")
    await shell("xsub", "--", "./run.toml")
    await shell("xsub", "./run.toml", "x")
    assert [parse(order.jsdl).executable for order in grid.orders] == ["./run.toml", "./run.toml"]


async def test_a_toml_file_and_options(shell: Any, grid: Any, tmp_path: Path) -> None:
    """TOML becomes JSDL; options win over the file."""
    (tmp_path / "job.toml").write_text('executable = "/bin/true"\nunits = 2\nname = "n"\n')
    await shell("xsub", "-f", "job.toml", "-n", "5")
    assert parse(grid.orders[0].jsdl) == JobDescription(executable="/bin/true", name="n", total_resource_count=5)


async def test_a_description_on_standard_input(shell: Any, grid: Any) -> None:
    """-f - reads JSDL or TOML from standard input."""
    await shell("xsub", "-f", "-", stdin=b'executable = "/bin/true"')
    await shell("xsub", "-f", "-", stdin=b"\n  " + to_jsdl(JobDescription(executable="/bin/false")).split(b"\n", 1)[1])
    assert [parse(order.jsdl).executable for order in grid.orders] == ["/bin/true", "/bin/false"]


async def test_dry_run_prints_jsdl_and_sends_nothing(shell: Any, grid: Any) -> None:
    """What is printed is a document that submits the same job."""
    result = await shell("xsub", "--dry-run", "-n", "2", "echo", "hi")
    assert result.status == 0
    assert parse(result.raw).total_resource_count == 2
    assert grid.calls == []


async def test_json(shell: Any) -> None:
    """--json prints one object with the id."""
    result = await shell("xsub", "--json", "-n", "2", "true")
    assert json.loads(result.out) == {"job_id": "demo-1", "name": "true", "units": 2}


async def test_a_terminal_gets_a_friendly_line_beside(shell: Any) -> None:
    """The id alone is on standard output, in a terminal too."""
    result = await shell("xsub", "true", tty=True)
    assert result.out == "demo-1\n"
    assert "xout -f demo-1" in result.err


BAD: list[tuple[tuple[str, ...], int, str]] = [
    ((), 2, "give a program or a job description"),
    (("-f", "x", "--", "true"), 2, "not both"),
    (("-f", "missing.jsdl"), 66, "No such file"),
    (("-f", "."), 66, "not a regular file"),
    (("-f", "fifo"), 66, "not a regular file"),
    (("-f", "huge"), 66, "larger than"),
    (("-f", "-", "--input", "-"), 2, "cannot both"),
    (("./missing.sh",), 66, "No such file"),
    (("-i", "missing", "true"), 66, "No such file"),
    (("-i", ".", "true"), 66, "not a regular file"),
    (("-i", "huge", "true"), 66, "larger than"),
    (("-i", "a:../x", "true"), 2, "--stage-in: “../x” leads out"),
    (("-i", "a:x", "-i", "b:x", "true"), 2, "same name"),
    (("-o", "../x", "true"), 2, "-o: “../x” leads out"),
    (("--output", "/tmp/x", "true"), 2, "--output: not supported yet"),
    (("-n", "0", "true"), 2, "--units: 0 is not between 1 and 10000"),
    (("-n", "1000000000", "true"), 2, "--units"),
    (("-n", "two", "true"), 2, "invalid int"),
    (("--memory", "lots", "true"), 2, "--memory: “lots” is not a size"),
    (("--time", "soon", "true"), 2, "--time: “soon” is not a time"),
    (("--host", "a b", "true"), 2, "--host"),
    (("-E", "=1", "true"), 2, "--env"),
    (("-E", "NOT_THERE", "true"), 2, "--env NOT_THERE: no value"),
    (("echo", "a\x1bb"), 2, "argument 1"),
    (("echo", "\udcff"), 2, "argument 1"),
    (("echo", "x" * 140_000), 2, "argument 1"),
]


@pytest.mark.parametrize(("argv", "status", "message"), BAD)
async def test_bad_command_lines(
    shell: Any, grid: Any, tmp_path: Path, argv: tuple[str, ...], status: int, message: str
) -> None:
    """Each is one clear line, and nothing is submitted."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(100_000_000)
    os.mkfifo(tmp_path / "fifo")
    result = await shell("xsub", *argv)
    assert result.status == status, result.err
    assert message in result.err
    assert result.out == ""
    assert grid.calls == []


async def test_many_small_files_are_too_large_together(shell: Any, grid: Any, tmp_path: Path) -> None:
    """The bound holds for the order, not for each file."""
    argv = []
    for n in range(5):
        (tmp_path / f"f{n}").write_bytes(b"x" * 1_000_000)
        argv += ["-i", f"f{n}"]
    result = await shell("xsub", *argv, "true")
    assert (result.status, grid.calls) == (66, [])
    assert "file system that the nodes mount" in result.err


async def test_a_bad_description_names_line_and_element(shell: Any, tmp_path: Path) -> None:
    """The user sees where to look; with --json so does a program."""
    document = to_jsdl(JobDescription(executable="/bin/true")).replace(b"Executable", b"Program")
    (tmp_path / "job.jsdl").write_bytes(document)
    result = await shell("xsub", "-f", "job.jsdl")
    assert result.status == 2
    assert result.err.startswith("xsub: line 6, Application/POSIXApplication/Program: no such element")
    result = await shell("xsub", "--json", "-f", "job.jsdl")
    error = json.loads(result.err)["error"]
    assert (error["code"], error["data"]["line"]) == ("aem.jsdl-unknown-element", 6)


@pytest.mark.parametrize(
    ("state", "exit_code", "status"),
    [
        (State.DONE, 0, 0),
        (State.FAILED, 3, 3),
        (State.FAILED, 137, 137),
        (State.FAILED, None, 126),
        (State.FAILED, 256, 126),
        (State.CANCELLED, 137, 143),
    ],
)
async def test_wait_exits_as_the_job_did(
    shell: Any, grid: Any, state: State, exit_code: int | None, status: int
) -> None:
    """The exit status says how the job ended."""
    waiting = asyncio.create_task(shell("xsub", "--wait", "true"))
    await grid.called("JobManager.wait_job")
    await grid.put(replace(grid.jobs["demo-1"], state=state, exit_code=exit_code, reason=""))
    result = await waiting
    assert (result.status, result.out) == (status, "demo-1\n")
    assert (state.value in result.err) == (status != 0)


async def test_watch_shows_each_change_once(shell: Any, grid: Any, make_job: Any) -> None:
    """Without a terminal, a line for each state of job and unit; the exit status is the job's."""
    watching = asyncio.create_task(shell("xsub", "--watch", "true"))
    await grid.called("JobManager.watch_job")
    for n, changed in enumerate((make_job(), replace(make_job(), name="same states"), make_job(state=State.DONE)), 1):
        await grid.until(lambda n=n: grid.consumed >= n)
        await grid.put(changed)
    result = await watching
    lines = result.out.splitlines()
    assert lines[0] == "demo-1"
    assert [line.split(" ", 1)[1] for line in lines[1:]] == [
        "demo-1 PENDING no node is free",
        "demo-1 RUNNING",
        "demo-1.0 RUNNING node1",
        "demo-1 DONE",
        "demo-1.0 DONE node1",
    ]
    assert result.status == 0


async def test_watch_draws_in_place_on_a_terminal(shell: Any, grid: Any, make_job: Any) -> None:
    """Each drawing goes up over the one before it, and no line is wider than the terminal."""
    watching = asyncio.create_task(shell("xsub", "-W", "-n", "30", "true", tty=True, columns=60))
    await grid.called("JobManager.watch_job")
    await grid.put(make_job(state=State.DONE, units=30))
    result = await watching
    first, second = result.out.split("\x1b[", 1)[0], result.out.split("\x1b[", 1)[1]
    drawn = first.split("\n", 1)[1]
    assert second.startswith(f"{drawn.count(chr(10))}F\x1b[J")
    assert "and 14 more units" in drawn
    assert max(len(line) for line in drawn.splitlines()) <= 60


async def test_the_clock_goes_on_while_nothing_changes(
    shell: Any, grid: Any, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the running time is drawn anew by itself."""
    monkeypatch.setattr("xos.aem.cli._board.TICK_SECONDS", 0.001)
    watching = asyncio.create_task(shell("xsub", "-W", "true", tty=True))
    await grid.called("JobManager.watch_job")
    await grid.put(make_job())
    await grid.until(lambda: grid.consumed >= 2)
    await asyncio.sleep(0.05)
    await grid.put(make_job(state=State.DONE))
    assert (await watching).out.count("RUNNING") > 4


async def test_the_wait_survives_a_job_manager_that_goes_away(shell: Any, grid: Any, lost: Any, make_job: Any) -> None:
    """A connection that breaks while waiting is told once, and does not end the wait."""
    grid.fail("JobManager.wait_job", lost, lost)
    waiting = asyncio.create_task(shell("xsub", "--wait", "true"))
    await grid.called("JobManager.wait_job", 3)
    await grid.put(make_job(state=State.DONE))
    result = await waiting
    assert result.status == 0
    assert result.err.count("trying again") == 1


async def test_an_interrupted_wait_says_how_to_end_the_job(shell: Any, grid: Any) -> None:
    """Ctrl-C ends the waiting, not the job."""
    waiting = asyncio.create_task(shell("xsub", "--wait", "true"))
    await grid.called("JobManager.wait_job")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert grid.jobs["demo-1"].state is State.PENDING


async def test_trouble_after_the_job_is_kept_exits_125(shell: Any, grid: Any) -> None:
    """An error of the waiting cannot be mistaken for the job's exit status."""
    from xos.common.errors import CertificateExpired

    grid.fail("JobManager.job_info", CertificateExpired(name="alice@demo"))
    result = await shell("xsub", "--wait", "true")
    assert (result.status, result.out) == (125, "demo-1\n")
