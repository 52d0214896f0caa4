# SPDX-License-Identifier: BSD-3-Clause
"""Flavours: one declarative file each, ``iso/flavours/NAME.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from xos.common.config import load
from xos.image.errors import ImageError

DIRECTORY = Path("iso/flavours")
"""Where a checkout has them."""

Format = Literal["iso", "qcow2", "raw", "tar", "vmdk"]
BaseName = Literal["debian", "rpm"]
Kind = Literal["plain", "live", "disk"]
"""Of a system: without a kernel of its own (a container), from a read-only medium, on a disk."""
KINDS: Mapping[Format, Kind] = {"iso": "live", "qcow2": "disk", "raw": "disk", "tar": "plain", "vmdk": "disk"}
"""The kind of system that a format holds."""
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+:-]*\Z")]
"""Of a package or unit: never an option of dnf or systemctl, never a word with a blank."""
KernelOption = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._=,:/+-]+\Z")]
"""Nothing that GRUB's language gives a meaning."""


Address = Annotated[str, msgspec.Meta(pattern=r"^(https?|file):///?[^\s\[\]]+\Z")]
"""A URL in a file of dnf: no second line, no section."""


class UnknownFlavour(ImageError):
    """Raised when no file declares the flavour that is named."""

    code = "image.unknown-flavour"
    template = "there is no flavour {name} in {directory}"
    hint = "Known: {known}"


class BaseMismatch(ImageError):
    """Raised when a flavour says something of a base that it does not stand on."""

    code = "image.base-mismatch"
    template = "{file}: {key}: not with base = {base}"
    hint = "A flavour on Debian has lists called debian, one on another distribution has [rpm]"


class KindUndeclared(ImageError):
    """Raised when a format is asked for whose system the flavour does not declare."""

    code = "image.kind-undeclared"
    template = "{flavour} does not say what such a system has: there is no [{kind}] in {file}"
    hint = "Add it, as in iso/flavours/core.toml, or build another format: xos-image show {flavour}"


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a kind of system has beyond the flavour's."""

    packages: tuple[Name, ...] = ()
    """Of ours, beside the flavour's."""
    debian: tuple[Name, ...] = ()
    units: tuple[Name, ...] = ()
    kernel_options: tuple[KernelOption, ...] = ()


class Live(System, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a live system has."""

    most_mb: Annotated[int, msgspec.Meta(ge=1)]
    """The largest ISO allowed, in MiB."""


class Disk(System, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a system on a disk has."""

    size_mb: Annotated[int, msgspec.Meta(ge=512, le=1 << 21)]
    """How large the disk is, in MiB. The system fills a larger one at its next boot."""


class RpmRepository(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A repository of an RPM distribution."""

    name: Name
    url: Address
    key: Address
    """The public key that its packages are signed with."""


class RpmSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The RPM distribution that a flavour stands on."""

    release: Name
    """What its repositories call ``$releasever``."""
    packages: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    repositories: Annotated[tuple[RpmRepository, ...], msgspec.Meta(min_length=1)]


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file of a flavour says."""

    summary: str
    packages: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    debian: tuple[Name, ...] = ()
    units: tuple[Name, ...] = ()
    formats: Annotated[tuple[Format, ...], msgspec.Meta(min_length=1)]
    base: BaseName = "debian"
    rpm: RpmSource | None = None
    live: Live | None = None
    disk: Disk | None = None


class Flavour(msgspec.Struct, frozen=True):
    """A flavour, its name (of the file) and what it is declared to be."""

    name: str
    file: Path
    declared: Declared

    @property
    def live(self) -> Live:
        """What a live system has. Raises `KindUndeclared`."""
        if self.declared.live is None:
            raise KindUndeclared(flavour=self.name, kind="live", file=str(self.file))
        return self.declared.live

    @property
    def disk(self) -> Disk:
        """What a system on a disk has. Raises `KindUndeclared`."""
        if self.declared.disk is None:
            raise KindUndeclared(flavour=self.name, kind="disk", file=str(self.file))
        return self.declared.disk

    @property
    def rpm(self) -> RpmSource:
        """The RPM distribution it stands on. Raises `BaseMismatch`."""
        if self.declared.rpm is None:
            raise BaseMismatch(file=str(self.file), key="rpm (missing)", base=self.declared.base)
        return self.declared.rpm

    def system(self, kind: Kind) -> System:
        """What a system of *kind* has beyond the flavour's. Raises `KindUndeclared`."""
        if kind == "plain":
            return System()
        return self.live if kind == "live" else self.disk


def names(directory: Path) -> tuple[str, ...]:
    """The flavours of a directory."""
    return tuple(sorted(path.stem for path in directory.glob("*.toml")))


def flavour(name: str, directory: Path) -> Flavour:
    """The flavour *name*. Raises `UnknownFlavour`, `ConfigError`, `KindUndeclared`, `BaseMismatch`."""
    known = names(directory)
    if name not in known:
        raise UnknownFlavour(name=name, directory=str(directory), known=", ".join(known) or "none")
    file = directory / f"{name}.toml"
    found = Flavour(name, file, load(file, Declared))
    _check(found)
    return found


def _check(found: Flavour) -> None:
    """What the types do not say. Raises `KindUndeclared`, `BaseMismatch`."""
    declared = found.declared
    for form in declared.formats:
        found.system(KINDS[form])
    if declared.base == "rpm":
        _ = found.rpm
        lists = (declared.debian, *(system.debian for system in (declared.live, declared.disk) if system))
        if any(lists):
            raise BaseMismatch(file=str(found.file), key="debian", base=declared.base)
    elif declared.rpm is not None:
        raise BaseMismatch(file=str(found.file), key="rpm", base=declared.base)


def flavours(directory: Path) -> tuple[Flavour, ...]:
    """All flavours of a directory, by name. Raises `ConfigError`."""
    return tuple(flavour(name, directory) for name in names(directory))


def plain(shown: Flavour) -> dict[str, object]:
    """All of a flavour, for programs: its file, and its name."""
    return {"name": shown.name, **msgspec.to_builtins(shown.declared)}


def show(shown: Flavour) -> str:
    """All of a flavour, for people."""
    declared = shown.declared
    rows = {
        "flavour": shown.name,
        "summary": declared.summary,
        "declared in": str(shown.file),
        "base": declared.base,
        "formats": " ".join(declared.formats),
        "packages": " ".join(declared.packages),
        "Debian packages": " ".join(declared.debian),
        "units": " ".join(declared.units),
    }
    for kind, system in (("live", declared.live), ("disk", declared.disk)):
        if system is not None:
            rows |= {
                f"{kind}: packages": " ".join(system.packages),
                f"{kind}: Debian packages": " ".join(system.debian),
                f"{kind}: units": " ".join(system.units),
                f"{kind}: kernel options": " ".join(system.kernel_options),
            }
    if declared.live is not None:
        rows["live: at most"] = f"{declared.live.most_mb} MB"
    if declared.disk is not None:
        rows["disk: size"] = f"{declared.disk.size_mb} MB"
    return "".join(f"{key + ':':24}{value or '-'}\n" for key, value in rows.items())
