# SPDX-License-Identifier: BSD-3-Clause
"""Writing JSDL 1.0 (OGF GFD.136): what `parse` reads back as the same job."""

from __future__ import annotations

from xos.aem.jsdl import check
from xos.aem.jsdl._schema import JSDL, POSIX, XOS
from xos.aem.jsdl.document import ARCHITECTURES, LIMITS
from xos.aem.jsdl.errors import DocumentTooLarge
from xos.aem.jsdl.model import JobDescription, StagedFile

_NAMES = {machine: name for name, machine in ARCHITECTURES.items()}


def to_jsdl(job: JobDescription) -> bytes:
    """*job* as a JSDL document, indented for people, UTF-8.

    Raises `BadValue` for text that XML cannot carry and `DocumentTooLarge`; the other fields are taken as they are.
    """
    out = ['<?xml version="1.0" encoding="UTF-8"?>', f'<JobDefinition xmlns="{JSDL}" xmlns:posix="{POSIX}">']
    out.append(" <JobDescription>")
    _identification(out, job)
    _application(out, job)
    _resources(out, job)
    for file in job.stage_in:
        _staging(out, file, "Source")
    for file in job.stage_out:
        _staging(out, file, "Target")
    out += [_line(2, "xos:Reads", uri, f' xmlns:xos="{XOS}"') for uri in job.reads]
    out += [" </JobDescription>", "</JobDefinition>", ""]
    document = "\n".join(out).encode()
    if len(document) > check.DOCUMENT_MAX:
        raise DocumentTooLarge(f"{len(document)} bytes, {check.DOCUMENT_MAX} are allowed")
    return document


def _identification(out: list[str], job: JobDescription) -> None:
    if not (job.name or job.description or job.annotations or job.projects):
        return
    out.append("  <JobIdentification>")
    _some(out, 3, "JobName", job.name)
    _some(out, 3, "Description", job.description)
    out += [_line(3, "JobAnnotation", annotation) for annotation in job.annotations]
    out += [_line(3, "JobProject", project) for project in job.projects]
    out.append("  </JobIdentification>")


def _application(out: list[str], job: JobDescription) -> None:
    out.append("  <Application>")
    _some(out, 3, "ApplicationName", job.application)
    _some(out, 3, "ApplicationVersion", job.application_version)
    out += ["   <posix:POSIXApplication>", _line(4, "posix:Executable", job.executable)]
    out += [_line(4, "posix:Argument", argument) for argument in job.arguments]
    _some(out, 4, "posix:Input", job.input)
    _some(out, 4, "posix:Output", job.output)
    _some(out, 4, "posix:Error", job.error)
    _some(out, 4, "posix:WorkingDirectory", job.working_directory)
    out += [_line(4, "posix:Environment", value, f' name="{_escaped(name)}"') for name, value in job.environment]
    limits = {"WallTimeLimit": job.wall_time, "MemoryLimit": job.memory_limit}
    limits |= {element: getattr(job.limits, field) for field, element in LIMITS.items()}
    out += [_line(4, f"posix:{name}", str(limits[name])) for name in _LIMIT_ORDER if limits[name] is not None]
    out += ["   </posix:POSIXApplication>", "  </Application>"]


_LIMIT_ORDER = (
    "WallTimeLimit",
    "FileSizeLimit",
    "CoreDumpLimit",
    "DataSegmentLimit",
    "LockedMemoryLimit",
    "MemoryLimit",
    "OpenDescriptorsLimit",
    "StackSizeLimit",
    "CPUTimeLimit",
    "ProcessCountLimit",
    "VirtualMemoryLimit",
)


def _resources(out: list[str], job: JobDescription) -> None:
    inner: list[str] = []
    if job.candidate_hosts:
        inner.append("   <CandidateHosts>")
        inner += [_line(4, "HostName", host) for host in job.candidate_hosts]
        inner.append("   </CandidateHosts>")
    if job.operating_system:
        name = _line(0, "OperatingSystemName", job.operating_system)
        inner.append(f"   <OperatingSystem><OperatingSystemType>{name}</OperatingSystemType></OperatingSystem>")
    if job.architecture:
        inner.append(f"   <CPUArchitecture>{_architecture(job.architecture)}</CPUArchitecture>")
    if job.cores > 1:
        inner.append(f"   <IndividualCPUCount><Exact>{job.cores}</Exact></IndividualCPUCount>")
    if job.memory:
        low = _line(0, "LowerBoundedRange", str(job.memory))
        inner.append(f"   <IndividualPhysicalMemory>{low}</IndividualPhysicalMemory>")
    if job.total_resource_count > 1:
        inner.append(f"   <TotalResourceCount><Exact>{job.total_resource_count}</Exact></TotalResourceCount>")
    if inner:
        out += ["  <Resources>", *inner, "  </Resources>"]


def _architecture(machine: str) -> str:
    if machine in _NAMES:
        return _line(0, "CPUArchitectureName", _NAMES[machine])
    ours = f'<xos:Architecture xmlns:xos="{XOS}">{_escaped(machine)}</xos:Architecture>'
    return _line(0, "CPUArchitectureName", "other") + ours


def _staging(out: list[str], file: StagedFile, side: str) -> None:
    out += ["  <DataStaging>", _line(3, "FileName", file.name), _line(3, "CreationFlag", file.creation.value)]
    if file.delete:
        out.append(_line(3, "DeleteOnTermination", "true"))
    uri = f"<{side}>{_line(0, 'URI', file.uri)}</{side}>" if file.uri else f"<{side}/>"
    out += [f"   {uri}", "  </DataStaging>"]


def _some(out: list[str], depth: int, name: str, value: str) -> None:
    if value:
        out.append(_line(depth, name, value))


def _line(depth: int, name: str, value: str, attributes: str = "") -> str:
    return f"{' ' * depth}<{name}{attributes}>{_escaped(value)}</{name}>"


_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"})


def _escaped(value: str) -> str:
    return check.text(value, len(value)).translate(_ESCAPES)
