# SPDX-License-Identifier: BSD-3-Clause
"""Sources from elsewhere are taken if, and only if, they are what the checkout says; once, and then from the cache."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from xos.image.errors import BadSpec, PinnedMissing
from xos.image.rpms.pinned import fetch


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a directory that is all pip knows of the world."""
    place = tmp_path / "world" / "sample-1.0-py3-none-any.whl"
    place.parent.mkdir()
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("sample.py", "")
        archive.writestr("sample-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
        archive.writestr("sample-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("sample-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return place


def requirements(tmp_path: Path, *digests: str) -> Path:
    file = tmp_path / "sample.txt"
    file.write_text(" ".join(["sample==1.0", *(f"--hash=sha256:{digest}" for digest in digests)]) + "\n")
    return file


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_what_is_pinned_is_fetched_once(tmp_path: Path, wheel: Path) -> None:
    said: list[str] = []
    file, cache = requirements(tmp_path, "0" * 64, digest_of(wheel)), tmp_path / "cache"
    (first,) = await fetch(file, cache, said.append)
    assert (first.name, first.digest) == (wheel.name, digest_of(wheel))
    wheel.unlink()
    assert await fetch(file, cache, said.append) == (first,)
    assert len(said) == 1


@pytest.mark.usefixtures("wheel")
async def test_what_is_not_what_the_hash_says_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(PinnedMissing, match=r"(?i)hash"):
        await fetch(requirements(tmp_path, "0" * 64), tmp_path / "cache", print)
    assert not list((tmp_path / "cache").glob("pinned/*"))


async def test_what_was_damaged_in_the_cache_is_removed(tmp_path: Path, wheel: Path) -> None:
    file, cache = requirements(tmp_path, digest_of(wheel)), tmp_path / "cache"
    (kept,) = await fetch(file, cache, print)
    kept.path.write_bytes(b"damaged")
    with pytest.raises(PinnedMissing, match="damaged"):
        await fetch(file, cache, print)
    assert await fetch(file, cache, print) == (kept,)


@pytest.mark.parametrize("text", ["", "sample==1.0\n", "# --hash=md5:0\n"])
async def test_nothing_is_fetched_without_a_hash(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sample.txt"
    file.write_text(text)
    with pytest.raises(BadSpec, match="pinned"):
        await fetch(file, tmp_path / "cache", print)
    with pytest.raises(BadSpec):
        await fetch(tmp_path / "absent.txt", tmp_path / "cache", print)
