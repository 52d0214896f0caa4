# SPDX-License-Identifier: BSD-3-Clause
"""``xos-image diff OLD NEW``: what differs between two images, by what was published beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from xos.image.errors import ImageError
from xos.image.images import mtree
from xos.image.images.manifest import read_manifest

SHOWN = 20
"""Names of a kind that people see unless they want all."""


class NothingBeside(ImageError):
    """Raised when the lists that belong to an image are missing or damaged."""

    code = "image.nothing-beside"
    template = "{file}: {detail}"
    hint = "xos-image build puts it beside the image; copy it with the image"


class Change(msgspec.Struct, frozen=True, order=True):
    """What has the same name on both sides and differs."""

    name: str
    old: str
    new: str


class Changes(msgspec.Struct, frozen=True):
    """Of packages or files."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]


class Difference(msgspec.Struct, frozen=True):
    """Between two images; sizes in bytes."""

    old_size: int
    new_size: int
    packages: Changes
    files: Changes


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> Changes:
    """How *new* differs from *old*: names, and what is known of each."""
    return Changes(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(Change(n, old[n], new[n]) for n in old.keys() & new.keys() if old[n] != new[n])),
    )


def difference(old: Path, new: Path) -> Difference:
    """Between two image files. Raises `NothingBeside`."""
    return Difference(
        old_size=_size(old),
        new_size=_size(new),
        packages=changes(_packages(old), _packages(new)),
        files=changes(_files(old), _files(new)),
    )


def lines(found: Difference, *, everything: bool) -> Iterator[str]:
    """For people."""
    old, new = found.old_size / 1e6, found.new_size / 1e6
    yield f"size      {old:.1f} MB, then {new:.1f} MB ({new - old:+.1f})"
    for what, of in (("packages", found.packages), ("files", found.files)):
        yield f"{what:9} {len(of.added)} added, {len(of.removed)} removed, {len(of.changed)} changed"
        yield from _some([f"  + {name}" for name in of.added], everything)
        yield from _some([f"  - {name}" for name in of.removed], everything)
        yield from _some([f"  ~ {change.name}  {_what(change)}" for change in of.changed], everything)


def _some(all_of: list[str], everything: bool) -> Iterable[str]:
    if everything or len(all_of) <= SHOWN:
        return all_of
    return [*all_of[:SHOWN], f"    and {len(all_of) - SHOWN} more (--all)"]


def _what(change: Change) -> str:
    """Of a file only the facts that differ; of a package its versions."""
    old, new = change.old.split(), change.new.split()
    if len(old) == len(new) > 1:
        pairs = [(was, now) for was, now in zip(old, new, strict=True) if was != now]
        if any(was.startswith("sha256digest=") for was, _ in pairs):
            pairs = [pair for pair in pairs if not pair[0].startswith("sha256digest=")] or [("content", "")]
        return ", ".join(f"{was} -> {now}" if now else was for was, now in pairs)
    return f"{change.old} -> {change.new}"


def _size(image: Path) -> int:
    try:
        return image.stat().st_size
    except OSError as error:
        raise NothingBeside(file=str(image), detail=error.strerror or str(error)) from error


def _packages(image: Path) -> dict[str, str]:
    file = image.with_name(f"{image.name}.manifest")
    try:
        found = read_manifest(_beside(file).decode())
    except ValueError as error:
        raise NothingBeside(file=str(file), detail=f"this is no list of packages ({error})") from error
    # dpkg and rpm may have a package of the same name, and rpm several versions of one.
    versions: dict[str, list[str]] = {}
    for package in found:
        versions.setdefault(f"{package.kind} {package.name}", []).append(f"{package.version}.{package.arch}")
    return {name: ",".join(sorted(several)) for name, several in versions.items()}


def _files(image: Path) -> dict[str, str]:
    file = image.with_name(f"{image.name}.mtree.gz")
    specification = _beside(file)
    try:
        return {entry.path: entry.facts for entry in mtree.read(specification)}
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise NothingBeside(file=str(file), detail=f"this is no list of files ({error})") from error


def _beside(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NothingBeside(file=str(file), detail=error.strerror or str(error)) from error
