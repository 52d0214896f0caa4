# SPDX-License-Identifier: BSD-3-Clause
"""What the manual shows is true: samples parse, man pages are fresh, commands start light."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xos.aem.jsdl import from_toml, parse, to_jsdl
from xos.aem.jsdl.check import uri_file
from xos.dixi.commands import find

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs/examples"
MAN = ROOT / "docs/man"
COMMANDS = ("xsub", "xps", "xwait", "xkill", "xout")


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*.jsdl")) + sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.name
)
def test_samples_are_jobs(path: Path) -> None:
    """Every sample is a job, and its files are beside it."""
    job = (parse if path.suffix == ".jsdl" else from_toml)(path.read_bytes())
    assert parse(to_jsdl(job)) == job
    for file in job.stage_in:
        assert (path.parent / (uri_file(file.uri) if file.uri else file.name)).is_file()


def test_the_two_hellos_are_one_job() -> None:
    """TOML and JSDL say the same."""
    assert from_toml((EXAMPLES / "hello.toml").read_bytes()) == parse((EXAMPLES / "hello.jsdl").read_bytes())


def test_the_chapter_shows_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    """TOML and Python of docs/jobs.md are run as they stand."""
    text = (ROOT / "docs/jobs.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert from_toml(toml.encode()).total_resource_count == 2
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(python, "docs/jobs.md", "exec"), {})  # noqa: S102 -- our own manual
    assert capsys.readouterr().out == ""


def test_the_chapter_names_every_key() -> None:
    """No key of the TOML form, no limit and no option of xsub is left out of the manual."""
    from xos.aem.jsdl.toml import _Job, _Limits

    text = (ROOT / "docs/jobs.md").read_text()
    for key in [*_Job.__struct_fields__, *_Limits.__struct_fields__]:
        assert re.search(rf"[`.\[]{key}[`\]]", text), key


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_man", MAN / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", COMMANDS)
def test_man_pages_are_fresh(name: str) -> None:
    """The pages say what the commands take: `python docs/man/generate.py` writes them."""
    assert (MAN / f"{name}.1").read_text() == generator().page(name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_pages_are_good_roff(name: str) -> None:
    """groff formats them without a warning."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(MAN / f"{name}.1")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name: str) -> None:
    """Every option has a help text, and its help formats."""
    made = find(name).parser()
    assert all(action.help for action in made._actions)
    assert name in made.format_help()


def test_command_lines_load_no_services() -> None:
    """--help and a wrong option answer before cryptography, clients or the JSDL parser are loaded."""
    code = "import sys\n" + "".join(f"from xos.aem.cli import {n}\n{n}.COMMAND.parser()\n" for n in COMMANDS)
    code += "print([m for m in sys.modules if m in ('xos.aem.api', 'xos.aem.jsdl', 'cryptography', 'xos.aem.xati')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
