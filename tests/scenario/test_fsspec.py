# SPDX-License-Identifier: BSD-3-Clause
"""Volumes through fsspec: its own tests of what a file system must do, run on a volume of a local grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.daemons import eventually
from support.localgrid import User

fsspec = pytest.importorskip("fsspec")
abstract = pytest.importorskip("fsspec.tests.abstract")


@pytest.fixture(scope="module")
def volume(alice: User) -> str:
    for _ in eventually(20):
        if "OSD " in alice.run("xtfs_chstatus").stdout:
            break
    alice.run("mkfs.xtreemfs", "papers")
    return "papers"


class Volume(abstract.AbstractFixtures):  # type: ignore[misc, name-defined]  # fsspec has no types
    @pytest.fixture(scope="class")
    def fs(self, alice: User, volume: str) -> Iterator[Any]:
        made = fsspec.filesystem(
            "xtreemfs", volume=volume, home=str(alice.home), auto_mkdir=True, skip_instance_cache=True
        )
        yield made
        made.close()

    @pytest.fixture
    def fs_path(self, fs: Any) -> Iterator[str]:
        fs.mkdir("/place")
        yield "/place"
        fs.rm("/place", recursive=True)


class TestPut(Volume, abstract.AbstractPutTests):  # type: ignore[misc, name-defined]
    pass


class TestPipe(Volume, abstract.AbstractPipeTests):  # type: ignore[misc, name-defined]
    pass


class TestOpen(Volume, abstract.AbstractOpenTests):  # type: ignore[misc, name-defined]
    pass


class TestOurs(Volume):
    def test_an_address_names_volume_and_path(self, alice: User, fs: Any, fs_path: str) -> None:
        with fsspec.open("xtreemfs://papers/place/table.csv", "w", home=str(alice.home)) as file:
            file.write("a,b\n1,2\n")
        assert fs.cat(f"{fs_path}/table.csv") == b"a,b\n1,2\n"
        assert fs.unstrip_protocol("/place/table.csv") == "xtreemfs://papers/place/table.csv"
        assert fs.info("/place/table.csv")["owner"] == "alice@demo"

    def test_large_files_are_read_in_parts_and_appended_to(self, fs: Any, fs_path: str) -> None:
        content = bytes(range(256)) * 40_000
        with fs.open(f"{fs_path}/large", "wb", block_size=1 << 20) as file:
            file.write(content)
        with fs.open(f"{fs_path}/large", "ab") as file:
            file.write(b"end")
        with fs.open(f"{fs_path}/large", "rb", block_size=1 << 16) as file:
            file.seek(9_000_000)
            assert file.read(100) == content[9_000_000:9_000_100]
            file.seek(-3, 2)
            assert file.read() == b"end"
        assert fs.cat_file(f"{fs_path}/large", start=-5, end=-3) == content[-2:]

    def test_what_is_refused_has_the_errno_that_programs_know(self, fs: Any, fs_path: str) -> None:
        with pytest.raises(FileNotFoundError):
            fs.cat(f"{fs_path}/nothing")
        fs.pipe(f"{fs_path}/d/x", b"")
        with pytest.raises(OSError, match="not empty"):
            fs.rmdir(f"{fs_path}/d")
        fs.mv(f"{fs_path}/d", f"{fs_path}/e")
        assert fs.ls(f"{fs_path}/e", detail=False) == ["/place/e/x"]
