# SPDX-License-Identifier: BSD-3-Clause
"""What is published with an image: its packages, its files, its bill of materials, signed checksums."""

import gzip
import io
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.image import cli
from xos.image.images import mtree
from xos.image.images.diff import NothingBeside, changes, difference, lines
from xos.image.images.manifest import Package, manifest, read_manifest, read_packages
from xos.image.images.publish import merged
from xos.image.images.sbom import purl, sbom

OPENSSL = Package("deb", "openssl", "3.5.1-1+deb13u1", "amd64", "openssl 3.5.1-1", "Debian <d@example.org>")
CORE = Package("rpm", "xos-core", "1:0.1.0-1.x", "noarch", "xos-roles-0.1.0-1.src.rpm", "", "BSD-3-Clause")
DIGEST = "0" * 64


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """A tar archive of files, a directory and links."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o640
            tar.addfile(member, io.BytesIO(content))
        for name, kind, target in (("./d", tarfile.DIRTYPE, ""), ("./l", tarfile.SYMTYPE, "a b")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
        hard = tarfile.TarInfo("./hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, next(iter(files))
        tar.addfile(hard)
    return path


def image(directory: Path, packages: list[Package], files: dict[str, bytes], size: int = 1000) -> Path:
    """An image file and its lists."""
    directory.mkdir()
    file = directory / "it.iso"
    file.write_bytes(b"\0" * size)
    (directory / "it.iso.manifest").write_text(manifest(packages))
    (directory / "it.iso.mtree.gz").write_bytes(mtree.describe(archive(directory / "tar", files)))
    return file


def test_what_the_packages_say_of_themselves_is_read() -> None:
    text = "rpm\txos-core\t1:0.1.0-1.x\tnoarch\txos-roles-0.1.0-1.src.rpm\t(none)\tBSD-3-Clause\t(none)\n"
    assert read_packages(text) == (CORE,)
    with pytest.raises(ValueError, match="longer"):
        read_packages(text.replace("\n", "\tmore\n"))


def test_a_manifest_is_read_as_it_was_written() -> None:
    with pytest.raises(ValueError, match="Invalid enum value"):
        read_manifest("   ")
    assert manifest([CORE]) == "rpm xos-core 1:0.1.0-1.x noarch\n"
    assert read_manifest(manifest([CORE]))[0].line == CORE.line


@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_an_error(text: str) -> None:
    try:
        found = read_manifest(text)
    except ValueError:
        return
    assert len(found) == len(text.splitlines())


def test_files_are_described_with_mode_owner_size_and_digest(tmp_path: Path) -> None:
    made = mtree.describe(archive(tmp_path / "tar", {"./a": b"x", "./b c\u00e9#": b""}))
    found = {entry.path: entry.facts for entry in mtree.read(made)}
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert found["/a"] == f"type=file mode=0640 uid=0 gid=0 size=1 sha256digest={digest}"
    assert found["/hard"].split()[-2:] == ["size=1", f"sha256digest={digest}"]
    assert found["/b c\u00e9#"].startswith("type=file")
    assert found["/d"] == "type=dir mode=0644 uid=0 gid=0"
    assert found["/l"].endswith("link=a\\040b")
    assert made == mtree.describe(tmp_path / "tar")


@given(st.binary(max_size=300))
def test_any_specification_is_read_or_refused(content: bytes) -> None:
    with pytest.raises((OSError, EOFError, mtree.BadLine)):
        list(mtree.read(content))
    with pytest.raises(mtree.BadLine):
        list(mtree.read(gzip.compress(content)))
    try:
        for entry in mtree.read(gzip.compress(b"#mtree\n" + content + b"\n")):
            assert entry.path.startswith("/")
    except mtree.BadLine:
        return


def test_changes_are_told_by_name() -> None:
    found = changes({"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "1"})
    assert (found.added, found.removed) == (("d",), ("a",))
    assert [(change.name, change.old, change.new) for change in found.changed] == [("c", "1", "2")]


def test_two_images_are_compared_by_packages_files_and_size(tmp_path: Path) -> None:
    newer = msgspec.structs.replace(OPENSSL, version="3.5.2-1")
    old = image(tmp_path / "old", [OPENSSL, CORE], {"./etc/a": b"1", "./etc/b": b"1"})
    new = image(tmp_path / "new", [newer], {"./etc/a": b"2", "./etc/c": b"1"}, size=2_500_000)
    told = list(lines(difference(old, new), everything=False))
    assert told[0] == "size      0.0 MB, then 2.5 MB (+2.5)"
    assert "  ~ deb openssl  3.5.1-1+deb13u1.amd64 -> 3.5.2-1.amd64" in told
    assert "  - rpm xos-core" in told
    assert {"  + /etc/c", "  - /etc/b", "  ~ /etc/a  content"} <= set(told)


def test_many_names_are_cut_unless_one_wants_all(tmp_path: Path) -> None:
    old = image(tmp_path / "old", [], {"./0": b""})
    new = image(tmp_path / "new", [], {f"./{n}": b"" for n in range(30)})
    found = difference(old, new)
    assert any(line == "    and 9 more (--all)" for line in lines(found, everything=False))
    assert "  + /9" in lines(found, everything=True)


def test_diff_is_a_command_with_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = image(tmp_path / "old", [OPENSSL], {"./a": b"1"})
    assert cli.main(["diff", str(old), str(old), "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["packages"] == {"added": [], "removed": [], "changed": []}
    assert found["old_size"] == 1000


@pytest.mark.parametrize("suffix", ["", ".manifest", ".mtree.gz"])
def test_what_is_missing_or_damaged_beside_an_image_is_told(tmp_path: Path, suffix: str) -> None:
    good, bad = image(tmp_path / "good", [], {"./a": b""}), image(tmp_path / "bad", [], {"./a": b""})
    file = bad.with_name(f"{bad.name}{suffix}")
    if suffix:
        file.write_bytes(b"\xff rubbish")
        with pytest.raises(NothingBeside, match="this is no list of"):
            difference(good, bad)
    file.unlink()
    with pytest.raises(NothingBeside, match="No such file") as told:
        difference(good, bad)
    assert str(file) in told.value.message


def test_package_urls_follow_their_specification() -> None:
    assert purl(OPENSSL) == "pkg:deb/debian/openssl@3.5.1-1%2Bdeb13u1?arch=amd64"
    assert purl(CORE) == "pkg:rpm/xtreemos/xos-core@0.1.0-1.x?arch=noarch&epoch=1"


def test_a_license_that_spdx_does_not_know_is_a_comment() -> None:
    odd = msgspec.structs.replace(CORE, name="odd", license="GPLv2+ and so on")
    first, second = msgspec.json.decode(sbom("it", DIGEST, [CORE, odd], 0))["packages"][1:]
    assert first["licenseDeclared"] == "BSD-3-Clause"
    assert second["licenseDeclared"] == "NOASSERTION"
    assert "GPLv2+ and so on" in second["licenseComments"]


def test_the_same_packages_make_the_same_bill() -> None:
    assert sbom("it", DIGEST, [CORE], 5) == sbom("it", DIGEST, [CORE], 5)
    assert sbom("it", DIGEST, [CORE], 5) != sbom("it", "1" * 64, [CORE], 5)


def test_sums_keep_what_is_still_there(tmp_path: Path) -> None:
    (tmp_path / "old.iso").touch()
    before = f"{DIGEST}  gone.iso\n{DIGEST}  old.iso\n{DIGEST}  new.iso\n"
    assert merged(before, {"new.iso": "f" * 64}, tmp_path) == f"{'f' * 64}  new.iso\n{DIGEST}  old.iso\n"
