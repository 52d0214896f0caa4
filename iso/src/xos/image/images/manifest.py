# SPDX-License-Identifier: BSD-3-Clause
"""The packages of a system, of dpkg and of rpm, as the scripts that install it list them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec


class Package(msgspec.Struct, frozen=True, order=True):
    """A package that is installed."""

    kind: Literal["deb", "rpm"]
    name: str
    version: str
    """As its package manager writes it, release and epoch (if any) included."""
    arch: str
    source: str = ""
    """The source package it was built from, with version."""
    supplier: str = ""
    license: str = ""
    """What an RPM says; Debian packages have it in /usr/share/doc/NAME/copyright."""
    homepage: str = ""

    @property
    def line(self) -> str:
        """For the manifest."""
        return f"{self.kind} {self.name} {self.version} {self.arch}"


def read_packages(text: str) -> tuple[Package, ...]:
    """What ``packages`` of a tree lists: a package a line, its fields separated by tabs."""
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(sorted(msgspec.convert(_known(row), Package) for row in rows))


def _known(row: list[str]) -> dict[str, str]:
    """rpm says ``(none)`` for what a package does not tell."""
    values = ["" if value == "(none)" else value for value in row]
    return dict(zip(Package.__struct_fields__, values, strict=True))


def manifest(packages: Iterable[Package]) -> str:
    """For people and `diff`: ``deb|rpm NAME VERSION ARCHITECTURE`` a line."""
    return "".join(f"{package.line}\n" for package in packages)


def read_manifest(text: str) -> tuple[Package, ...]:
    """The packages of a `manifest`. Raises `ValueError` at a line that is none."""
    try:
        return tuple(msgspec.convert(_four(line), Package) for line in text.splitlines())
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _four(line: str) -> dict[str, str]:
    return dict(zip(("kind", "name", "version", "arch"), line.split(" "), strict=True))
