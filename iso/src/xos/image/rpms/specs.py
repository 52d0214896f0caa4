# SPDX-License-Identifier: BSD-3-Clause
"""Specs as rpm's own parser sees them, in the root where they will be built."""

from __future__ import annotations

from pathlib import Path

import msgspec

from xos.image.errors import BadSpec
from xos.image.sandbox import Bind, Sandbox


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What the builder needs to know of a spec."""

    path: str
    name: str
    version: str
    packages: tuple[str, ...]
    """The packages that are built from it."""
    provides: tuple[str, ...]
    build_requires: tuple[str, ...]
    sources: tuple[str, ...]
    """The macro ``xos_sources``: paths in the checkout that the source archive is made from."""
    changelog: bool
    pinned: str = ""
    """The macro ``xos_pinned``: a requirements file in the checkout, of sources to fetch."""

    @property
    def file(self) -> Path:
        """The spec itself."""
        return Path(self.path)


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    error: str = ""
    name: str = ""
    version: str = ""
    packages: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    changelog: bool = False
    pinned: str = ""


async def read_specs(directory: Path, sandbox: Sandbox, log: Path) -> tuple[Spec, ...]:
    """All specs of *directory*, by name. Raises `BadSpec`, `StepFailed`."""
    files = sorted(directory.glob("*.spec"))
    inside = [f"/specs/{file.name}" for file in files]
    answer = await sandbox.also(Bind(directory, "/specs")).run(
        ["/usr/lib/rpm/xos/read-specs", *inside], step="reading the specs", log=log
    )
    return decode(answer, directory)


def decode(answer: bytes, directory: Path) -> tuple[Spec, ...]:
    """The answer of ``read-specs``, checked. Raises `BadSpec`."""
    read = [_spec(found, directory) for found in msgspec.json.decode(answer, type=list[_Answer])]
    return tuple(sorted(read, key=lambda spec: spec.name))


def _spec(found: _Answer, directory: Path) -> Spec:
    path = directory / Path(found.path).name
    if found.error:
        raise BadSpec(spec=str(path), detail=found.error)
    if path.stem != found.name:
        raise BadSpec(spec=str(path), detail=f"Name: {found.name} wants to be in {found.name}.spec")
    if not found.sources:
        raise BadSpec(spec=str(path), detail="lacks %global xos_sources, the paths that it is built from")
    if not found.changelog:
        raise BadSpec(spec=str(path), detail="lacks a %changelog")
    return Spec(
        path=str(path),
        name=found.name,
        version=found.version,
        packages=found.packages,
        provides=found.provides,
        build_requires=found.build_requires,
        sources=found.sources,
        changelog=found.changelog,
        pinned=found.pinned,
    )
