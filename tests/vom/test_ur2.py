# SPDX-License-Identifier: BSD-3-Clause
"""Usage records as OGF Usage Record 2.0: valid XML whatever is in them, and every field where it belongs."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.vom import ur2
from xos.vom.api import UsageRecord

from .test_accounting import record

SCHEMA = Path(__file__).with_name("ur2.xsd")
NAME = "{http://schema.ogf.org/urf/2013/04/urf}"
WHOLE = record(
    7,
    ended=1_800_000_000.25,
    job_name='<beam> & "co"',
    site="rennes",
    local_user="1900000001",
    exit_code=3,
    status="failed",
    created=1_800_000_001.0,
    cpu_seconds=3725.5,
)


def _parsed(*records: UsageRecord) -> ET.Element:
    return ET.fromstring("\n".join(ur2.document(records)))  # noqa: S314 -- we have just written it


def _texts(root: ET.Element) -> dict[str, str]:
    return {element.tag.removeprefix(NAME): element.text or "" for element in root.iter() if len(element) == 0}


def test_every_field_is_in_the_block_that_the_recommendation_has_for_it() -> None:
    (one,) = _parsed(WHOLE)
    assert [block.tag.removeprefix(NAME) for block in one] == [
        "RecordIdentityBlock",
        "SubjectIdentityBlock",
        "ComputeUsageBlock",
        "JobUsageBlock",
        "MemoryUsageBlock",
    ]
    assert _texts(one) == {
        "RecordId": "node1:demo-job7.0",
        "CreateTime": "2027-01-15T08:00:01.000Z",
        "LocalUserId": "1900000001",
        "GlobalUserId": "alice@demo",
        "GlobalGroupId": "demo",
        "GlobalGroupAttribute": "users",
        "Site": "rennes",
        "Infrastructure": "XtreemOS",
        "CpuDuration": "PT3725.5S",
        "WallDuration": "PT10S",
        "StartTime": "2027-01-15T07:59:50.250Z",
        "EndTime": "2027-01-15T08:00:00.250Z",
        "ExecutionHost": "node1",
        "Processors": "2",
        "ExitStatus": "3",
        "GlobalJobId": "demo-job7",
        "LocalJobId": "demo-job7.0",
        "JobName": '<beam> & "co"',
        "MachineName": "node1",
        "TimeInstant": "2027-01-15T07:59:40.250Z",
        "Status": "failed",
        "MemoryClass": "RAM",
        "MemoryResourceCapacityUsed": "1048576",
    }
    attribute = one.find(f".//{NAME}GlobalGroupAttribute")
    assert attribute is not None
    assert attribute.attrib == {f"{NAME}type": "group"}


def test_what_a_node_did_not_tell_is_left_out() -> None:
    (one,) = _parsed(record(1, exit_code=None, memory_peak=0, submitted=0.0, status=""))
    assert not {"ExitStatus", "MemoryClass", "Site", "JobName", "TimeInstant", "Status"} & set(_texts(one))


@given(st.text(), st.floats(0, 1e9), st.floats(0, 4e9), st.text(min_size=1, max_size=20))
def test_whatever_is_in_a_record_the_document_can_be_read(name: str, cpu: float, ended: float, unit: str) -> None:
    odd = msgspec.structs.replace(WHOLE, job_name=name, cpu_seconds=cpu, ended=ended, started=0.0, unit_id=unit)
    told = _texts(_parsed(odd, odd))
    assert told["CpuDuration"].startswith("PT")
    assert abs(float(told["CpuDuration"][2:-1]) - cpu) <= 0.0006
    assert told["EndTime"].endswith("Z")


def test_documents_are_valid_by_the_schema(tmp_path: Path) -> None:
    if shutil.which("xmllint") is None:
        pytest.skip("xmllint is not here")
    plain = record(1, exit_code=None, memory_peak=0)
    file = tmp_path / "ur.xml"
    file.write_text("\n".join(ur2.document([WHOLE, plain])), encoding="utf-8")
    command = ["xmllint", "--noout", "--nonet", "--schema", str(SCHEMA), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    assert done.returncode == 0, done.stderr
    file.write_text("\n".join(ur2.document([WHOLE, WHOLE])), encoding="utf-8")  # the judge has teeth
    assert subprocess.run(command, capture_output=True, check=False, timeout=15).returncode != 0
