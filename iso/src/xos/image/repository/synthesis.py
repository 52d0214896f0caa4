# SPDX-License-Identifier: BSD-3-Clause
"""``synthesis.hdlist.cz``: what urpmi resolves dependencies with. One block of lines for each package:

@provides@xos-vom[== 0.1.0-1]
@requires@/bin/sh[*]@xos-dixi[>= 0.1.0]      ([*]: needed by a scriptlet)
@recommends@...  @conflicts@...  @obsoletes@...
@summary@Virtual Organisations
@filesize@77135
@info@xos-vom-0.1.0-1.noarch@0@201844@System/Base      (epoch, bytes installed, group; ends the block)
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from xos.image.errors import BadMedia, LineTooLong
from xos.image.repository.packages import Dependency, Package

LONGEST_LINE = 131_071
"""urpmi's reader has a buffer of 128 KiB for a line with its newline."""

LESS, GREATER, EQUAL = 1 << 1, 1 << 2, 1 << 3
PREREQ = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""RPMSENSE_PREREQ, and those of %pre, %post, %preun and %postun."""
OPERATORS = {EQUAL: "==", GREATER | EQUAL: ">=", LESS | EQUAL: "<=", GREATER: ">", LESS: "<"}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A block of a synthesis as urpmi understands it."""

    full_name: str
    epoch: int
    size: int
    group: str
    summary: str
    file_size: int
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    obsoletes: tuple[str, ...] = ()


def shown(dependency: Dependency, *, mark: bool = False) -> str:
    """A dependency in urpmi's notation; *mark*: say whether a scriptlet needs it."""
    needed_early = "[*]" if mark and dependency.flags & PREREQ else ""
    operator = OPERATORS.get(dependency.flags & (LESS | GREATER | EQUAL))
    version = f"[{operator} {dependency.version}]" if operator and dependency.version else ""
    return f"{dependency.name}{needed_early}{version}"


def wanted_files(packages: Iterable[Package]) -> frozenset[str]:
    """File names that packages require; a package that holds one says so among its provides."""
    return frozenset(d.name for p in packages for d in p.dependencies.require if d.name.startswith("/"))


def entry_of(package: Package, wanted: frozenset[str]) -> Entry:
    """The block for a package."""
    has = package.dependencies
    needs = [d for d in has.require if not d.name.startswith("rpmlib(")]
    files = [name for name in package.files if name in wanted]
    return Entry(
        full_name=package.full_name,
        epoch=package.epoch,
        size=package.size,
        group=package.group,
        summary=" ".join(package.summary.split()),
        file_size=package.file_size,
        provides=_once([*map(shown, has.provide), *files]),
        requires=_once([shown(d, mark=True) for d in needs]),
        recommends=_once(map(shown, has.recommend)),
        conflicts=_once(map(shown, has.conflict)),
        obsoletes=_once(map(shown, has.obsolete)),
    )


def text(entry: Entry) -> str:
    """The lines of a block. Raises `LineTooLong`."""
    rows: Mapping[str, tuple[str, ...]] = {
        "provides": entry.provides,
        "conflicts": entry.conflicts,
        "obsoletes": entry.obsoletes,
        "requires": entry.requires,
        "recommends": entry.recommends,
    }
    lines = [f"@{what}@{'@'.join(values)}" for what, values in rows.items() if values]
    lines.append(f"@summary@{entry.summary}")
    lines.append(f"@filesize@{entry.file_size}")
    lines.append(f"@info@{entry.full_name}@{entry.epoch}@{entry.size}@{entry.group}")
    for line in lines:
        if len(line.encode()) >= LONGEST_LINE:
            what = line.split("@", 2)[1]
            raise LineTooLong(package=entry.full_name, what=what, length=len(line.encode()), most=LONGEST_LINE)
    return "".join(f"{line}\n" for line in lines)


def write(packages: Iterable[Package]) -> bytes:
    """The file, compressed by gzip. Raises `LineTooLong`."""
    packages = tuple(packages)
    wanted = wanted_files(packages)
    whole = "".join(text(entry_of(package, wanted)) for package in packages)
    return gzip.compress(whole.encode(), 9, mtime=0)


def read(content: bytes, *, file: str = "synthesis.hdlist.cz") -> tuple[Entry, ...]:
    """What urpmi would read. Raises `BadMedia`."""
    try:
        lines = gzip.decompress(content).decode().splitlines(keepends=True)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadMedia(file=file, detail=str(error)) from error
    return tuple(_entries(lines, file))


def _entries(lines: list[str], file: str) -> Iterator[Entry]:
    block: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if len(line.encode()) > LONGEST_LINE + 1 or not line.endswith("\n"):
            raise BadMedia(file=file, detail=f"line {number} is longer than urpmi reads, or cut off")
        empty, _, rest = line.rstrip("\n").partition("@")
        what, _, value = rest.partition("@")
        if empty or not what:
            raise BadMedia(file=file, detail=f"line {number} is no @TAG@ line")
        block[what] = value
        if what == "info":
            yield _entry(block, file, number)
            block = {}
    if block:
        raise BadMedia(file=file, detail="the last package has no @info@")


def _entry(block: Mapping[str, str], file: str, line: int) -> Entry:
    parts = block["info"].split("@")
    if len(parts) != 4 or not (parts[1].isdigit() and parts[2].isdigit() and block.get("filesize", "").isdigit()):
        raise BadMedia(file=file, detail=f"line {line}: @info@ or @filesize@ is wrong")
    lists = {
        what: tuple(block[what].split("@"))
        for what in ("provides", "requires", "recommends", "conflicts", "obsoletes")
        if what in block
    }
    return Entry(
        full_name=parts[0],
        epoch=int(parts[1]),
        size=int(parts[2]),
        group=parts[3],
        summary=block.get("summary", ""),
        file_size=int(block["filesize"]),
        **lists,
    )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
