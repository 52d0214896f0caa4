# SPDX-License-Identifier: BSD-3-Clause
"""The TOML form: the same jobs, the same bounds, errors with key and line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.aem.errors import JsdlError
from xos.aem.jsdl import Creation, JobDescription, Limits, StagedFile, from_toml, parse, to_jsdl

EVERYTHING = b"""
executable = "bin/run"
arguments = ["-x", "", " two "]
name = "a name"
description = "d"
annotations = ["a1"]
projects = ["p"]
application = "app"
application_version = "1"
input = "in.txt"
output = "out.txt"
error = "/dev/null"
directory = "work/"
time = "1h30m"
units = 3
cores = 2
memory = "2G"
architecture = "aarch64"
operating_system = "LINUX"
hosts = ["n1", "n2", "n1"]
stage_in = ["bin/run", { name = "data", from = "../my data", delete = true }]
stage_out = [{ name = "r", create = "append" }]

[environment]
A = "1"
B = " b "

[limits]
memory = "3G"
cpu_time = "30s"
file_size = "1K"
core_dump = 0
open_files = 64
processes = 8
"""


def test_everything_at_once() -> None:
    """Every key arrives in its field."""
    assert from_toml(EVERYTHING) == JobDescription(
        executable="bin/run",
        arguments=("-x", "", " two "),
        environment=(("A", "1"), ("B", " b ")),
        name="a name",
        description="d",
        annotations=("a1",),
        projects=("p",),
        application="app",
        application_version="1",
        input="in.txt",
        output="out.txt",
        error="/dev/null",
        working_directory="work",
        wall_time=5400,
        memory_limit=3 * 2**30,
        limits=Limits(cpu_time=30, file_size=1024, core_dump=0, open_files=64, processes=8),
        stage_in=(StagedFile("bin/run"), StagedFile("data", delete=True, uri="file:../my%20data")),
        stage_out=(StagedFile("r", Creation.APPEND),),
        total_resource_count=3,
        cores=2,
        memory=2 * 2**30,
        architecture="aarch64",
        operating_system="LINUX",
        candidate_hosts=("n1", "n2"),
    )


def test_it_maps_to_jsdl() -> None:
    """A TOML job says nothing that JSDL cannot."""
    job = from_toml(EVERYTHING)
    assert parse(to_jsdl(job)) == job


def test_memory_is_need_and_limit() -> None:
    """`memory` both chooses the node and bounds the unit, unless limits.memory says otherwise."""
    job = from_toml(b'executable = "a"\nmemory = "512M"')
    assert (job.memory, job.memory_limit) == (2**29, 2**29)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("10min", 600), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)],
)
def test_times(text: str, seconds: int) -> None:
    """Times are seconds, or days, hours, minutes and seconds in that order."""
    assert from_toml(f'executable = "a"\ntime = "{text}"'.encode()).wall_time == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1K", 1024), ("1.5G", 3 * 2**29), ("2GiB", 2**31), ("2 gb", 2**31), ("1T", 2**40), ("8P", 2**53)],
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are bytes, or powers of 1,024."""
    assert from_toml(f'executable = "a"\nmemory = "{text}"'.encode()).memory == size


