# SPDX-License-Identifier: BSD-3-Clause
"""urpmi media are written as urpmi reads them, and what is damaged is told."""

import gzip
import lzma
import shutil
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.image.errors import BadMedia, LineTooLong
from xos.image.repository import headers, packdrake, synthesis, urpmi
from xos.image.repository.packages import Dependencies, Dependency, Package
from xos.image.repository.synthesis import EQUAL, GREATER, LESS

HEADER = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", 1, 4) + struct.pack(">IIII", 1000, 6, 0, 1) + b"one\0"
ONE = Package(
    file="one-1-2.noarch.rpm",
    name="one",
    version="1",
    release="2",
    arch="noarch",
    group="System/Base",
    summary="The first\npackage",
    description="Text <with> & markup",
    license="BSD-3-Clause",
    source="one-1-2.src.rpm",
    size=4000,
    file_size=3,
    build_time=1_700_000_000,
    files=("/usr/bin/one", "/usr/share/doc/one"),
    changelog=((1_700_000_000, "Somebody - 1-2", "- First & last"),),
    dependencies=Dependencies(
        provide=(Dependency("one", EQUAL, "3:1-2"),),
        require=(
            Dependency("/bin/sh", 1 << 10, ""),
            Dependency("two", GREATER | EQUAL | 1 << 9, "1.0"),
            Dependency("rpmlib(CompressedFileNames)", LESS | EQUAL, "3.0.4-1"),
            Dependency("three", LESS, "9"),
            Dependency("three", LESS, "9"),
        ),
        conflict=(Dependency("old", 0, ""),),
        obsolete=(Dependency("older", LESS | EQUAL, "1"),),
        recommend=(Dependency("nice", 0, ""),),
    ),
    header=HEADER,
)
TWO = msgspec.structs.replace(
    ONE,
    file="two-1-2.noarch.rpm",
    name="two",
    files=(),
    dependencies=Dependencies(require=(Dependency("/usr/bin/one", 0, ""),)),
)


def test_a_block_is_as_the_format_says() -> None:
    assert gzip.decompress(synthesis.write([ONE])).decode() == (
        "@provides@one[== 3:1-2]\n"
        "@conflicts@old\n"
        "@obsoletes@older[<= 1]\n"
        "@requires@/bin/sh[*]@two[*][>= 1.0]@three[< 9]\n"
        "@recommends@nice\n"
        "@summary@The first package\n"
        "@filesize@3\n"
        "@info@one-1-2.noarch@0@4000@System/Base\n"
    )


def test_a_file_that_another_package_needs_is_among_the_provides() -> None:
    one, two = synthesis.read(synthesis.write([ONE, TWO]))
    assert one.provides == ("one[== 3:1-2]", "/usr/bin/one")
    assert two.provides == ()


def test_a_line_that_urpmi_could_not_read_is_refused_with_the_packages_name() -> None:
    many = Dependencies(provide=tuple(Dependency(f"library{n}.so", 0, "") for n in range(10_000)))
    with pytest.raises(LineTooLong, match=r"one-1-2\.noarch: its @provides@ line"):
        synthesis.write([msgspec.structs.replace(ONE, dependencies=many)])


names = st.text("abc./-_+()", min_size=1, max_size=12)


@given(
    st.lists(
        st.builds(
            synthesis.Entry,
            full_name=names,
            epoch=st.integers(0, 9),
            size=st.integers(0, 1 << 40),
            group=names,
            summary=st.text("ab \u00e9", max_size=9),
            file_size=st.integers(0, 1 << 40),
            provides=st.lists(names, max_size=4).map(tuple),
            requires=st.lists(names, max_size=4).map(tuple),
        ),
        max_size=6,
    )
)
def test_what_is_written_is_read(entries: list[synthesis.Entry]) -> None:
    content = gzip.compress("".join(map(synthesis.text, entries)).encode())
    assert list(synthesis.read(content)) == entries


@given(st.dictionaries(names, st.binary(max_size=2000), max_size=30))
def test_what_is_packed_is_unpacked_in_its_order(files: dict[str, bytes]) -> None:
    assert list(packdrake.unpack(packdrake.pack(files)).items()) == list(files.items())


def test_large_files_go_into_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packdrake, "BLOCK", 100)
    files = {str(n): bytes([n]) * 60 for n in range(9)}
    assert packdrake.unpack(packdrake.pack(files)) == files


