# SPDX-License-Identifier: BSD-3-Clause
"""RPMs as a repository sees them: what their headers say, read by rpm itself in the build root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from xos.image.sandbox import Bind, Sandbox

INSIDE = Path(__file__).with_name("inside")
TOOLS = "/usr/lib/xos-repository"
"""Where the build root has what is in `INSIDE`."""


class Dependency(msgspec.Struct, frozen=True, array_like=True):
    """One thing that a package provides, requires, …"""

    name: str
    flags: int
    """RPMSENSE_* bits."""
    version: str
    """``[EPOCH:]VERSION[-RELEASE]``, or empty."""


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """All of a package, in the header's order."""

    provide: tuple[Dependency, ...] = ()
    require: tuple[Dependency, ...] = ()
    conflict: tuple[Dependency, ...] = ()
    obsolete: tuple[Dependency, ...] = ()
    recommend: tuple[Dependency, ...] = ()


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """An RPM."""

    file: str
    name: str
    version: str
    release: str
    epoch: int = 0
    arch: str
    """``src`` for a source package."""
    group: str = "Unspecified"
    summary: str
    description: str = ""
    license: str = ""
    url: str = ""
    source: str = ""
    size: int
    """Bytes when installed."""
    file_size: int
    """Bytes of the RPM."""
    build_time: int
    files: tuple[str, ...] = ()
    changelog: tuple[tuple[int, str, str], ...] = ()
    """Time, author and text, the newest first."""
    dependencies: Dependencies = Dependencies()
    header: bytes = b""
    """The header with its magic, as in the RPM."""

    @property
    def full_name(self) -> str:
        """``NAME-VERSION-RELEASE.ARCH``."""
        return f"{self.name}-{self.version}-{self.release}.{self.arch}"


async def read_packages(files: Sequence[Path], sandbox: Sandbox, log: Path) -> tuple[Package, ...]:
    """What the headers of RPMs (of one directory) say, by file name. Raises `StepFailed`."""
    if not files:
        return ()
    names = sorted(file.name for file in files)
    answer = await sandbox.also(Bind(files[0].parent, "/rpms")).run(
        [f"{TOOLS}/read-rpms", *(f"/rpms/{name}" for name in names)], step="reading packages", log=log
    )
    return msgspec.json.decode(answer, type=tuple[Package, ...])
