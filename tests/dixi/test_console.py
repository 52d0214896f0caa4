# SPDX-License-Identifier: BSD-3-Clause
"""The console against a service of which it knows only what the service says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.greeter import Empty, GreeterService
from support.memory import MemoryBus
from support.sessions import Terminal, terminals
from xos.dixi.api import call, service
from xos.dixi.commands import invoke
from xos.dixi.console import catalogue, completion, scripts
from xos.dixi.console.command import COMMAND
from xos.dixi.describe import describe
from xos.dixi.directory import NodeRecord

terminal = pytest.fixture(terminals)


@service
class Directory:
    """Knows two nodes."""

    @call
    async def nodes(self) -> list[NodeRecord]:
        """Both."""
        return [NodeRecord("core", "c:1", ("Directory",)), NodeRecord("node1", "n:1", ("Greeter", "Gritter"))]


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(GreeterService(), Directory())


async def run(terminal: Terminal, bus: MemoryBus | None, *argv: str, width: int = 80) -> int:
    return await invoke(COMMAND, argv, terminal.session("xconsole", bus, width=width))


async def test_a_call_sends_what_was_given_and_leaves_later_defaults_to_the_service(
    terminal: Terminal, bus: MemoryBus
) -> None:
    assert await run(terminal, bus, "Greeter", "greet", "--person", '{"name":"ada"}', "--tone", "warm") == 0
    assert bus.calls[-1][1] == (["ada", None, []], "warm")
    assert terminal.stdout.text.splitlines()[0] == "text: hello!"


async def test_a_default_before_a_given_argument_is_filled_in(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "Greeter", "greet", "--level", "2", "--person", '{"name":"ada"}') == 0
    assert bus.calls[-1][1] == (["ada", None, []], "plain", 2)


async def test_results_for_programs_are_json_with_names(terminal: Terminal, bus: MemoryBus) -> None:
    await run(terminal, bus, "--json", "Greeter", "greet", "--person", '{"name":"ada"}')
    assert json.loads(terminal.stdout.text)["to"] == {"name": "ada", "age": None, "friends": []}
    assert terminal.stdout.text.count("\n") == 1


async def test_own_options_may_follow_the_method_too(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "Greeter", "youngest", "--json", "--deadline", "2", "--node", "node1") == 0
    assert (terminal.stdout.text, bus.calls[-1][2]) == ("null\n", 2.0)


async def test_lists_of_structs_are_tables(terminal: Terminal, bus: MemoryBus) -> None:
    people = '[{"name":"ada"},{"name":"bob"}]'
    assert await run(terminal, bus, "Greeter", "greet_all", "--people", people) == 0
    first, second, _ = terminal.stdout.text.splitlines()
    assert first.split() == ["TEXT", "TO", "TONE", "SEAL"]
    assert '{"name":"ada"' in second


async def test_a_list_may_be_given_item_by_item(terminal: Terminal, bus: MemoryBus) -> None:
    people = ["--people", '{"name":"ada"}', "--people", '{"name":"bob"}']
    assert await run(terminal, bus, "Greeter", "greet-all", *people, "--suffixes", "?") == 0
    assert bus.calls[-1][1] == ([["ada", None, []], ["bob", None, []]], ["nobody", 0, []], ["?"])


async def test_a_stream_is_printed_item_by_item(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "--json", "Greeter", "count", "--upto", "3") == 0
    assert [json.loads(line)["text"] for line in terminal.stdout.text.splitlines()] == ["0", "1", "2"]


async def test_a_stream_ends_when_nobody_reads_it(terminal: Terminal) -> None:
    service = GreeterService()
    terminal.stdout.closed = True
    assert await run(terminal, MemoryBus(service), "Greeter", "count", "--upto", "1000000") == 141
    assert service.cancelled == 1


async def test_a_service_alone_lists_its_methods(terminal: Terminal, bus: MemoryBus) -> None:
    for argv in (["Greeter"], ["Greeter", "--help"]):
        assert await run(terminal, bus, *argv) == 0
    assert "Greeter: Greets people.\n" in terminal.stdout.text
    assert "stream of Greeting" in terminal.stdout.text


async def test_help_of_a_method_tells_types_docs_and_defaults(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "Greeter", "greet", "--help", width=120) == 0
    text = " ".join(terminal.stdout.text.split())
    assert "usage: xconsole Greeter greet [-h] --person JSON [--tone ENUM]" in text
    assert 'says how it sounds; Tone; default "plain"' in text


async def test_the_standard_calls_are_there_too(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "--json", "Greeter", "ping") == 0
    assert await run(terminal, bus, "--json", "Greeter", "describe") == 0
    pong, described = map(json.loads, terminal.stdout.text.splitlines())
    assert (pong["service"], pong["node"]) == ("Greeter", "node1")
    assert described["methods"][0]["params"][0] == {
        "name": "person",
        "type": {"form": "struct", "name": "Person", "of": [], "immutable": False},
        "doc": "",
        "default": None,
    }


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["Greeter", "gret"], 2, "Greeter has no method gret; did you mean greet?"),
        (["Greeter", "greet"], 2, "the following arguments are required: --person"),
        (["Greeter", "greet", "--person", "{}"], 2, "--person: name must be given"),
        (["Greeter", "greet", "--person", '{"name":""}'], 4, "nobody called '' is there"),
        (["Greeter", "count", "--upto", "x"], 2, "--upto: 'x' is no int"),
        (["Greeter", "count", "--up", "1"], 2, "required: --upto"),
        (["--deadline", "soon", "Greeter"], 2, "argument --deadline: invalid float value: 'soon'"),
        (["Nobody", "greet"], 1, "no service Nobody is known"),
        (["--node", "node9", "Greeter", "ping"], 1, "no service Greeter is known"),
    ],
)
async def test_mistakes_are_told(terminal: Terminal, bus: MemoryBus, argv: list[str], status: int, says: str) -> None:
    assert await run(terminal, bus, *argv) == status
    assert says in terminal.stderr.text


async def test_help_of_an_installed_service_needs_no_grid(terminal: Terminal) -> None:
    assert await run(terminal, None, "Directory", "find", "--help") == 0
    assert "--service STRING" in terminal.stdout.text
    assert await run(terminal, None, "Directory", "find", "--service", "x") == 77


async def test_a_parameter_named_as_an_own_option_is_the_parameter(terminal: Terminal) -> None:
    assert await run(terminal, None, "Directory", "find", "--help") == 0
    assert terminal.stdout.text.count("--node") == 2  # in the usage line and in the list, once each


async def test_no_words_inside_the_agent_are_wrong_usage(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "--json") == 2


# --- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["Gr"], ["Greeter", "Gritter"]),
        (["--node", "n"], ["node1"]),
        (["--node", "node1", "Gree"], ["Greeter"]),
        (["--js"], ["--json"]),
        (["--deadline", ""], []),
        (["Greeter", "gr"], ["greet", "greet_all"]),
        (["Greeter", "p"], ["ping"]),
        (["Greeter", "greet", "--t"], ["--tone"]),
        (["Greeter", "greet", "--tone", ""], ["plain", "warm"]),
        (["Greeter", "greet", "--tone", "warm", "--t"], []),
        (["Greeter", "greet", "--person", ""], []),
        (["Greeter", "nothing", ""], []),
        (["Nobody", ""], []),
    ],
)
async def test_completion_offers_what_can_come_next(
    terminal: Terminal, bus: MemoryBus, words: list[str], offered: list[str]
) -> None:
    assert await completion.complete(words, terminal.session("xconsole", bus)) == offered


async def test_completion_without_a_grid_offers_what_is_installed(terminal: Terminal) -> None:
    session = terminal.session("xconsole")
    assert "Directory" in await completion.complete([""], session)
    assert await completion.complete(["Directory", "no"], session) == ["nodes"]


async def test_completion_is_a_hidden_word_of_the_command(terminal: Terminal, bus: MemoryBus) -> None:
    assert await run(terminal, bus, "--complete", "Greeter", "greet", "--tone", "w") == 0
    assert terminal.stdout.text == "warm\n"


def test_the_catalogue_has_what_packages_bring() -> None:
    assert {d.name for d in catalogue.installed()} >= {"Directory"}
    assert catalogue.standard().method("ping") is not None


def test_a_service_without_methods_can_be_described() -> None:
    assert describe(Empty).methods == ()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_written_for_every_command(shell: str, tmp_path: Path) -> None:
    assert scripts.main([shell, str(tmp_path)]) == 0
    name = scripts.FILE[shell].format(name="xconsole")
    assert "xconsole --complete" in (tmp_path / name).read_text()


def test_the_bash_script_completes(tmp_path: Path) -> None:
    fake = tmp_path / "xconsole"
    fake.write_text('#!/bin/sh\nshift\nprintf "%s\\n" "$@" >"$0.args"\nprintf "greet\\ngreet_all\\n"\n')
    fake.chmod(0o755)
    script = (
        scripts.XCONSOLE["bash"]
        + 'COMP_WORDS=(xconsole Greeter "gr e") COMP_CWORD=2; _xconsole; printf "%s|" "${COMPREPLY[@]}"'
    )
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/bin"})
    assert (shown.stdout, shown.stderr) == ("greet|greet_all|", "")
    assert (tmp_path / "xconsole.args").read_text() == "Greeter\ngr e\n"


def test_print_completion_prints_the_script() -> None:
    parsed = COMMAND.parser().parse_args(["--print-completion", "bash"])
    assert (parsed.print_completion, parsed.words) == ("bash", [])


@pytest.mark.parametrize("shell", ["tcsh"])
def test_an_unknown_shell_is_wrong_usage(shell: str, tmp_path: Path) -> None:
    assert scripts.main([shell, str(tmp_path)]) == 2
