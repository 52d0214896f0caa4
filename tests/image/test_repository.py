# SPDX-License-Identifier: BSD-3-Clause
"""What a repository consists of, apart from signatures: those are judged by dnf itself (test_build.py)."""

import configparser
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from xos.common.config import ConfigError
from xos.image.repository import groups, make


@pytest.mark.parametrize(
    ("file", "medium"),
    [
        ("xos-vom-1-1.noarch.rpm", "main"),
        ("xos-vom-1-1.src.rpm", "source"),
        ("xos-commands-debuginfo-1-1.x86_64.rpm", "debug"),
        ("xos-commands-debugsource-1-1.x86_64.rpm", "debug"),
    ],
)
def test_each_package_has_its_medium(file: str, medium: str) -> None:
    assert make.medium_of(file) == medium


def test_the_repo_file_has_signatures_checked_everywhere() -> None:
    read = configparser.ConfigParser()
    read.read_string(make.repo_file("https://packages.example.org/xos"))
    assert read.sections() == ["xtreemos", "xtreemos-debug", "xtreemos-source"]
    for section in read.sections():
        assert (read[section]["gpgcheck"], read[section]["repo_gpgcheck"]) == ("1", "1")
        assert read[section]["gpgkey"] == "https://packages.example.org/xos/RPM-GPG-KEY-xtreemos"
    assert [read[section]["enabled"] for section in read.sections()] == ["1", "0", "0"]


def test_there_is_a_group_for_each_flavour_with_its_packages() -> None:
    root = ET.fromstring(groups.comps(groups.groups()))  # noqa: S314 -- ours
    found = {g.findtext("id"): [p.text for p in g.iter("packagereq")] for g in root.iter("group")}
    assert set(found) == {"xos-core", "xos-resource", "xos-client"}
    for name, packages in found.items():
        assert name in packages


def test_an_unknown_key_in_a_group_is_told(tmp_path: Path) -> None:
    file = tmp_path / "groups.toml"
    file.write_text('[one]\nname = "One"\ndescription = "1"\npakages = []\n')
    with pytest.raises(ConfigError, match="pakages"):
        groups.groups(file)


def test_another_package_of_the_same_name_begins_the_index_anew(tmp_path: Path) -> None:
    place = tmp_path / "main/one.rpm"
    (tmp_path / "main/repodata").mkdir(parents=True)
    signed = tmp_path / "signed.rpm"
    signed.write_bytes(b"first")
    os.utime(signed, (7, 7))
    make._publish(signed, place)
    assert (place.read_bytes(), place.stat().st_mtime) == (b"first", 7)
    make._publish(signed, place)
    assert (tmp_path / "main/repodata").exists()
    signed.write_bytes(b"other")
    make._publish(signed, place)
    assert place.read_bytes() == b"other"
    assert not (tmp_path / "main/repodata").exists()
