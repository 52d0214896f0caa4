# SPDX-License-Identifier: BSD-3-Clause
"""Flavours: one declarative file each, ``iso/flavours/NAME.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from xos.common.config import load
from xos.image.errors import ImageError

DIRECTORY = Path("iso/flavours")
"""Where a checkout has them."""

Format = Literal["iso", "tar"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+:-]*\Z")]
"""Of a package or unit: never an option of dnf or systemctl, never a word with a blank."""
KernelOption = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._=,:/+-]+\Z")]
"""Nothing that GRUB's language gives a meaning."""


class UnknownFlavour(ImageError):
    """Raised when no file declares the flavour that is named."""

    code = "image.unknown-flavour"
    template = "there is no flavour {name} in {directory}"
    hint = "Known: {known}"


class Live(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a live system has beyond the flavour's."""

    debian: tuple[Name, ...]
    units: tuple[Name, ...] = ()
    kernel_options: tuple[KernelOption, ...] = ()
    most_mb: Annotated[int, msgspec.Meta(ge=1)]
    """The largest ISO allowed, in MiB."""


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file of a flavour says."""

    summary: str
    packages: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    debian: tuple[Name, ...] = ()
    units: tuple[Name, ...] = ()
    formats: Annotated[tuple[Format, ...], msgspec.Meta(min_length=1)]
    live: Live


class Flavour(msgspec.Struct, frozen=True):
    """A flavour, its name (of the file) and what it is declared to be."""

    name: str
    file: Path
    declared: Declared


def names(directory: Path) -> tuple[str, ...]:
    """The flavours of a directory."""
    return tuple(sorted(path.stem for path in directory.glob("*.toml")))


def flavour(name: str, directory: Path) -> Flavour:
    """The flavour *name*. Raises `UnknownFlavour`, `ConfigError`."""
    known = names(directory)
    if name not in known:
        raise UnknownFlavour(name=name, directory=str(directory), known=", ".join(known) or "none")
    file = directory / f"{name}.toml"
    return Flavour(name, file, load(file, Declared))


def flavours(directory: Path) -> tuple[Flavour, ...]:
    """All flavours of a directory, by name. Raises `ConfigError`."""
    return tuple(flavour(name, directory) for name in names(directory))


def show(shown: Flavour) -> str:
    """All of a flavour, for people."""
    declared, live = shown.declared, shown.declared.live
    rows = {
        "flavour": shown.name,
        "summary": declared.summary,
        "declared in": str(shown.file),
        "formats": " ".join(declared.formats),
        "packages": " ".join(declared.packages),
        "Debian packages": " ".join(declared.debian),
        "units": " ".join(declared.units),
        "live: Debian packages": " ".join(live.debian),
        "live: units": " ".join(live.units),
        "live: kernel options": " ".join(live.kernel_options),
        "live: at most": f"{live.most_mb} MB",
    }
    return "".join(f"{key + ':':24}{value or '-'}\n" for key, value in rows.items())
