# SPDX-License-Identifier: BSD-3-Clause
"""Which elements JSDL 1.0 and its POSIXApplication have, in which order (GFD.136, appendices 1 and 2)."""

from __future__ import annotations

import dataclasses

JSDL = "http://schemas.ggf.org/jsdl/2005/11/jsdl"
POSIX = "http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"
XOS = "urn:xtreemos:jsdl:1"
"""Our extensions: ``Architecture`` in ``CPUArchitecture`` when its name is ``other``."""
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SEPARATOR = " "
"""Between name space and name, as expat gives them to us."""


@dataclasses.dataclass(frozen=True, slots=True)
class Element:
    """What is known of an element in one place of the schema."""

    name: str
    """Local name."""
    space: str = JSDL
    many: bool = False
    text: bool = False
    """Holds text; else it holds elements, with nothing but white space between them."""
    attributes: frozenset[str] = frozenset()
    unsupported: str = ""
    """Known to the standard but not to us, and why or what to use."""
    children: dict[str, Element] = dataclasses.field(default_factory=dict)
    """By expanded name."""
    order: int = 0
    """Place among its siblings."""

    @property
    def expanded(self) -> str:
        """Name space and name."""
        return f"{self.space}{SEPARATOR}{self.name}"


FILESYSTEM = "filesystemName"


def _holds(name: str, *children: Element, space: str = JSDL, many: bool = False, attributes: str = "") -> Element:
    placed = {c.expanded: dataclasses.replace(c, order=order) for order, c in enumerate(children)}
    return Element(name, space, many, attributes=frozenset(attributes.split()), children=placed)


def _text(name: str, *, space: str = JSDL, many: bool = False, attributes: str = "") -> Element:
    return Element(name, space, many, text=True, attributes=frozenset(attributes.split()))


def _posix(name: str, *, many: bool = False, attributes: str = FILESYSTEM) -> Element:
    return _text(name, space=POSIX, many=many, attributes=attributes)


def _limit(name: str) -> Element:
    return _posix(name, attributes="")


def _not_yet(name: str, why: str, *, space: str = JSDL, many: bool = False) -> Element:
    return Element(name, space, many, unsupported=why)


def _range(name: str) -> Element:
    bound = "exclusiveBound"
    return _holds(
        name,
        _text("UpperBoundedRange", attributes=bound),
        _text("LowerBoundedRange", attributes=bound),
        _text("Exact", many=True, attributes="epsilon"),
        _holds("Range", _text("LowerBound", attributes=bound), _text("UpperBound", attributes=bound), many=True),
    )


_IDENTIFICATION = _holds(
    "JobIdentification",
    _text("JobName"),
    _text("Description"),
    _text("JobAnnotation", many=True),
    _text("JobProject", many=True),
)

_POSIX_APPLICATION = _holds(
    "POSIXApplication",
    _posix("Executable"),
    _posix("Argument", many=True),
    _posix("Input"),
    _posix("Output"),
    _posix("Error"),
    _posix("WorkingDirectory"),
    _posix("Environment", many=True, attributes=f"name {FILESYSTEM}"),
    _limit("WallTimeLimit"),
    _limit("FileSizeLimit"),
    _limit("CoreDumpLimit"),
    _limit("DataSegmentLimit"),
    _limit("LockedMemoryLimit"),
    _limit("MemoryLimit"),
    _limit("OpenDescriptorsLimit"),
    _not_yet("PipeSizeLimit", "Linux has no such limit", space=POSIX),
    _limit("StackSizeLimit"),
    _limit("CPUTimeLimit"),
    _limit("ProcessCountLimit"),
    _limit("VirtualMemoryLimit"),
    _not_yet("ThreadCountLimit", "threads count as processes, see ProcessCountLimit", space=POSIX),
    _not_yet("UserName", "a job runs as its VO user", space=POSIX),
    _not_yet("GroupName", "a job runs in its VO user's group", space=POSIX),
    space=POSIX,
    attributes="name",
)

_APPLICATION = _holds(
    "Application", _text("ApplicationName"), _text("ApplicationVersion"), _text("Description"), _POSIX_APPLICATION
)

_RESOURCES = _holds(
    "Resources",
    _holds("CandidateHosts", _text("HostName", many=True)),
    _not_yet("FileSystem", "every file of a job is in its unit's working directory", many=True),
    _text("ExclusiveExecution"),
    _holds(
        "OperatingSystem",
        _holds("OperatingSystemType", _text("OperatingSystemName")),
        _not_yet("OperatingSystemVersion", "choosing nodes by version"),
        _text("Description"),
    ),
    _holds("CPUArchitecture", _text("CPUArchitectureName"), _text("Architecture", space=XOS)),
    _not_yet("IndividualCPUSpeed", "choosing nodes by clock speed"),
    _not_yet("IndividualCPUTime", "use CPUTimeLimit of POSIXApplication"),
    _range("IndividualCPUCount"),
    _not_yet("IndividualNetworkBandwidth", "choosing nodes by bandwidth"),
    _range("IndividualPhysicalMemory"),
    _not_yet("IndividualVirtualMemory", "use IndividualPhysicalMemory"),
    _not_yet("IndividualDiskSpace", "choosing nodes by disk space"),
    _not_yet("TotalCPUTime", "use CPUTimeLimit of POSIXApplication"),
    _range("TotalCPUCount"),
    _range("TotalPhysicalMemory"),
    _not_yet("TotalVirtualMemory", "use TotalPhysicalMemory"),
    _not_yet("TotalDiskSpace", "choosing nodes by disk space"),
    _range("TotalResourceCount"),
)

_STAGING = _holds(
    "DataStaging",
    _text("FileName"),
    _not_yet("FilesystemName", "every file of a job is in its unit's working directory"),
    _text("CreationFlag"),
    _text("DeleteOnTermination"),
    _holds("Source", _text("URI")),
    _holds("Target", _text("URI")),
    many=True,
    attributes="name",
)

ROOT = _holds(
    "JobDefinition",
    _holds("JobDescription", _IDENTIFICATION, _APPLICATION, _RESOURCES, _STAGING),
    attributes="id",
)

SPACES = {
    JSDL: "",
    POSIX: "",
    XOS: "xos:",
    "http://schemas.ggf.org/jsdl/2006/07/jsdl-hpcpa": "hpcpa:",
    "http://schemas.ogf.org/jsdl/2007/02/jsdl-spmd": "spmd:",
    "http://schemas.ogf.org/jsdl/2009/03/sweep": "sweep:",
    "http://schemas.ogf.org/jsdl/2009/03/sweep/functions": "sweepfunc:",
}
"""How messages abbreviate name spaces; others are written out."""
EVERYWHERE = frozenset({f"{XSI}{SEPARATOR}schemaLocation", f"{XSI}{SEPARATOR}noNamespaceSchemaLocation"})
"""Attributes that XML Schema allows on every element; they say nothing about the job and are never followed."""
