# SPDX-License-Identifier: BSD-3-Clause
"""Reading JSDL 1.0 (OGF GFD.136)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from xos.aem.jsdl import check
from xos.aem.jsdl._nodes import Node, read
from xos.aem.jsdl.errors import BadValue, DescriptionError, Missing, Repeated, Unsupported
from xos.aem.jsdl.model import NO_LIMITS, UNITS_MAX, Creation, JobDescription, Limits, StagedFile
from xos.aem.jsdl.quantities import BYTES_MAX, SECONDS_MAX, whole

T = TypeVar("T")

ARCHITECTURES = {
    "x86_64": "x86_64",
    "x86_32": "i686",
    "ia64": "ia64",
    "arm": "armv7l",
    "mips": "mips",
    "powerpc": "ppc",
    "sparc": "sparc",
    "parisc": "parisc",
}
"""JSDL's names of processors and the kernel's (``uname -m``); newer ones are ``other`` with ``xos:Architecture``."""


def parse(document: bytes) -> JobDescription:
    """The job that a JSDL document describes.

    Raises a `DescriptionError` (a `JsdlError`) with element path and line for whatever is not JSDL 1.0 with one
    POSIXApplication, is out of bounds, or is not supported; never anything else.
    """
    root = read(document)
    job = _needed(root, "JobDescription")
    posix = _needed(_needed(job, "Application"), "POSIXApplication")
    application = _needed(job, "Application")
    program = _needed(posix, "Executable")
    who = job.one("JobIdentification")
    resources = job.one("Resources")
    output = _optional(posix, "Output", check.stream_name)
    error = _optional(posix, "Error", check.stream_name)
    stage_in, stage_out = _staging(job, output, error)
    units = _smallest(resources, "TotalResourceCount", UNITS_MAX) or 1
    return JobDescription(
        executable=_checked(program, check.executable),
        arguments=_arguments(posix),
        environment=_environment(posix),
        name=_optional(who, "JobName", check.line),
        description=_optional(who, "Description", check.text),
        annotations=tuple(_checked(node, check.text) for node in who.all("JobAnnotation")) if who else (),
        projects=tuple(_checked(node, check.text) for node in who.all("JobProject")) if who else (),
        application=_optional(application, "ApplicationName", check.line),
        application_version=_optional(application, "ApplicationVersion", check.line),
        input=_optional(posix, "Input", check.stream_name),
        output=output,
        error=error,
        working_directory=_optional(posix, "WorkingDirectory", check.directory),
        wall_time=_limit(posix, "WallTimeLimit", 1, SECONDS_MAX),
        memory_limit=_limit(posix, "MemoryLimit", 1, BYTES_MAX),
        limits=_limits(posix),
        stage_in=stage_in,
        stage_out=stage_out,
        total_resource_count=units,
        cores=_share(resources, "IndividualCPUCount", "TotalCPUCount", units, check.CORES_MAX) or 1,
        memory=_share(resources, "IndividualPhysicalMemory", "TotalPhysicalMemory", units, BYTES_MAX) or 0,
        architecture=_architecture(resources),
        operating_system=_operating_system(resources),
        candidate_hosts=_hosts(resources),
        reads=tuple(dict.fromkeys(_checked(node, check.volume_uri) for node in job.all("Reads"))),
    )


# --- one element -----------------------------------------------------------------------------------------------------


def _needed(parent: Node, name: str) -> Node:
    node = parent.one(name)
    if node is None:
        raise parent.place(Missing(f"{name} is missing"))
    return node


def _at(node: Node, rule: Callable[[str], T], value: str) -> T:
    try:
        return rule(value)
    except DescriptionError as e:
        raise node.place(e) from None


def _checked(node: Node, rule: Callable[[str], T]) -> T:
    """The element's text, without the white space around it."""
    return _at(node, rule, node.text.strip(check.SPACE))


def _optional(parent: Node | None, name: str, rule: Callable[[str], str]) -> str:
    node = parent.one(name) if parent is not None else None
    return "" if node is None else _checked(node, rule)


def _boolean(node: Node | None) -> bool:
    return node is not None and _checked(node, _truth)


