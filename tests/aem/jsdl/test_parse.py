# SPDX-License-Identifier: BSD-3-Clause
"""What the parser takes, what it refuses, and where it says the fault is."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from xos.aem.api import Needs
from xos.aem.errors import JsdlError
from xos.aem.jsdl import Creation, JobDescription, Limits, StagedFile, parse

TRUE = "<p:Executable>/bin/true</p:Executable>"
FLAG = "<CreationFlag>overwrite</CreationFlag>"


def staged(name: str, inside: str = "<Source/>", flag: str = FLAG) -> str:
    return f"<DataStaging><FileName>{name}</FileName>{flag}{inside}</DataStaging>"


def test_the_smallest_job(document: Any) -> None:
    """A document with only an executable is one unit with the defaults."""
    assert parse(document()) == JobDescription(executable="/bin/true")


def test_everything_at_once(document: Any) -> None:
    """Every supported element arrives in its field."""
    job = parse(
        document(
            """<p:Executable>bin/run</p:Executable>
            <p:Argument>-x</p:Argument><p:Argument></p:Argument><p:Argument> two  words </p:Argument>
            <p:Input>in.txt</p:Input><p:Output>out.txt</p:Output><p:Error>/dev/null</p:Error>
            <p:WorkingDirectory>work/</p:WorkingDirectory>
            <p:Environment name="A">1</p:Environment><p:Environment name="B"> b </p:Environment>
            <p:WallTimeLimit>60</p:WallTimeLimit><p:FileSizeLimit>1</p:FileSizeLimit>
            <p:CoreDumpLimit>0</p:CoreDumpLimit><p:DataSegmentLimit>2</p:DataSegmentLimit>
            <p:LockedMemoryLimit>3</p:LockedMemoryLimit><p:MemoryLimit>1048576</p:MemoryLimit>
            <p:OpenDescriptorsLimit>64</p:OpenDescriptorsLimit><p:StackSizeLimit>4</p:StackSizeLimit>
            <p:CPUTimeLimit>30</p:CPUTimeLimit><p:ProcessCountLimit>8</p:ProcessCountLimit>
            <p:VirtualMemoryLimit>5</p:VirtualMemoryLimit>""",
            who="""<JobIdentification><JobName> a name </JobName><Description>d</Description>
            <JobAnnotation>a1</JobAnnotation><JobAnnotation>a2</JobAnnotation><JobProject>p</JobProject>
            </JobIdentification>""",
            application="<ApplicationName>app</ApplicationName><ApplicationVersion>1</ApplicationVersion>",
            resources="""<CandidateHosts><HostName>n1</HostName><HostName>n2.example</HostName></CandidateHosts>
            <ExclusiveExecution>false</ExclusiveExecution>
            <OperatingSystem><OperatingSystemType><OperatingSystemName>LINUX</OperatingSystemName>
            </OperatingSystemType></OperatingSystem>
            <CPUArchitecture><CPUArchitectureName>x86_64</CPUArchitectureName></CPUArchitecture>
            <IndividualCPUCount><Exact>2.0</Exact></IndividualCPUCount>
            <IndividualPhysicalMemory><LowerBoundedRange>2097152.0</LowerBoundedRange></IndividualPhysicalMemory>
            <TotalResourceCount><Exact>3</Exact></TotalResourceCount>""",
            staging=staged("a/b", "<Source><URI>file:x</URI></Source>")
            + staged(
                "r", "<DeleteOnTermination>1</DeleteOnTermination><Target/>", "<CreationFlag>append</CreationFlag>"
            ),
        )
    )
    assert job == JobDescription(
        executable="bin/run",
        arguments=("-x", "", " two  words "),
        environment=(("A", "1"), ("B", " b ")),
        name="a name",
        description="d",
        annotations=("a1", "a2"),
        projects=("p",),
        application="app",
        application_version="1",
        input="in.txt",
        output="out.txt",
        error="/dev/null",
        working_directory="work",
        wall_time=60,
        memory_limit=1048576,
        limits=Limits(30, 1, 0, 2, 3, 64, 4, 8, 5),
        stage_in=(StagedFile("a/b", uri="file:x"),),
        stage_out=(StagedFile("r", Creation.APPEND, delete=True),),
        total_resource_count=3,
        cores=2,
        memory=2097152,
        architecture="x86_64",
        operating_system="LINUX",
        candidate_hosts=("n1", "n2.example"),
    )
    assert job.needs == Needs(2, 2097152, "x86_64", ("n1", "n2.example"))


def test_a_file_may_be_staged_both_ways(document: Any) -> None:
    """Source and Target in one DataStaging are a file in and a file out."""
    job = parse(document(staging=staged("f", "<Source/><Target/>")))
    assert (job.stage_in, job.stage_out) == ((StagedFile("f"),), (StagedFile("f"),))


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("a\r\nb", "a\nb"),
        ("a&#13;&#10;b", "a\r\nb"),
        ("<![CDATA[<&>]]>", "<&>"),
        ("&lt;&amp;&gt;&quot;&apos;", "<&>\"'"),
        ("a<!-- no -->b", "ab"),
        ("&#x1F600;é", "😀é"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_arguments_are_kept_as_written(document: Any, text: str, argument: str) -> None:
    """Nothing is trimmed or joined in an argument; line ends in the file are XML's."""
    assert parse(document(f"{TRUE}<p:Argument>{text}</p:Argument>")).arguments == (argument,)


