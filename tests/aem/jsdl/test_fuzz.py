# SPDX-License-Identifier: BSD-3-Clause
"""Whatever comes in, the parser answers with a job or with a JsdlError, soon."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xos.aem.errors import JsdlError
from xos.aem.jsdl import JobDescription, Limits, StagedFile, parse, to_jsdl
from xos.aem.jsdl._schema import JSDL, POSIX, ROOT, Element

BASE = to_jsdl(
    JobDescription(
        executable="/bin/echo",
        arguments=("a b", "<&>", ""),
        environment=(("A", "1"),),
        name="hello",
        output="out.txt",
        wall_time=600,
        memory_limit=2**31,
        limits=Limits(cpu_time=5, processes=10),
        total_resource_count=2,
        cores=2,
        memory=2**31,
        architecture="aarch64",
        operating_system="LINUX",
        candidate_hosts=("node1", "node2"),
        stage_in=(StagedFile("data.txt", uri="file:x"),),
        stage_out=(StagedFile("res.dat"),),
    )
)
HOSTILE = (
    b"\0", b"&", b"<", b">", b'"', b"&#0;", b"&#x110000;", b"&lt;", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"../",
    b"/etc/passwd", b"-1", b"1e9", b"1e400", b"NaN", b"9" * 400, b"\xff", b"\xc3", b"\xed\xa0\x80", b"<?x?>",
    b"<!DOCTYPE a [", b'<!ENTITY a "b">', b' xmlns=""', b' xmlns:posix="urn:x"', b"xsi:", b"\r", b"\xef\xbb\xbf",
    b"<Exact/>", b"</Exact>", b"<Source/>", b"<posix:Argument/>", b" filesystemName='x'", b"\xe2\x80\xae",
)  # fmt: skip


def survives(text: bytes) -> None:
    start = time.process_time()
    try:
        job = parse(text)
        again = to_jsdl(job)
    except JsdlError:
        pass  # what a damaged document should give; any other exception fails the test
    else:
        assert parse(again) == job
    assert time.process_time() - start < 2


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good document with a few cuts, copies, overwritten bytes and hostile insertions."""
    text = bytearray(BASE)
    for _ in range(draw(st.integers(1, 4))):
        at, to = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        to = min(to, at + 120)
        match draw(st.sampled_from(["cut", "copy", "hostile", "byte", "end"])):
            case "cut":
                del text[at:to]
            case "copy":
                text[at:at] = text[at:to]
            case "hostile":
                text[at:at] = draw(st.sampled_from(HOSTILE))
            case "byte" if at < len(text):
                text[at] = draw(st.integers(0, 255))
            case "end":
                del text[at:]
            case _:
                pass
    return bytes(text)


def names(inside: Element = ROOT) -> set[str]:
    mine = {("p:" if inside.space == POSIX else "") + inside.name}
    return mine.union(*(names(e) for e in inside.children.values()))


VALUES = st.sampled_from(["", "1", "0", "-1", "1.5", "true", "LINUX", "x86_64", "other", "overwrite", "a", "../a", "é"])
ATTRIBUTES = st.sampled_from(["", ' name="A"', ' exclusiveBound="true"', ' epsilon="1"', ' filesystemName="HOME"'])
NAMES = st.sampled_from(sorted(names()))
LEAVES = st.builds("<{0}{1}>{2}</{0}>".format, NAMES, ATTRIBUTES, VALUES)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda name, attributes, parts: f"<{name}{attributes}>{''.join(parts)}</{name}>",
        NAMES,
        ATTRIBUTES,
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


def shaped(element: Element, draw: st.DrawFn) -> str:
    """A document that mostly follows the schema, with values that may not."""
    name = ("p:" if element.space == POSIX else "") + element.name
    if element.text:
        return f"<{name}{draw(ATTRIBUTES)}>{draw(VALUES)}</{name}>"
    parts = []
    for child in element.children.values():
        wanted = child.name in ("JobDescription", "Application", "POSIXApplication", "Executable")
        if wanted or draw(st.integers(0, 3)) == 0:
            parts += [shaped(child, draw) for _ in range(draw(st.integers(1, 2)) if child.most > 1 else 1)]
    return f"<{name}>{''.join(parts)}</{name}>"


@st.composite
def schema_shaped(draw: st.DrawFn) -> bytes:
    return (
        shaped(ROOT, draw).replace("<JobDefinition>", f'<JobDefinition xmlns="{JSDL}" xmlns:p="{POSIX}">', 1).encode()
    )


RELAXED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.fuzz
@RELAXED
@given(mutated())
def test_mutated_documents(text: bytes) -> None:
    """Damage anywhere in a document gives a JsdlError, or another good job."""
    survives(text)


@pytest.mark.fuzz
@RELAXED
@given(st.binary(max_size=400))
def test_random_bytes(text: bytes) -> None:
    """Bytes that were never XML give a JsdlError."""
    survives(text)


@pytest.mark.fuzz
@RELAXED
@given(TREES)
def test_known_elements_anywhere(tree: str) -> None:
    """Known elements in the wrong places, nested and repeated, give a JsdlError."""
    unfinished = f'<JobDefinition xmlns="{JSDL}" xmlns:p="{POSIX}"><JobDescription>{tree}</JobDescription>'
    survives(unfinished.encode())
    survives(f"{unfinished}</JobDefinition>".encode())


@pytest.mark.fuzz
@RELAXED
@given(schema_shaped())
def test_documents_of_the_right_shape(text: bytes) -> None:
    """Documents of the right shape with wrong values give a JsdlError, or a job that is written and read alike."""
    survives(text)


@pytest.mark.parametrize(
    "filler",
    [
        b"<posix:Argument/>",
        b"<!-- -->",
        b"<posix:Environment name='A'/>",
        b"&#65;",
        b"<![CDATA[]]>",
        b"\n",
        b"<posix:Argument>&amp;</posix:Argument>",
    ],
    ids=lambda f: f.decode(),
)
def test_a_megabyte_of_anything_takes_bounded_time(filler: bytes) -> None:
    """The worst document that is small enough to be looked at is done within two seconds of a processor."""
    place = b"<posix:Argument>a b</posix:Argument>"
    survives(BASE.replace(place, filler * ((1024 * 1024 - len(BASE)) // len(filler))))


def test_a_megabyte_of_attributes_takes_bounded_time() -> None:
    """Tens of thousands of attributes or name spaces do not make the parser slow."""
    many = b" ".join(b"a%d='1'" % n for n in range(70_000))
    survives(BASE.replace(b"<posix:Executable>", b"<posix:Executable %b>" % many))
    spaces = b" ".join(b"xmlns:a%d='u'" % n for n in range(40_000))
    survives(BASE.replace(b"<posix:Executable>", b"<posix:Executable %b>" % spaces))
