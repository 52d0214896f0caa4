# SPDX-License-Identifier: BSD-3-Clause
"""Documents in the forms that GFD.136 itself shows: prefixes, spaces, decimals, and what it allows and we do not."""

from __future__ import annotations

import re

import pytest

from xos.aem.jsdl import JobDescription, StagedFile, parse
from xos.aem.jsdl._schema import JSDL, POSIX
from xos.aem.jsdl.errors import Unsupported

# After the worked example of the document (a gnuplot run with its files); the prose in Description is ours.
GNUPLOT = f"""<?xml version="1.0" encoding="UTF-8"?>
<jsdl:JobDefinition
    xmlns="http://www.example.org/"
    xmlns:jsdl="{JSDL}"
    xmlns:jsdl-posix="{POSIX}"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <jsdl:JobDescription>
    <jsdl:JobIdentification>
      <jsdl:JobName>My Gnuplot invocation</jsdl:JobName>
      <jsdl:Description> One application,
          some of its files come from elsewhere. </jsdl:Description>
    </jsdl:JobIdentification>
    <jsdl:Application>
      <jsdl:ApplicationName>gnuplot</jsdl:ApplicationName>
      <jsdl-posix:POSIXApplication>
        <jsdl-posix:Executable> /usr/local/bin/gnuplot </jsdl-posix:Executable>
        <jsdl-posix:Argument>control.txt</jsdl-posix:Argument>
        <jsdl-posix:Input>input.dat</jsdl-posix:Input>
        <jsdl-posix:Output>output1.png</jsdl-posix:Output>
      </jsdl-posix:POSIXApplication>
    </jsdl:Application>
    <jsdl:Resources>
      <jsdl:IndividualPhysicalMemory>
        <jsdl:LowerBoundedRange>2097152.0</jsdl:LowerBoundedRange>
      </jsdl:IndividualPhysicalMemory>
      <jsdl:TotalCPUCount>
        <jsdl:Exact>1.0</jsdl:Exact>
      </jsdl:TotalCPUCount>
    </jsdl:Resources>
    <jsdl:DataStaging>
      <jsdl:FileName>control.txt</jsdl:FileName>
      <jsdl:CreationFlag>overwrite</jsdl:CreationFlag>
      <jsdl:DeleteOnTermination>true</jsdl:DeleteOnTermination>
      <jsdl:Source><jsdl:URI>http://foo.bar.com/~me/control.txt</jsdl:URI></jsdl:Source>
    </jsdl:DataStaging>
    <jsdl:DataStaging>
      <jsdl:FileName>input.dat</jsdl:FileName>
      <jsdl:CreationFlag>overwrite</jsdl:CreationFlag>
      <jsdl:DeleteOnTermination>true</jsdl:DeleteOnTermination>
      <jsdl:Source><jsdl:URI>http://foo.bar.com/~me/input.dat</jsdl:URI></jsdl:Source>
    </jsdl:DataStaging>
    <jsdl:DataStaging>
      <jsdl:FileName>output1.png</jsdl:FileName>
      <jsdl:CreationFlag>overwrite</jsdl:CreationFlag>
      <jsdl:DeleteOnTermination>true</jsdl:DeleteOnTermination>
      <jsdl:Target><jsdl:URI>rsync://spoolmachine/userdir</jsdl:URI></jsdl:Target>
    </jsdl:DataStaging>
  </jsdl:JobDescription>
</jsdl:JobDefinition>
"""


def test_its_example_is_understood_up_to_the_staging_from_elsewhere() -> None:
    """The worked example is refused for one reason only: nodes do not fetch from the web yet."""
    with pytest.raises(Unsupported, match=r"line 34, DataStaging\[1\]/Source/URI: not supported yet: fetching"):
        parse(GNUPLOT.encode())


def test_its_example_with_files_that_travel() -> None:
    """With its files sent along by the user instead, it is a job like any other."""
    document = re.sub("<jsdl:URI>.*?</jsdl:URI>", "", GNUPLOT)
    assert parse(document.encode()) == JobDescription(
        executable="/usr/local/bin/gnuplot",
        arguments=("control.txt",),
        name="My Gnuplot invocation",
        description="One application,\n          some of its files come from elsewhere.",
        application="gnuplot",
        input="input.dat",
        output="output1.png",
        memory=2097152,
        stage_in=(StagedFile("control.txt", delete=True), StagedFile("input.dat", delete=True)),
        stage_out=(StagedFile("output1.png", delete=True),),
    )