@pytest.mark.parametrize(
    ("inside", "least"),
    [
        ("<Exact>4</Exact>", 4),
        ("<Exact> 4.0e0 </Exact>", 4),
        ('<Exact epsilon="0.5">4.2</Exact>', 4),
        ("<Exact>8</Exact><Exact>4</Exact>", 4),
        ("<LowerBoundedRange>2.5</LowerBoundedRange>", 3),
        ('<LowerBoundedRange exclusiveBound="true">2</LowerBoundedRange>', 3),
        ("<UpperBoundedRange>8</UpperBoundedRange>", 1),
        ("<Range><LowerBound>3</LowerBound><UpperBound>5</UpperBound></Range>", 3),
        ('<Range><LowerBound exclusiveBound="1">3</LowerBound><UpperBound>4</UpperBound></Range>', 4),
        ("<Exact>9</Exact><Range><LowerBound>3</LowerBound><UpperBound>5</UpperBound></Range>", 3),
        ("<LowerBoundedRange>-7</LowerBoundedRange>", 1),
    ],
)
def test_a_range_means_the_least_that_suffices(document: Any, inside: str, least: int) -> None:
    """Of every number that a range allows, the smallest whole one from 1 on is what the job needs."""
    job = parse(document(resources=f"<IndividualCPUCount>{inside}</IndividualCPUCount>"))
    assert job.cores == least


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<Exact>0</Exact>",
        "<Exact>2.5</Exact>",
        "<Exact>-1</Exact>",
        "<Exact>NaN</Exact>",
        "<Exact>INF</Exact>",
        "<Exact>1e309</Exact>",
        "<Exact>0x10</Exact>",
        "<Exact>٣</Exact>",
        "<Exact></Exact>",
        "<Exact>1_0</Exact>",
        '<Exact epsilon="x">1</Exact>',
        "<Range><LowerBound>5</LowerBound><UpperBound>4</UpperBound></Range>",
        '<Range><LowerBound>4</LowerBound><UpperBound exclusiveBound="true">4</UpperBound></Range>',
        "<Range><LowerBound>4</LowerBound></Range>",
        '<UpperBoundedRange exclusiveBound="true">1</UpperBoundedRange>',
        '<UpperBoundedRange exclusiveBound="yes">1</UpperBoundedRange>',
        "<Exact>1000000000</Exact>",
        "<Exact>1e9</Exact>",
    ],
)
def test_a_range_that_allows_nothing_is_refused(document: Any, inside: str) -> None:
    """Empty, fractional, hostile and enormous counts are errors (a billion processes among them)."""
    with pytest.raises(JsdlError) as e:
        parse(document(resources=f"<TotalResourceCount>{inside}</TotalResourceCount>"))
    assert "TotalResourceCount" in str(e.value.data["path"])