def test_the_trailer_is_as_the_format_says() -> None:
    archive = packdrake.pack({"one": b"content", "two": b""})
    assert archive[-64:] == b"cz[0" + struct.pack(">IIII", 0, 0, 2, 8) + b"gzip -d".ljust(40, b"\0") + b"0]cz"
    assert archive[-64 - 32 - 8 : -64 - 32] == b"one\ntwo\n"


@given(st.binary(max_size=200))
def test_what_is_no_archive_is_told(data: bytes) -> None:
    with pytest.raises(BadMedia):
        packdrake.unpack(data + b"!")


def test_the_tags_of_urpm_are_added_and_the_header_stays_whole() -> None:
    made = headers.with_media_tags(HEADER, "one-1-2.noarch.rpm", 12345)
    assert headers.media_tags(made) == ("one-1-2.noarch.rpm", 12345)
    magic, count, length = headers.INTRO.unpack_from(made)
    assert (magic, count) == (HEADER[:8], 3)
    assert len(made) == headers.INTRO.size + 3 * headers.INDEX.size + length
    assert made[headers.INTRO.size :][:16] == HEADER[headers.INTRO.size :][:16]


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    for package in (ONE, TWO):
        (tmp_path / package.file).write_bytes(b"rpm")
    urpmi.write_media_info(tmp_path, [ONE, TWO], "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    return tmp_path


def test_a_medium_is_read_as_it_was_written(medium: Path) -> None:
    assert [entry.full_name for entry in urpmi.read_media_info(medium)] == ["one-1-2.noarch", "two-1-2.noarch"]


def test_the_xml_files_hold_descriptions_files_and_changes(medium: Path) -> None:
    def read(name: str) -> ET.Element:
        return ET.fromstring(lzma.decompress((medium / "media_info" / name).read_bytes()))  # noqa: S314 -- ours

    (info, _), (files, _), (changes, _) = read("info.xml.lzma"), read("files.xml.lzma"), read("changelog.xml.lzma")
    assert (info.get("fn"), info.get("license"), info.text) == ("one-1-2.noarch", "BSD-3-Clause", ONE.description)
    assert (files.text or "").split() == list(ONE.files)
    assert [(log.get("time"), log.findtext("log_text")) for log in changes] == [("1700000000", "- First & last")]


def test_the_same_packages_give_the_same_bytes(medium: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again = tmp_path_factory.mktemp("again")
    urpmi.write_media_info(again, [ONE, TWO], "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    for path in (medium / "media_info").iterdir():
        assert (again / "media_info" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("file", ["synthesis.hdlist.cz", "hdlist.cz", "info.xml.lzma"])
def test_a_damaged_file_of_a_medium_is_told(medium: Path, file: str) -> None:
    path = medium / "media_info" / file
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadMedia, match="MD5SUM"):
        urpmi.read_media_info(medium)


def test_a_package_of_another_size_is_told(medium: Path) -> None:
    (medium / ONE.file).write_bytes(b"other")
    with pytest.raises(BadMedia, match="its size"):
        urpmi.read_media_info(medium)


def test_media_cfg_names_each_medium() -> None:
    text = urpmi.media_cfg(
        "2026.11", "x86_64", [urpmi.Medium(directory="debug", name="Debug", off=True, debug_for="main")]
    )
    assert text == (
        "[media_info]\nversion=2026.11\nbranch=XtreemOS\narch=x86_64\nxml-info=1\n\n"
        "[debug]\nname=Debug\nhdlist=hdlist_debug.cz\nsynthesis=synthesis.hdlist_debug.cz\npubkey=pubkey_debug\n"
        "noauto=1\ndebugfor=main\n"
    )


def test_the_distribution_has_the_metadata_of_each_medium_by_its_name(tmp_path: Path, medium: Path) -> None:
    shutil.copytree(medium, tmp_path / "dist/main")
    urpmi.write_distribution(tmp_path / "dist", "2026.11", "x86_64", [urpmi.Medium(directory="main", name="X")])
    info = tmp_path / "dist/media_info"
    names = ["MD5SUM", "hdlist_main.cz", "media.cfg", "pubkey_main", "synthesis.hdlist_main.cz"]
    assert sorted(path.name for path in info.iterdir()) == names
    urpmi.check_md5sum(info)
    assert len(synthesis.read((info / "synthesis.hdlist_main.cz").read_bytes())) == 2
