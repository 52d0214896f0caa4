# SPDX-License-Identifier: BSD-3-Clause
"""Which elements JSDL 1.0 and its POSIXApplication have, in which order (GFD.136, appendices 1 and 2)."""

from __future__ import annotations

import dataclasses

from xos.aem.jsdl import check

JSDL = "http://schemas.ggf.org/jsdl/2005/11/jsdl"
POSIX = "http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"
XOS = "urn:xtreemos:jsdl:1"
"""Our extensions: ``Architecture`` in ``CPUArchitecture`` when its name is ``other``; behind all else of a job
``Reads``: files of volumes that it is going to read."""
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SEPARATOR = " "
"""Between name space and name, as expat gives them to us."""


@dataclasses.dataclass(frozen=True, slots=True)
class Element:
    """What is known of an element in one place of the schema."""

    name: str
    """Local name."""
    space: str = JSDL
    most: int = 1
    """How often it may be there."""
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


def _holds(name: str, *children: Element, space: str = JSDL, most: int = 1, attributes: str = "") -> Element:
    placed = {c.expanded: dataclasses.replace(c, order=order) for order, c in enumerate(children)}
    return Element(name, space, most, attributes=frozenset(attributes.split()), children=placed)


def _text(name: str, *, space: str = JSDL, most: int = 1, attributes: str = "") -> Element:
    return Element(name, space, most, text=True, attributes=frozenset(attributes.split()))


def _posix(name: str, *, most: int = 1, attributes: str = FILESYSTEM) -> Element:
    return _text(name, space=POSIX, most=most, attributes=attributes)


def _limit(name: str) -> Element:
    return _posix(name, attributes="")


def _not_yet(name: str, why: str, *, space: str = JSDL, most: int = 1) -> Element:
    return Element(name, space, most, unsupported=why)


def _range(name: str) -> Element:
    bound = "exclusiveBound"
    sides = [_text(side, attributes=bound) for side in ("LowerBound", "UpperBound")]
    return _holds(
        name,
        _text("UpperBoundedRange", attributes=bound),
        _text("LowerBoundedRange", attributes=bound),
        _text("Exact", most=check.RANGES_MAX, attributes="epsilon"),
        _holds("Range", *sides, most=check.RANGES_MAX),
    )


_IDENTIFICATION = _holds(
    "JobIdentification",
    _text("JobName"),
    _text("Description"),
    _text("JobAnnotation", most=check.NOTES_MAX),
    _text("JobProject", most=check.NOTES_MAX),
)

_POSIX_APPLICATION = _holds(
    "POSIXApplication",
    _posix("Executable"),
    _posix("Argument", most=check.ARGUMENTS_MAX),
    _posix("Input"),
    _posix("Output"),
    _posix("Error"),
    _posix("WorkingDirectory"),
    _posix("Environment", most=check.ENVIRONMENT_MAX, attributes=f"name {FILESYSTEM}"),
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
    _holds("CandidateHosts", _text("HostName", most=check.HOSTS_MAX)),
    _not_yet("FileSystem", "every file of a job is in its unit's working directory", most=2),
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
    most=2 * check.FILES_MAX,
    attributes="name",
)

ROOT = _holds(
    "JobDefinition",
    _holds(
        "JobDescription",
        _IDENTIFICATION,
        _APPLICATION,
        _RESOURCES,
        _STAGING,
        _text("Reads", space=XOS, most=check.READS_MAX),
    ),
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