def test_totals_are_shared_between_units(document: Any) -> None:
    """What is asked for in total is needed in equal shares, rounded up."""
    job = parse(
        document(
            resources="""<TotalCPUCount><Exact>7</Exact></TotalCPUCount>
            <TotalPhysicalMemory><LowerBoundedRange>1001</LowerBoundedRange></TotalPhysicalMemory>
            <TotalResourceCount><Exact>2</Exact></TotalResourceCount>"""
        )
    )
    assert (job.cores, job.memory, job.total_resource_count) == (4, 501, 2)


@pytest.mark.parametrize(
    ("inside", "machine"),
    [
        ("<CPUArchitectureName>x86_32</CPUArchitectureName>", "i686"),
        (
            '<CPUArchitectureName>other</CPUArchitectureName><x:Architecture xmlns:x="urn:xtreemos:jsdl:1">'
            "aarch64</x:Architecture>",
            "aarch64",
        ),
    ],
)
def test_architectures_are_the_kernels(document: Any, inside: str, machine: str) -> None:
    """JSDL's names become uname's; what JSDL has no name for is said in our extension."""
    assert parse(document(resources=f"<CPUArchitecture>{inside}</CPUArchitecture>")).architecture == machine


BAD: list[tuple[str, dict[str, str], str, str]] = [
    # name, document, code after "aem.jsdl-", end of the path
    ("no executable", {"posix": ""}, "missing", "POSIXApplication"),
    ("empty executable", {"posix": "<p:Executable> </p:Executable>"}, "bad-value", "Executable"),
    ("two executables", {"posix": TRUE + TRUE}, "repeated", "Executable"),
    ("wrong order", {"posix": "<p:Argument>a</p:Argument>" + TRUE}, "out-of-place", "Executable"),
    (
        "split arguments",
        {"posix": TRUE + "<p:Argument/><p:Input>i</p:Input><p:Argument/>"},
        "out-of-place",
        "Argument[2]",
    ),
    ("unknown element", {"posix": TRUE + "<p:Shell/>"}, "unknown-element", "POSIXApplication/Shell"),
    ("unknown in JSDL", {"resources": "<GPUCount/>"}, "unknown-element", "Resources/GPUCount"),
    ("wrong parent", {"posix": TRUE + "<DataStaging/>"}, "out-of-place", "POSIXApplication/DataStaging"),
    ("wrong name space", {"posix": "<Executable>a</Executable>"}, "unknown-element", "Executable"),
    ("wrong name space 2", {"resources": "<p:TotalCPUCount/>"}, "unknown-element", "TotalCPUCount"),
    ("no name space", {"posix": TRUE + '<Argument xmlns="">a</Argument>'}, "unknown-element", "Argument"),
    ("element in text", {"posix": "<p:Executable>/bin/<p:Argument/></p:Executable>"}, "out-of-place", "Argument"),
    ("stray text", {"posix": TRUE + "hello"}, "out-of-place", "POSIXApplication"),
    ("unknown attribute", {"posix": '<p:Executable user="root">a</p:Executable>'}, "unknown-attribute", "Executable"),
    (
        "attribute of elsewhere",
        {"posix": '<p:Executable xmlns:z="urn:z" z:a="1">a</p:Executable>'},
        "unsupported",
        "Executable",
    ),
    ("file system", {"posix": '<p:Executable filesystemName="HOME">a</p:Executable>'}, "unsupported", "Executable"),
    ("FileSystem", {"resources": '<FileSystem name="HOME"/>'}, "unsupported", "FileSystem[1]"),
    ("user name", {"posix": TRUE + "<p:UserName>root</p:UserName>"}, "unsupported", "UserName"),
    ("threads", {"posix": TRUE + "<p:ThreadCountLimit>1</p:ThreadCountLimit>"}, "unsupported", "ThreadCountLimit"),
    ("pipe size", {"posix": TRUE + "<p:PipeSizeLimit>1</p:PipeSizeLimit>"}, "unsupported", "PipeSizeLimit"),
    ("disk space", {"resources": "<TotalDiskSpace/>"}, "unsupported", "TotalDiskSpace"),
    (
        "exclusive",
        {"resources": "<ExclusiveExecution>true</ExclusiveExecution>"},
        "unsupported",
        "Resources/ExclusiveExecution",
    ),
    (
        "operating system",
        {
            "resources": "<OperatingSystem><OperatingSystemType><OperatingSystemName>WINNT</OperatingSystemName>"
            "</OperatingSystemType></OperatingSystem>"
        },
        "unsupported",
        "OperatingSystemName",
    ),
    (
        "extension",
        {"application": '<h:HPCProfileApplication xmlns:h="http://schemas.ggf.org/jsdl/2006/07/jsdl-hpcpa"/>'},
        "unsupported",
        "hpcpa:HPCProfileApplication",
    ),
    ("sweep", {"who": '<s:Sweep xmlns:s="http://schemas.ogf.org/jsdl/2009/03/sweep"/>'}, "unsupported", "sweep:Sweep"),
    (
        "architecture",
        {"resources": "<CPUArchitecture><CPUArchitectureName>vax</CPUArchitectureName></CPUArchitecture>"},
        "bad-value",
        "CPUArchitectureName",
    ),
    (
        "unnamed other",
        {"resources": "<CPUArchitecture><CPUArchitectureName>other</CPUArchitectureName></CPUArchitecture>"},
        "unsupported",
        "CPUArchitectureName",
    ),
    (
        "bad host",
        {"resources": "<CandidateHosts><HostName>a b</HostName></CandidateHosts>"},
        "bad-value",
        "HostName[1]",
    ),
    ("no host", {"resources": "<CandidateHosts/>"}, "missing", "CandidateHosts"),
    ("wall time 0", {"posix": TRUE + "<p:WallTimeLimit>0</p:WallTimeLimit>"}, "bad-value", "WallTimeLimit"),
    ("wall time -1", {"posix": TRUE + "<p:WallTimeLimit>-1</p:WallTimeLimit>"}, "bad-value", "WallTimeLimit"),
    ("wall time 1.5", {"posix": TRUE + "<p:WallTimeLimit>1.5</p:WallTimeLimit>"}, "bad-value", "WallTimeLimit"),
    (
        "a billion processes",
        {"posix": TRUE + "<p:ProcessCountLimit>1000000000</p:ProcessCountLimit>"},
        "bad-value",
        "ProcessCountLimit",
    ),
    (
        "number of 10,000 digits",
        {"posix": TRUE + f"<p:MemoryLimit>{'9' * 10_000}</p:MemoryLimit>"},
        "bad-value",
        "MemoryLimit",
    ),
    ("argument too long", {"posix": f"{TRUE}<p:Argument>{'x' * 140_000}</p:Argument>"}, "bad-value", "Argument[1]"),
    ("many arguments", {"posix": TRUE + "<p:Argument/>" * 40_000}, "bad-value", "Argument[32769]"),
    ("nameless variable", {"posix": TRUE + "<p:Environment>1</p:Environment>"}, "missing", "Environment[1]"),
    ("bad variable", {"posix": TRUE + '<p:Environment name="A=B">1</p:Environment>'}, "bad-value", "Environment[1]"),
    (
        "variable twice",
        {"posix": TRUE + '<p:Environment name="A"/><p:Environment name="A"/>'},
        "repeated",
        "Environment[2]",
    ),
    ("input traversal", {"posix": TRUE + "<p:Input>../../etc/shadow</p:Input>"}, "bad-path", "Input"),
    ("output traversal", {"posix": TRUE + "<p:Output>a/../../b</p:Output>"}, "bad-path", "Output"),
    ("error traversal", {"posix": TRUE + "<p:Error>..</p:Error>"}, "bad-path", "Error"),
    ("absolute input", {"posix": TRUE + "<p:Input>/etc/passwd</p:Input>"}, "unsupported", "Input"),
    ("executable traversal", {"posix": "<p:Executable>../x</p:Executable>"}, "bad-path", "Executable"),
    (
        "absolute directory",
        {"posix": TRUE + "<p:WorkingDirectory>/tmp</p:WorkingDirectory>"},
        "unsupported",
        "WorkingDirectory",
    ),
    ("directory traversal", {"posix": TRUE + "<p:WorkingDirectory>..</p:WorkingDirectory>"}, "bad-path", "Directory"),
    ("staging traversal", {"staging": staged("../x")}, "bad-path", "DataStaging[1]/FileName"),
    ("staging absolute", {"staging": staged("/etc/cron.d/x")}, "bad-path", "FileName"),
    ("staging to itself", {"staging": staged(".")}, "bad-path", "FileName"),
    ("staging a directory", {"staging": staged("a/")}, "bad-path", "FileName"),
    ("name with a line end", {"staging": staged("a&#10;b")}, "bad-path", "FileName"),
    ("name too long", {"staging": staged("x" * 300)}, "bad-path", "FileName"),
    ("staged twice", {"staging": staged("a") + staged("./a")}, "repeated", "DataStaging[2]"),
    ("inside a file", {"staging": staged("a") + staged("a/b")}, "bad-path", "DataStaging[2]"),
    ("no creation flag", {"staging": staged("a", flag="")}, "missing", "DataStaging[1]"),
    (
        "bad creation flag",
        {"staging": staged("a", flag="<CreationFlag>new</CreationFlag>")},
        "bad-value",
        "CreationFlag",
    ),
    ("neither source nor target", {"staging": staged("a", "")}, "unsupported", "DataStaging[1]"),
    (
        "source elsewhere",
        {"staging": staged("a", "<Source><URI>http://x/y</URI></Source>")},
        "unsupported",
        "Source/URI",
    ),
    (
        "target elsewhere",
        {"staging": staged("a", "<Target><URI>rsync://x/y</URI></Target>")},
        "unsupported",
        "Target/URI",
    ),
    ("file called error", {"staging": staged("error", "<Target/>")}, "unsupported", "DataStaging[1]"),
    ("bad boolean", {"staging": staged("a", "<DeleteOnTermination>maybe</DeleteOnTermination>")}, "bad-value", "n"),
    (
        "control character in name",
        {"who": "<JobIdentification><JobName>a&#9;b</JobName></JobIdentification>"},
        "bad-value",
        "JobName",
    ),
    (
        "long name",
        {"who": f"<JobIdentification><JobName>{'n' * 300}</JobName></JobIdentification>"},
        "bad-value",
        "JobName",
    ),
]