def _truth(value: str) -> bool:
    if value not in ("true", "false", "1", "0"):
        raise BadValue(f"“{value[:40]}” is neither true nor false")
    return value in ("true", "1")


# --- Application -----------------------------------------------------------------------------------------------------


def _arguments(posix: Node) -> tuple[str, ...]:
    """Exactly as written: where the schema says ``normalizedString`` we keep tabs and line ends, scripts need them."""
    return tuple(_at(node, check.argument, node.text) for node in posix.all("Argument"))


def _environment(posix: Node) -> tuple[tuple[str, str], ...]:
    variables: dict[str, str] = {}
    for node in posix.all("Environment"):
        name = node.attributes.get("name")
        if name is None:
            raise node.place(Missing("the attribute name is missing"))
        name = _at(node, check.environment_name, name.strip(check.SPACE))
        if name in variables:
            raise node.place(Repeated(f"{name} is set already"))
        try:
            variables[name] = check.environment_value(name, node.text)
        except DescriptionError as e:
            raise node.place(e) from None
    return tuple(variables.items())


_WHOLE = re.compile(r"\+?0*(\d{1,19})", re.ASCII)


def _whole(value: str) -> int:
    found = _WHOLE.fullmatch(value)
    if found is None:
        raise BadValue(f"“{value[:40]}” is not a whole number within bounds")
    return int(found[1])


def _limit(posix: Node, name: str, low: int, high: int) -> int | None:
    node = posix.one(name)
    return None if node is None else _checked(node, lambda value: whole(_whole(value), low, high))


LIMITS = {
    "cpu_time": "CPUTimeLimit",
    "file_size": "FileSizeLimit",
    "core_dump": "CoreDumpLimit",
    "data_segment": "DataSegmentLimit",
    "locked_memory": "LockedMemoryLimit",
    "open_files": "OpenDescriptorsLimit",
    "stack": "StackSizeLimit",
    "processes": "ProcessCountLimit",
    "virtual_memory": "VirtualMemoryLimit",
}
"""Field of `Limits` and element of POSIXApplication."""


def _limits(posix: Node) -> Limits:
    found = {f: _limit(posix, name, *check.LIMITS[f]) for f, name in LIMITS.items() if name in posix.children}
    return Limits(**found) if found else NO_LIMITS


# --- Resources -------------------------------------------------------------------------------------------------------

_DOUBLE = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[Ee][+-]?\d{1,3})?", re.ASCII)


def _double(value: str) -> float:
    """An ``xsd:double`` that is a finite number."""
    if not _DOUBLE.fullmatch(value) or not math.isfinite(number := float(value)):
        raise BadValue(f"“{value[:40]}” is not a number within bounds")
    return number


def _bound(node: Node | None) -> tuple[float, bool] | None:
    """A bound and whether it is itself excluded."""
    if node is None:
        return None
    exclusive = _at(node, _truth, node.attributes.get("exclusiveBound", "false").strip(check.SPACE))
    return _checked(node, _double), exclusive


def _least(lower: tuple[float, bool] | None, upper: tuple[float, bool] | None) -> int | None:
    """The smallest whole number >= 1 within the bounds."""
    low = 1
    if lower is not None:
        value, exclusive = lower
        low = max(1, math.floor(value) + 1 if exclusive else math.ceil(value))
    if upper is not None and (low >= upper[0] if upper[1] else low > upper[0]):
        return None
    return low


def _smallest(resources: Node | None, name: str, high: int) -> int | None:
    """The smallest whole number >= 1 that a range allows: what a job needs is the least that it says suffices."""
    node = resources.one(name) if resources is not None else None
    if node is None:
        return None
    allowed = []
    low, up = _bound(node.one("LowerBoundedRange")), _bound(node.one("UpperBoundedRange"))
    allowed += [_least(low, None)] if low else []
    allowed += [_least(None, up)] if up else []
    for exact in node.all("Exact"):
        value = _checked(exact, _double)
        epsilon = abs(_at(exact, _double, exact.attributes.get("epsilon", "0").strip(check.SPACE)))
        allowed.append(_least((value - epsilon, False), (value + epsilon, False)))
    for part in node.all("Range"):
        bounds = [_bound(_needed(part, side)) for side in ("LowerBound", "UpperBound")]
        allowed.append(_least(*bounds))
    if not allowed:
        raise node.place(Missing("has no value (Exact, Range, LowerBoundedRange or UpperBoundedRange)"))
    numbers = [number for number in allowed if number is not None]
    if not numbers:
        raise node.place(BadValue("allows no whole number from 1 on"))
    try:
        return whole(min(numbers), 1, high)
    except DescriptionError as e:
        raise node.place(e) from None


