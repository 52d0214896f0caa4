# SPDX-License-Identifier: BSD-3-Clause
"""comps.xml: groups of packages, so that ``dnf group install xos-core`` makes a node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from xos.common.config import load

FILE = Path(__file__).with_name("groups.toml")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group."""

    name: str
    description: str
    packages: tuple[str, ...]


def groups(path: Path = FILE) -> dict[str, Group]:
    """The groups as declared, by their id. Raises `ConfigError`."""
    return load(path, dict[str, Group])


def comps(all_groups: Mapping[str, Group]) -> bytes:
    """The document for createrepo_c."""
    root = ET.Element("comps")
    for key, group in sorted(all_groups.items()):
        made = ET.SubElement(root, "group")
        for tag, value in (
            ("id", key),
            ("name", group.name),
            ("description", group.description),
            ("default", "false"),
            ("uservisible", "true"),
        ):
            ET.SubElement(made, tag).text = value
        listed = ET.SubElement(made, "packagelist")
        for package in group.packages:
            ET.SubElement(listed, "packagereq", type="mandatory").text = package
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()
