# SPDX-License-Identifier: BSD-3-Clause
"""Images made for real from a repository made for real, and booted (slow; as root).

The cache of `make rpms` is used for roots and packages; the images are made in caches of their own.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xos.image import cache as caches
from xos.image.images import boot
from xos.image.repository import make as repository
from xos.image.rpms import make as rpms

from .conftest import snapshot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mmdebstrap") is None, reason="needs root and mmdebstrap"),
]
TOP = Path(__file__).parents[2]
BOOT_SECONDS = 900


class Repository:
    """A signed repository of what is in the checkout, and the roots that images are made from."""

    def __init__(self, cache: Path, place: Path) -> None:
        self.cache, self.path = cache, place / "repo"
        with caches.opened(cache):
            made = rpms.Options(checkout=snapshot(TOP, place / "top"), out=place / "rpms", cache=cache)
            asyncio.run(rpms.make_rpms(made, lambda _: None))
            options = repository.Options(rpms=place / "rpms", out=self.path, cache=cache, keys=place / "keys")
            asyncio.run(repository.make_repository(options, lambda _: None))
        (cache / "roots").mkdir(exist_ok=True)

    def command(self, place: Path, *words: str, repo: Path | None = None) -> list[str]:
        """Builds into ``place/out``, with the roots there are and a cache that is empty but for them."""
        cache = place / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        if not (cache / "roots").exists():
            (cache / "roots").symlink_to(self.cache / "roots")
        given = ["--cache", str(cache), "--repo", str(repo or self.path), "--out", str(place / "out")]
        return [sys.executable, "-m", "xos.image.cli", "build", *words, *given, "--flavours", str(TOP / "iso/flavours")]

    def build(self, place: Path, *words: str) -> Path:
        """The directory with the images; fails as the command does."""
        subprocess.run(self.command(place, *words), check=True, capture_output=True)
        return place / "out"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(caches.cache_directory(), tmp_path_factory.mktemp("images"))


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize(("form", "suffix"), [("tar", "tar.zst"), ("iso", "iso")])
def test_the_same_sources_make_the_same_bytes(repo: Repository, tmp_path: Path, form: str, suffix: str) -> None:
    first, second = (repo.build(tmp_path / name, "core", "--format", form) for name in ("a", "b"))
    name = f"xtreemos-core-x86_64.{suffix}"
    assert (first / f"{name}.sha256").read_text() == (second / f"{name}.sha256").read_text()
    subprocess.run(["sha256sum", "--check", "--quiet", f"{name}.sha256"], cwd=second, check=True)
    listed = (first / f"{name}.manifest").read_text()
    assert "\nrpm xos-core 0.1.0-" in listed
    assert ("deb linux-image-amd64 " in listed) == (form == "iso")


def test_an_interrupted_build_leaves_nothing_mounted_and_the_next_goes_on(repo: Repository, tmp_path: Path) -> None:
    before = mounts()
    command = repo.command(tmp_path, "core", "--format", "tar")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("  core: xos-core"):
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in told
    assert mounts() == before
    assert not (tmp_path / "cache/tmp").exists()
    assert not (tmp_path / "out").exists()
    assert list(repo.build(tmp_path, "core", "--format", "tar").glob("*.tar.zst"))


def test_a_package_that_was_changed_is_in_no_image(repo: Repository, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(repo.path, tmp_path / "bad"))
    (package,) = (bad / "x86_64/media/main").glob("xos-core-0*.rpm")
    content = bytearray(package.read_bytes())
    content[-1] ^= 1
    package.write_bytes(content)
    done = subprocess.run(repo.command(tmp_path, "core", "--format", "tar", repo=bad), capture_output=True, text=True)
    assert done.returncode == 1
    assert "installing core failed" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which(boot.QEMU) is None, reason="needs QEMU")
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_iso_boots_to_a_login_prompt(repo: Repository, tmp_path: Path, firmware: str) -> None:
    if firmware == "uefi" and not boot.OVMF.exists():
        pytest.skip("needs OVMF")
    out = repo.build(tmp_path, "core", "--format", "iso")
    command = [sys.executable, "-m", "xos.image.cli", "boot", str(out / "xtreemos-core-x86_64.iso")]
    command += ["--firmware", firmware, "--until", "xos-core login: ", "--seconds", str(BOOT_SECONDS)]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert b"xos-core.target" in done.stdout