@pytest.mark.parametrize(("kwargs", "code", "path"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_documents_say_what_and_where(document: Any, kwargs: dict[str, str], code: str, path: str) -> None:
    """Each fault has its own code, the path of the element and a line inside the document."""
    text = document(**kwargs)
    with pytest.raises(JsdlError) as e:
        parse(text)
    assert e.value.code == f"aem.jsdl-{code}"
    assert str(e.value.data["path"]).endswith(path)
    line = e.value.data["line"]
    assert isinstance(line, int)
    assert 1 <= line <= text.count(b"\n") + 1
    if code == "unsupported":
        assert "not supported yet: " in e.value.message


def test_the_message_names_line_and_path(document: Any) -> None:
    """A person reads one line that says where to look."""
    with pytest.raises(JsdlError) as e:
        parse(document(TRUE + "\n<p:Argument>a</p:Argument>\n<p:Input>../x</p:Input>"))
    assert e.value.message == "line 7, Application/POSIXApplication/Input: “../x” leads out of the working directory"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "malformed"),
        (b"   ", "malformed"),
        (b"hello", "malformed"),
        (b"<a>", "unknown-element"),
        (b"\x89PNG\r\n\x1a\n", "malformed"),
        (b"<JobDefinition/>", "unknown-element"),
        (b"\xff\xfe<\x00a\x00", "forbidden"),
        (b"<a/>\0", "bad-value"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "forbidden"),
        (b"<?xml-stylesheet href='x'?><a/>", "forbidden"),
        (b"<!DOCTYPE a><a/>", "forbidden"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "forbidden"),
        (b'<!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><l>&b;</l>', "forbidden"),
        (b"<a>&undefined;</a>", "unknown-element"),
        (b"\xc3\x28", "malformed"),
    ],
)
def test_what_is_not_jsdl_at_all(text: bytes, code: str) -> None:
    """Other files, other encodings and everything that XML attacks need are refused at once."""
    with pytest.raises(JsdlError) as e:
        parse(text)
    assert e.value.code == f"aem.jsdl-{code}"