def wrapped(resources: str = "", posix: str = "", after: str = "") -> bytes:
    return f"""<jsdl:JobDefinition xmlns:jsdl="{JSDL}" xmlns:jsdl-posix="{POSIX}"><jsdl:JobDescription>
    <jsdl:Application><jsdl-posix:POSIXApplication name="named"><jsdl-posix:Executable>/bin/true</jsdl-posix:Executable>
    {posix}</jsdl-posix:POSIXApplication></jsdl:Application><jsdl:Resources>{resources}</jsdl:Resources>{after}
    </jsdl:JobDescription></jsdl:JobDefinition>""".encode()


def test_its_range_with_everything() -> None:
    """Exact values with and without epsilon, ranges with and without their bounds, all in one element."""
    document = wrapped(
        """<jsdl:IndividualPhysicalMemory>
        <jsdl:Exact>50.0</jsdl:Exact>
        <jsdl:Exact epsilon="0.3">6.7777</jsdl:Exact>
        <jsdl:Exact>7.0</jsdl:Exact>
        <jsdl:Range>
          <jsdl:LowerBound>50.3</jsdl:LowerBound>
          <jsdl:UpperBound exclusiveBound="true">99.5</jsdl:UpperBound>
        </jsdl:Range>
        <jsdl:Range><jsdl:LowerBound>100</jsdl:LowerBound><jsdl:UpperBound>200</jsdl:UpperBound></jsdl:Range>
        </jsdl:IndividualPhysicalMemory>"""
    )
    assert parse(document).memory == 7


def test_its_resource_elements_side_by_side() -> None:
    """The elements of Resources in the order of the schema."""
    job = parse(
        wrapped(
            """<jsdl:CandidateHosts><jsdl:HostName>bach.example.com</jsdl:HostName>
            <jsdl:HostName>mozart.example.com</jsdl:HostName></jsdl:CandidateHosts>
            <jsdl:ExclusiveExecution>false</jsdl:ExclusiveExecution>
            <jsdl:OperatingSystem><jsdl:OperatingSystemType>
            <jsdl:OperatingSystemName>LINUX</jsdl:OperatingSystemName>
            </jsdl:OperatingSystemType><jsdl:Description>any</jsdl:Description></jsdl:OperatingSystem>
            <jsdl:CPUArchitecture><jsdl:CPUArchitectureName>x86_64</jsdl:CPUArchitectureName></jsdl:CPUArchitecture>
            <jsdl:IndividualCPUCount><jsdl:Exact>2.0</jsdl:Exact></jsdl:IndividualCPUCount>
            <jsdl:TotalCPUCount><jsdl:Exact>8.0</jsdl:Exact></jsdl:TotalCPUCount>
            <jsdl:TotalResourceCount><jsdl:Exact>4</jsdl:Exact></jsdl:TotalResourceCount>"""
        )
    )
    assert (job.candidate_hosts, job.cores, job.total_resource_count) == (
        ("bach.example.com", "mozart.example.com"),
        2,
        4,
    )


@pytest.mark.parametrize(
    "document",
    [
        wrapped('<jsdl:FileSystem name="HOME"><jsdl:FileSystemType>normal</jsdl:FileSystemType></jsdl:FileSystem>'),
        wrapped("<jsdl:ExclusiveExecution>true</jsdl:ExclusiveExecution>"),
        wrapped(
            "<jsdl:IndividualCPUSpeed><jsdl:LowerBoundedRange>1e9</jsdl:LowerBoundedRange></jsdl:IndividualCPUSpeed>"
        ),
        wrapped(
            "<jsdl:IndividualDiskSpace><jsdl:LowerBoundedRange>1</jsdl:LowerBoundedRange></jsdl:IndividualDiskSpace>"
        ),
        wrapped(posix='<jsdl-posix:Argument filesystemName="HOME">a</jsdl-posix:Argument>'),
        wrapped(posix="<jsdl-posix:UserName>root</jsdl-posix:UserName>"),
        wrapped(posix="<jsdl-posix:WorkingDirectory>/scratch/me</jsdl-posix:WorkingDirectory>"),
        wrapped(
            after="<jsdl:DataStaging><jsdl:FileName>f</jsdl:FileName>"
            "<jsdl:FilesystemName>HOME</jsdl:FilesystemName></jsdl:DataStaging>"
        ),
        wrapped(after='<x:Anything xmlns:x="urn:example:extension"/>'),
        wrapped('<x:GPUs xmlns:x="urn:example:extension">2</x:GPUs>'),
    ],
)
def test_what_it_allows_and_we_do_not_is_said(document: bytes) -> None:
    """Nothing that the standard allows is passed over in silence."""
    with pytest.raises(Unsupported, match="not supported yet: "):
        parse(document)
