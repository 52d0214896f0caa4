# SPDX-License-Identifier: BSD-3-Clause
"""What the code processor writes: compared with golden files, checked by the tools, and used.

``XOS_UPDATE_GOLDEN=1 pytest tests/dixi/test_codegen.py`` writes the golden files anew; read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import greeter, greeter_xati
from support.greeter import Greeter, GreeterService, Greeting, Person, Tone
from support.memory import MemoryBus
from xos.dixi.codegen import cli, console, python, reference
from xos.dixi.codegen.buffer import Buffer
from xos.dixi.describe import describe, services_in
from xos.dixi.description import ServiceDescription

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
CLIENT = Path(greeter_xati.__file__)
"""The golden file of the Python clients lies where it can be imported."""


@pytest.fixture(scope="module")
def services() -> list[ServiceDescription]:
    return [describe(cls) for cls in services_in(greeter)]


def golden(name: str, text: str) -> str:
    path = CLIENT if name == CLIENT.name else GOLDEN / name
    if os.environ.get("XOS_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def test_python_clients_are_as_in_the_golden_file(services: list[ServiceDescription]) -> None:
    text = python.render(services)
    assert text == golden("greeter_xati.py", text)


def test_console_data_are_as_in_the_golden_file_and_read_back(services: list[ServiceDescription]) -> None:
    text = console.render(services)
    assert text == golden("greeter.console.json", text)
    assert console.load(text) == services


def test_reference_pages_are_as_in_the_golden_files(services: list[ServiceDescription]) -> None:
    page, index = reference.render(services[0]), reference.render_index(services)
    assert page == golden("Greeter.md", page)
    assert index == golden("README.md", index)


def test_generated_python_reads_as_the_formatter_would_write_it(services: list[ServiceDescription]) -> None:
    text = python.render(services)
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "--stdin-filename", "generated.py", "-"]
    formatted = subprocess.run(command, input=text, capture_output=True, text=True)
    assert formatted.stderr == ""
    assert formatted.stdout == text


def test_what_is_generated_for_the_rooms_is_up_to_date() -> None:
    plan, home = cli.find_plan(ROOT)
    assert plan.modules
    assert cli.stale(cli.outputs(plan.modules, home / (plan.reference or ""))) == []


def test_a_package_of_several_modules_is_described_as_one_and_its_clients_lie_beside_it() -> None:
    import xos.vom.api

    offered = [describe(cls) for cls in services_in(xos.vom.api)]
    assert {service.package for service in offered} == {"xos.vom.api"}
    packages = {struct.package for service in offered for struct in service.structs}
    assert {package for package in packages if package.startswith("xos.vom.")} == {"xos.vom.api"}
    assert Path(xos.vom.api.__file__).parents[1] / "xati.py" in cli.outputs(["xos.vom.api"], None)


def test_reference_pages_link_only_to_what_they_have(services: list[ServiceDescription]) -> None:
    page = reference.render(services[0])
    anchors = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    linked = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert linked
    assert linked <= anchors


async def test_the_asyncio_client_calls_and_streams() -> None:
    implementation = GreeterService()
    client = greeter_xati.GreeterAsync(MemoryBus(implementation))
    typed: Greeter = client  # the client is usable wherever the interface is wanted (checked by mypy)
    ada = Person("ada", 36)
    assert await typed.greet(ada, Tone.WARM) == Greeting("hello!", ada, Tone.WARM)
    assert await client.greet_all([ada]) == [Greeting('nobody !" 1 2.5 1.0', ada)]
    assert await client.names() == {"ada": 1, "seal": 2}
    assert await client.youngest(7) == Person("ada", 7)
    await client.reset()
    assert await client.youngest() is None
    assert [g.text async for g in client.count(6, 2)] == ["0", "2", "4"]
    assert implementation.cancelled == 1


async def test_a_deadline_reaches_the_bus() -> None:
    bus = MemoryBus(GreeterService())
    await greeter_xati.GreeterAsync(bus).greet(Person("ada"), deadline=2.5)
    assert bus.calls[-1][2] == 2.5


async def test_every_client_has_the_standard_calls() -> None:
    client = greeter_xati.GreeterAsync(MemoryBus(GreeterService()))
    assert (await client.ping()).service == "Greeter"
    assert (await client.info()).interface == describe(Greeter).fingerprint
    assert (await client.stats()).node == "node1"
    assert await client.describe() == describe(Greeter)


def test_lines_are_broken_as_the_width_asks() -> None:
    out = Buffer()
    out.add_call("f", ["a"], ":")
    out.add_call("f", ["a" * 60, "b" * 54], ":")
    out.add_call("ff", ["a" * 60, "b" * 54], ":")
    out.add_call("f", ["a" * 70, "b" * 70], ":")
    assert out.text.splitlines() == [
        "f(a):",
        f"f({'a' * 60}, {'b' * 54}):",
        "ff(",
        f"    {'a' * 60}, {'b' * 54}",
        "):",
        "f(",
        f"    {'a' * 70},",
        f"    {'b' * 70},",
        "):",
    ]


def test_check_fails_with_a_diff_when_a_file_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "hello_service.py"
    module.write_text(
        "from typing import Protocol\n"
        "from xos.dixi.api import call, service\n"
        "@service\n"
        "class Hello(Protocol):\n"
        "    '''Says hello.'''\n"
        "    @call\n"
        "    async def hello(self, name: str) -> str:\n"
        "        '''Hello to *name*.'''\n"
        "        ...\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["hello_service", "--check"]) == 1
    assert cli.main(["hello_service", "--reference", str(tmp_path / "docs")]) == 0
    assert sorted(p.name for p in (tmp_path / "docs").iterdir()) == ["Hello.md", "README.md"]
    assert cli.main(["hello_service", "--check"]) == 0
    capsys.readouterr()
    client = tmp_path / "xati.py"
    client.write_text(client.read_text(encoding="utf-8").replace("HelloAsync", "Hallo"), encoding="utf-8")
    assert cli.main(["hello_service", "--check"]) == 1
    shown = capsys.readouterr()
    assert "-class Hallo(AsyncStub):" in shown.out
    assert "+class HelloAsync(AsyncStub):" in shown.out
    assert "1 file(s) not up to date" in shown.err


@pytest.mark.parametrize("module", ["no_such_module", "json"])
def test_a_module_without_services_is_an_error_of_one_line(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([module]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_module_and_no_plan_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
