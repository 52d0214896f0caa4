# SPDX-License-Identifier: BSD-3-Clause
"""What is written is read back, whatever the job."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.aem.jsdl import Creation, DescriptionError, JobDescription, Limits, StagedFile, parse, to_jsdl

XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", min_codepoint=32) | st.sampled_from("\t\n\r")
)
LINE = XML_TEXT.map(lambda s: re.sub(r"[\0-\x1f\x7f]", "", s).strip(" ")[:200])
BLOCK = XML_TEXT.map(lambda s: s.strip(" \t\r\n"))
PART = st.text("abcé_.- &<'\"", max_size=8).map(lambda s: f"x{s}y")
FILE = st.lists(PART, min_size=1, max_size=3).map("/".join)
SIZE = st.integers(1, 2**53)
COUNT = st.integers(3, 100_000)


def limit(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | values


def staged(uri: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[StagedFile, ...]]:
    name = PART.filter(lambda n: n not in ("output", "error"))
    file = st.builds(StagedFile, name, st.sampled_from(Creation), st.booleans(), uri)
    return st.lists(file, max_size=4, unique_by=lambda f: f.name).map(tuple)


def many(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, max_size=4).map(tuple)


JOBS = st.builds(
    JobDescription,
    executable=st.sampled_from(["/bin/sh", "run", "bin/run", "./run"]) | FILE,
    arguments=many(XML_TEXT),
    environment=st.dictionaries(st.text("ABC_9", max_size=6).map("V{}".format), XML_TEXT, max_size=4).map(
        lambda d: tuple(d.items())
    ),
    name=LINE,
    description=BLOCK,
    annotations=many(BLOCK),
    projects=many(BLOCK),
    application=LINE,
    application_version=LINE,
    input=st.sampled_from(["", "/dev/null"]) | FILE,
    output=st.sampled_from(["", "/dev/null"]) | FILE,
    error=st.sampled_from(["", "/dev/null"]) | FILE,
    working_directory=st.just("") | FILE,
    wall_time=limit(st.integers(1, 10**8)),
    memory_limit=limit(SIZE),
    limits=st.builds(
        Limits,
        cpu_time=limit(st.integers(1, 10**8)),
        file_size=limit(SIZE),
        core_dump=limit(SIZE),
        data_segment=limit(SIZE),
        locked_memory=limit(SIZE),
        open_files=limit(COUNT),
        stack=limit(SIZE),
        processes=limit(COUNT),
        virtual_memory=limit(SIZE),
    ),
    stage_in=staged(st.sampled_from(["", "file:data", "file:///home/a/x%20y"])),
    stage_out=staged(st.just("")),
    total_resource_count=st.integers(1, 10_000),
    cores=st.integers(1, 8192),
    memory=st.just(0) | SIZE,
    architecture=st.sampled_from(["", "x86_64", "aarch64", "i686", "riscv64", "ppc64le", "armv7l"]),
    operating_system=st.sampled_from(["", "LINUX"]),
    reads=st.lists(FILE.map("xtreemfs://home/{}".format), max_size=3, unique=True).map(tuple),
    candidate_hosts=st.lists(st.text("ab9.-", max_size=6).map("n{}1".format), max_size=3, unique=True).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(JOBS)
def test_a_written_job_is_read_back(job: JobDescription) -> None:
    """parse(to_jsdl(job)) == job for every job within bounds."""
    assert parse(to_jsdl(job)) == job


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "\udcff", "\ufffe"])
def test_what_xml_cannot_carry_is_not_written(text: str) -> None:
    """A document that nobody could read is an error at once."""
    with pytest.raises(DescriptionError):
        to_jsdl(JobDescription(executable="/bin/echo", arguments=(text,)))