BAD: list[tuple[str, str, str, int | None]] = [
    # document after the executable, which is on line 1; code; path; line
    ("unit = 3", "unknown-element", "unit", 2),
    ("\nunits = 0", "bad-value", "units", 3),
    ("units = 1000000000", "bad-value", "units", 2),
    ('units = "2"', "bad-value", "units", 2),
    ("units = 2.5", "bad-value", "units", 2),
    ("cores = 0", "bad-value", "cores", 2),
    ('time = "soon"', "bad-value", "time", 2),
    ('time = ""', "bad-value", "time", 2),
    ("time = 0", "bad-value", "time", 2),
    ("time = true", "bad-value", "time", 2),
    ('memory = "-1G"', "bad-value", "memory", 2),
    ('memory = "99999P"', "bad-value", "memory", 2),
    ('input = "../../etc/shadow"', "bad-path", "input", 2),
    ('output = "/tmp/x"', "unsupported", "output", 2),
    ('directory = "/tmp"', "unsupported", "directory", 2),
    ('arguments = ["a", "\\u0000"]', "bad-value", "arguments[1]", 2),
    ('stage_in = ["../x"]', "bad-path", "stage_in[0]", 2),
    ('stage_in = ["a", "a"]', "repeated", "stage_in", 2),
    ('stage_out = [{name = "a", from = "b"}]', "bad-value", "stage_out[0].from", 2),
    ('stage_out = ["error"]', "unsupported", "stage_out", 2),
    ('[[stage_in]]\nname = "x"\nform = "y"', "unknown-element", "stage_in[0].form", 4),
    ('[environment]\n"A=B" = "1"', "bad-value", "environment.A=B", 3),
    ("[environment]\nA = 1", "bad-value", "environment.A", 3),
    ("[limits]\nstack = -1", "bad-value", "limits.stack", 3),
    ("[limits]\nstak = 1", "unknown-element", "limits.stak", 3),
    ("[limits]\nprocesses = 1000000000", "bad-value", "limits.processes", 3),
    ('operating_system = "WINNT"', "unsupported", "operating_system", 2),
    ('architecture = "a b"', "bad-value", "architecture", 2),
    ('hosts = ["-x"]', "bad-value", "hosts[0]", 2),
    ("units = ", "malformed", "", None),
    ("units = 1\nunits = 2", "malformed", "", None),
    ("x = " + "[" * 50_000, "malformed", "", None),
]


@pytest.mark.parametrize(("text", "code", "path", "line"), BAD)
def test_bad_documents_say_what_and_where(text: str, code: str, path: str, line: int | None) -> None:
    """Each fault has its code, its key and its line."""
    with pytest.raises(JsdlError) as e:
        from_toml(f'executable = "/bin/true"\n{text}'.encode())
    assert e.value.code == f"aem.jsdl-{code}"
    assert e.value.data["path"] == path
    if line is not None:
        assert e.value.data["line"] == line


@pytest.mark.parametrize(
    ("document", "code"),
    [(b"", "missing"), (b"\xff", "malformed"), (b"<a/>", "malformed"), (b"#" * 2_000_000, "too-large")],
)
def test_what_is_no_job_at_all(document: bytes, code: str) -> None:
    """Empty, binary, XML and enormous documents are refused."""
    with pytest.raises(JsdlError) as e:
        from_toml(document)
    assert e.value.code == f"aem.jsdl-{code}"


def test_an_unknown_key_comes_with_the_nearest() -> None:
    """Typing errors are answered with what was probably meant."""
    with pytest.raises(JsdlError, match='Did you mean "executable"'):
        from_toml(b'executeable = "a"')


TOKENS = st.sampled_from(
    ["executable", "units", "memory", "limits", "stage_in", "name", "environment", "=", "=", "=", ".", '"', '"a"', "[",
     "]", "{", "}", ",", "\n", "\n", " ", "1", "-1", "1e9", "true", "1979-05-27", "'", '"""', "\\u0000", "../", "#"]
)  # fmt: skip


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=40).map("".join) | st.text(max_size=80))
def test_anything_gives_a_job_or_a_jsdl_error(text: str) -> None:
    """Whatever the text, nothing but a JsdlError comes out."""
    for document in (text, f'executable = "/bin/true"\n{text}'):
        try:
            job = from_toml(document.encode())
        except JsdlError:
            continue
        assert parse(to_jsdl(job)) == job


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=5))
def test_arguments_arrive_as_given(arguments: list[str]) -> None:
    """What XML can carry arrives unchanged; what it cannot is refused."""
    quoted = json.dumps(arguments, ensure_ascii=False).replace("\x7f", "\\u007f")
    document = f'executable = "/bin/echo"\narguments = {quoted}'
    try:
        job = from_toml(document.encode())
    except JsdlError as e:
        assert e.code == "aem.jsdl-bad-value"  # noqa: PT017 -- either answer is right, depending on the text
        return
    assert list(job.arguments) == arguments
    assert parse(to_jsdl(job)) == job