def _share(resources: Node | None, individual: str, total: str, units: int, high: int) -> int | None:
    """What each unit needs: what is said of each, but at least its share of the total."""
    each = _smallest(resources, individual, high)
    together = _smallest(resources, total, high * units)
    if together is None:
        return each
    return max(each or 0, -(-together // units))


def _architecture(resources: Node | None) -> str:
    node = resources.one("CPUArchitecture") if resources is not None else None
    if node is None:
        return ""
    name = _needed(node, "CPUArchitectureName")
    ours = node.one("Architecture")
    said = name.text.strip(check.SPACE)
    if said == "other":
        if ours is None:
            raise name.place(Unsupported("“other” without our element Architecture beside it"))
        return _checked(ours, _machine)
    if ours is not None:
        raise ours.place(Repeated("only beside the name “other”"))
    if said == "x86":
        raise name.place(Unsupported("“x86”: say x86_64 or x86_32"))
    if said not in ARCHITECTURES:
        raise name.place(BadValue(f"“{said[:40]}” is not one of {', '.join(sorted(ARCHITECTURES))}, other"))
    return ARCHITECTURES[said]


def _machine(value: str) -> str:
    if not value:
        raise BadValue("is empty")
    return check.architecture(value)


def _operating_system(resources: Node | None) -> str:
    node = resources.one("OperatingSystem") if resources is not None else None
    kind = node.one("OperatingSystemType") if node is not None else None
    return "" if kind is None else _checked(_needed(kind, "OperatingSystemName"), check.operating_system)


def _hosts(resources: Node | None) -> tuple[str, ...]:
    if resources is None:
        return ()
    exclusive = resources.one("ExclusiveExecution")
    if exclusive is not None and _boolean(exclusive):
        raise exclusive.place(Unsupported("nodes for one job alone"))
    node = resources.one("CandidateHosts")
    if node is None:
        return ()
    hosts = [_checked(_needed(node, "HostName"), check.host)]
    hosts += [_checked(host, check.host) for host in node.all("HostName")[1:]]
    return tuple(dict.fromkeys(hosts))


# --- DataStaging -----------------------------------------------------------------------------------------------------


def _staging(job: Node, output: str, error: str) -> tuple[tuple[StagedFile, ...], tuple[StagedFile, ...]]:
    arriving, leaving = [], []
    nodes = job.all("DataStaging")
    for node in nodes:
        name = _checked(_needed(node, "FileName"), check.file_name)
        creation = _checked(_needed(node, "CreationFlag"), _creation)
        delete = _boolean(node.one("DeleteOnTermination"))
        source, target = node.one("Source"), node.one("Target")
        if source is None and target is None:
            raise node.place(Unsupported("a file with neither Source nor Target"))
        if source is not None:
            arriving.append(StagedFile(name, creation, delete, _source(source)))
        if target is not None:
            if (uri := target.one("URI")) is not None:
                raise uri.place(Unsupported("sending a file elsewhere: leave URI out, and fetch it with xout --file"))
            leaving.append(StagedFile(name, creation, delete))
    try:
        return check.staged_in(arriving), check.staged_out(leaving, output=output, error=error)
    except DescriptionError as e:
        raise nodes[-1].place(e) from None


def _source(source: Node) -> str:
    node = source.one("URI")
    return "" if node is None else _checked(node, check.source_uri)


def _creation(value: str) -> Creation:
    try:
        return Creation(value)
    except ValueError:
        raise BadValue(f"“{value[:40]}” is none of overwrite, append, dontOverwrite") from None
