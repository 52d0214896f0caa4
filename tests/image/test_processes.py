# SPDX-License-Identifier: BSD-3-Clause
"""Programs of a build are told of when they fail, and none outlives it."""

import asyncio
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from xos.image.errors import StepFailed, ToolMissing
from xos.image.processes import environment, need, run, together
from xos.image.progress import step, tail


async def test_output_is_returned_and_errors_go_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    out = await run(["sh", "-c", "cat; echo told >&2"], step="it", log=log, stdin=b"given")
    assert (out, log.read_text()) == (b"given", "told\n")


async def test_a_failure_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="it failed .status 3.\nthe reason") as told:
        await run(["sh", "-c", "echo the reason >&2; exit 3"], step="it", log=tmp_path / "log")
    assert told.value.next_step == f"The whole of it is in {tmp_path / 'log'}"


async def test_a_program_that_is_cancelled_is_gone_at_once(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    os.mkfifo(started)
    work = run(["sh", "-c", f"echo $$ >{started}; exec sleep 1000"], step="it", log=tmp_path / "log")
    task = asyncio.ensure_future(work)
    pid = int(await asyncio.to_thread(started.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pid}").exists()


async def test_the_first_failure_ends_what_is_done_beside_it() -> None:
    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("long")

    async def bad() -> None:
        raise ToolMissing(program="x", package="y")

    with pytest.raises(ToolMissing):
        await together([long(), bad()])
    assert ended == ["long"]


def test_the_callers_settings_do_not_reach_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    made = environment({"SOURCE_DATE_EPOCH": "7"})
    assert set(made) == {"PATH", "HOME", "LC_ALL", "TZ", "https_proxy", "SOURCE_DATE_EPOCH"}


def test_a_missing_program_is_told_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissing) as told:
        need("ip")
    assert told.value.next_step == "apt-get install iproute2"


async def test_a_step_tells_that_it_begins_and_how_it_ends() -> None:
    said: list[str] = []
    async with step(said.append, "one"):
        pass
    with pytest.raises(ValueError, match="no"):
        async with step(said.append, "two"):
            raise ValueError("no")
    assert [line.split(":")[0].strip() for line in said] == ["one ...", "one", "two ...", "two"]
    assert said[-1].endswith("not done")


def test_the_tail_of_a_log_is_its_last_lines_and_empty_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"{n}\n" for n in range(5000)))
    assert tail(tmp_path / "log", 2) == "4998\n4999"
    assert tail(tmp_path / "none", 2) == ""
    (tmp_path / "log").write_text("\n".join(f"I: step {number} {'.' * 90}" for number in range(9)) + "\nE: the reason")
    assert tail(tmp_path / "log", 10).endswith("\nE: the reason")
    assert len(tail(tmp_path / "log", 10)) < 500
    (tmp_path / "log").write_text("E: the reason\nE: failed: " + "apt-get install " * 100)
    assert tail(tmp_path / "log", 10).startswith("E: the reason\nE: failed: apt-get")


def test_a_program_ends_with_a_builder_that_is_killed(tmp_path: Path) -> None:
    script = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    build = (
        "import asyncio, pathlib; from xos.image.processes import run; "
        f"asyncio.run(run(['sh', '-c', {script!r}], step='s', log=pathlib.Path({str(tmp_path / 'log')!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", build]) as builder:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert builder.poll() is None
        program = int((tmp_path / "pid").read_text())
        gone = os.pidfd_open(program)
        builder.kill()
        assert select.select([gone], [], [], 10)[0]
        os.close(gone)