@pytest.mark.parametrize(
    ("inside", "code"),
    [("&undefined;", "forbidden"), ("<?php x?>", "forbidden"), ("<p:Argument>", "malformed"), ("\ufffe", "malformed")],
)
def test_inside_a_job_too(document: Any, inside: str, code: str) -> None:
    """The same holds in the middle of a good document."""
    with pytest.raises(JsdlError) as e:
        parse(document(TRUE + inside))
    assert e.value.code == f"aem.jsdl-{code}"


def test_a_hundred_megabytes_are_not_looked_at() -> None:
    """Size is checked before anything else, so a huge document costs nothing."""
    with pytest.raises(JsdlError) as e:
        parse(b"<" * 100_000_000)
    assert e.value.code == "aem.jsdl-too-large"
    assert e.value.http_status == 413


def test_depth_ends_at_the_schema(document: Any) -> None:
    """A million nested elements stop at the first that the schema does not know."""
    with pytest.raises(JsdlError) as e:
        parse(document(TRUE + "<a>" * 200_000))
    assert e.value.code == "aem.jsdl-unknown-element"


def test_schema_location_is_allowed_and_not_followed(document: Any) -> None:
    """XML Schema's own hint is on many documents; it means nothing for the job."""
    text = document().replace(
        b"<JobDefinition ",
        b'<JobDefinition xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:schemaLocation="http://schemas.ggf.org/jsdl/2005/11/jsdl http://127.0.0.1:1/x.xsd" id="j1" ',
    )
    assert parse(text).executable == "/bin/true"


def test_a_byte_order_mark_and_crlf_are_fine(document: Any) -> None:
    """Files from other systems parse as they are."""
    text = b"\xef\xbb\xbf" + document(head='<?xml version="1.0" encoding="utf-8"?>\n').replace(b"\n", b"\r\n")
    assert parse(text).executable == "/bin/true"


def test_nothing_is_left_behind(document: Any) -> None:
    """A parsed document leaves no garbage for the cycle collector: parsing is on the hot path."""
    parse(document())
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            parse(document())
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_errors_cross_the_wire(document: Any) -> None:
    """The gateway's client gets the same class, place and hint back."""
    from xos.common.errors import from_fault

    with pytest.raises(JsdlError) as e:
        parse(document(TRUE + "<p:Input>../x</p:Input>"))
    back = from_fault(e.value.to_fault())
    assert type(back) is type(e.value)
    assert (back.message, back.data, back.next_step) == (e.value.message, e.value.data, e.value.next_step)
