# SPDX-License-Identifier: BSD-3-Clause
"""How commands are found and run, and what users see of errors."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from support import sample_commands
from support.dixi import until
from support.sample_commands import ALL
from support.sessions import Terminal, terminals
from xos.common.errors import XosError
from xos.dixi import commands
from xos.dixi.commands import Command, Session, UnknownCommand, find, invoke, names
from xos.dixi.session import home_of
from xos.dixi.tables import Colour, Painted, clean, cut, paint, table, width

Rows = list[list[str | Painted]]
terminal = pytest.fixture(terminals)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_commands.install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_command_is_found_by_its_entry_point() -> None:
    assert find("xt-show") is not None
    assert find("xt-show").name == "xt-show"
    assert {"xt-show", "xconsole", "xos-agent"} <= set(names())


def test_an_unknown_command_is_an_error_with_the_shells_status() -> None:
    with pytest.raises(UnknownCommand) as caught:
        find("xt-nothing")
    assert caught.value.exit_status == 127


async def test_a_command_gets_its_arguments_and_its_exit_status_is_returned(terminal: Terminal) -> None:
    status = await invoke(ALL["xt-show"], ["a b", "ü"], terminal.session("xt-show"))
    assert status == 2
    assert json.loads(terminal.stdout.text)["words"] == ["a b", "ü"]


@pytest.mark.parametrize("argv", [["--help"], ["-h"]])
async def test_help_goes_to_the_users_output_not_to_ours(
    terminal: Terminal, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await invoke(ALL["xt-show"], argv, terminal.session("xt-show")) == 0
    assert terminal.stdout.text.startswith("usage: xt-show ")
    assert capsys.readouterr() == ("", "")


async def test_help_is_as_wide_as_the_users_terminal(terminal: Terminal) -> None:
    def parser() -> argparse.ArgumentParser:
        return argparse.ArgumentParser(description="word " * 40)

    wide = Command(name="wide", parser=parser, run=ALL["xt-true"].run)
    await invoke(wide, ["--help"], terminal.session(width=40))
    assert max(map(len, terminal.stdout.text.splitlines())) <= 40


async def test_wrong_usage_is_told_and_does_not_end_the_process(terminal: Terminal) -> None:
    argv0, environment = sys.argv[0], dict(os.environ)
    assert await invoke(ALL["xt-show"], ["--nonsense"], terminal.session("xt-show")) == 2
    assert "xt-show: error: unrecognized arguments: --nonsense" in terminal.stderr.text
    assert (sys.argv[0], dict(os.environ)) == (argv0, environment)


async def test_an_error_is_a_line_and_a_hint(terminal: Terminal) -> None:
    assert await invoke(ALL["xt-fail"], [], terminal.session("xt-fail")) == 1
    first, second = terminal.stderr.text.splitlines()
    assert first == "xt-fail: cannot reach node1:1: �[31mred"
    assert second.startswith("         Is the daemon up?")
    assert terminal.stdout.text == ""


async def test_with_json_an_error_is_an_object(terminal: Terminal) -> None:
    await invoke(ALL["xt-fail"], ["--json"], terminal.session("xt-fail"))
    error = json.loads(terminal.stderr.text)["error"]
    assert error["code"] == "dixi.not-connected"
    assert error["data"]["address"] == "node1:1"
    assert error["retry_after_ms"] == 500


async def test_a_bug_is_an_incident_with_its_traceback(terminal: Terminal) -> None:
    assert await invoke(ALL["xt-crash"], [], terminal.session("xt-crash")) == 1
    assert "xt-crash: internal error (incident " in terminal.stderr.text
    assert "ZeroDivisionError" in terminal.stderr.text


async def test_a_reader_that_has_gone_ends_the_command_as_sigpipe_would(terminal: Terminal) -> None:
    terminal.stdout.closed = True
    assert await invoke(ALL["xt-lines"], [], terminal.session()) == 141
    assert terminal.stderr.text == ""


async def test_errors_are_lost_when_nobody_reads_them(terminal: Terminal) -> None:
    terminal.stderr.closed = True
    assert await invoke(ALL["xt-fail"], [], terminal.session()) == 1


async def test_a_missing_answer_is_told(terminal: Terminal) -> None:
    assert await invoke(ALL["xt-secret"], [], terminal.session("xt-secret")) == 1
    assert terminal.stderr.text == "xt-secret: an answer was expected on standard input\n"


async def test_a_file_that_cannot_be_opened_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    async def run(_: argparse.Namespace, session: Session) -> int:
        return len(session.path("absent").read_bytes())

    reads = Command(name="reads", parser=argparse.ArgumentParser, run=run)
    assert await invoke(reads, [], terminal.session("reads", cwd=tmp_path)) == 1
    assert terminal.stderr.text == f"reads: [Errno 2] No such file or directory: '{tmp_path}/absent'\n"


async def test_cancelling_reaches_the_command(terminal: Terminal, tmp_path: Path) -> None:
    task = asyncio.create_task(invoke(ALL["xt-sleep"], ["mark"], terminal.session(cwd=tmp_path)))
    await until(lambda: bool(terminal.stdout.data))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "mark").exists()


async def test_without_a_credential_the_first_call_says_how_to_get_one(terminal: Terminal) -> None:
    async def run(_: argparse.Namespace, session: Session) -> int:
        session.bus.caller("Directory")
        return 0

    calls = Command(name="calls", parser=argparse.ArgumentParser, run=run)
    assert await invoke(calls, [], terminal.session("calls")) == 77
    assert "get-xos-cert" in terminal.stderr.text


def test_printed_text_ends_with_one_newline(terminal: Terminal) -> None:
    session = terminal.session()
    session.out("a")
    session.out("b\n")
    session.out("")
    assert terminal.stdout.text == "a\nb\n\n"


def test_file_names_are_the_users(terminal: Terminal) -> None:
    session = terminal.session(cwd=Path("/work place"), env={"HOME": "/home/alice"})
    assert session.path("job.jsdl") == Path("/work place/job.jsdl")
    assert session.path("/tmp/x") == Path("/tmp/x")
    assert session.path("~/x") == Path("/home/alice/x")
    assert session.path("~x") == Path("/work place/~x")


def test_new_files_follow_the_users_umask(terminal: Terminal, tmp_path: Path) -> None:
    session = terminal.session()
    session.umask = 0o027
    os.close(session.open_new(tmp_path / "x"))
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("env", "tty", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_colours_only_where_they_are_welcome(env: dict[str, str], tty: bool, wanted: bool) -> None:
    terminal = Terminal(is_tty=tty)
    assert terminal.session(env=env).colour is wanted
    terminal.close()


def test_the_home_is_the_environments() -> None:
    assert home_of({"XOS_HOME": "/x", "HOME": "/h"}) == Path("/x")
    assert home_of({"HOME": "/h"}) == Path("/h/.xos")


@pytest.mark.usefixtures("installed")
async def test_main_runs_a_command_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XOS_NO_AGENT", "1")
    assert await asyncio.to_thread(commands.main, ["xt-show", "one"]) == 1
    seen = json.loads(capfd.readouterr().out)
    assert (seen["name"], seen["in_agent"], seen["cwd"]) == ("xt-show", False, str(Path.cwd()))


@pytest.mark.usefixtures("installed")
async def test_main_hands_the_terminal_to_a_shell(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XOS_NO_AGENT", "1")
    assert await asyncio.to_thread(commands.main, ["xt-shell"]) == 5
    assert await asyncio.to_thread(commands.main, ["xt-shell", "word"]) == 0
    assert "a shell of my own" in capfd.readouterr().out


def test_main_says_that_a_command_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XOS_NO_AGENT", "1")
    assert commands.main(["xt-absent"]) == 127
    assert capsys.readouterr().err == "xt-absent: no command xt-absent is installed\n"


def test_every_error_of_the_framework_has_a_code() -> None:
    assert all(cls.__dict__.get("code") for cls in (UnknownCommand, *XosError.__subclasses__()))


# --- tables ----------------------------------------------------------------------------------------------------------


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    text = table(["A", "LONGER"], [["aaa", "b"], ["a", "c"]])
    assert text == "A    LONGER\naaa  b\na    c\n"


def test_numbers_may_stand_at_the_right() -> None:
    assert table(["N", "X"], [["1", "a"], ["100", "b"]], right={0}) == "  N  X\n  1  a\n100  b\n"


def test_only_the_last_column_is_cut_and_only_for_a_terminal() -> None:
    rows: Rows = [["abc", "x" * 50]]
    assert table(["A", "B"], rows, columns=20).splitlines()[1] == "abc  " + "x" * 14 + "…"
    assert table(["A", "B"], rows).splitlines()[1] == "abc  " + "x" * 50


def test_colours_do_not_move_columns() -> None:
    rows: Rows = [[Painted("ab", Colour.RED), "x"], ["abcd", "y"]]
    coloured = table(["A", "B"], rows, colour=True)
    assert "\x1b[31mab\x1b[0m    x" in coloured
    assert "\x1b" not in table(["A", "B"], rows)
    assert paint("x", Colour.BOLD, wanted=False) == "x"


def test_other_peoples_text_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\td\x9b") == "a�[2Jb c d�"
    assert "\x1b" not in table(["A"], [["\x1b]0;title\x07"]], colour=False)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns_not_characters(text: str, columns: int) -> None:
    assert width(text) == columns


def test_cut_never_exceeds_its_columns() -> None:
    assert cut("日本語", 4) == "日…"
    assert cut("abc", 3) == "abc"
